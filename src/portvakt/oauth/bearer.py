"""Read the one credential of a request (RFC 6750 section 2.1).

From the ``Authorization`` header, and from nowhere else: not from the query, a form or a cookie,
where tokens end up in logs, histories and other sites' requests (RFC 9700 section 4.3.2).
"""

import re
from typing import Final

from portvakt.errors import Refused
from portvakt.http.request import HttpRequest
from portvakt.jose.jws import MAX_TOKEN
from portvakt.refusal import Code

__all__ = ["read_credential", "refuse_method_override"]

# Some frameworks let these change the method after it was authorized (CVE-2023-30845).
_OVERRIDES: Final = frozenset({"x-http-method", "x-method-override", "x-http-method-override"})
_LENGTHS: Final = frozenset(map(len, _OVERRIDES)) | {len("authorization")}

#: Longer than this there is only a token to refuse: nothing in proportion to it happens first.
_LONGEST: Final = MAX_TOKEN + 64

#: The name of a scheme (RFC 9110 sections 5.6.2 and 11.1).
_SCHEME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def read_credential(request: HttpRequest) -> str:
    """Return the bearer token of a request, unverified.

    Does not look at the characters of the token; whoever parses it does.

    Raises:
        Refused: if there is none, more than one, or one of another scheme or form; also if the URL
            carries a token or a header overrides the method.
    """
    authorization = None
    for name, value in request.headers:
        if len(name) in _LENGTHS:
            lowered = name.lower()
            if lowered == "authorization":
                if authorization is not None:
                    raise Refused(Code.CREDENTIAL_REPEATED, "several Authorization headers")
                authorization = value
            elif lowered in _OVERRIDES:
                raise Refused(Code.METHOD_OVERRIDDEN, f"header {lowered}")
    if "access_token=" in request.url:
        _refuse_token_in_url(request.url)
    if authorization is None:
        raise Refused(Code.CREDENTIAL_MISSING)
    if len(authorization) > _LONGEST:
        raise Refused(Code.TOKEN_TOO_LONG, f"more than {MAX_TOKEN} characters")
    token = authorization[7:]
    if authorization[:7] == "Bearer " and token and " " not in token and "," not in token:
        return token
    return _read_unusual(authorization)


def refuse_method_override(request: HttpRequest) -> None:
    """Refuse a request whose method a header would change behind the guard's back.

    Raises:
        Refused: ``method_overridden``.
    """
    for name, _ in request.headers:
        if len(name) in _LENGTHS and name.lower() in _OVERRIDES:
            raise Refused(Code.METHOD_OVERRIDDEN, f"header {name.lower()}")


def _read_unusual(authorization: str) -> str:
    """Read a header that is not simply ``Bearer``, a space and a token."""
    scheme, space, rest = authorization.partition(" ")
    token = rest.lstrip(" ")
    if not (space and token and _SCHEME.fullmatch(scheme)):
        raise Refused(Code.CREDENTIAL_MALFORMED, "not of the form: scheme, a space, credentials")
    if scheme.lower() != "bearer":
        raise Refused(Code.SCHEME_UNSUPPORTED, "the scheme is not Bearer")
    if " " in token or "," in token:
        raise Refused(Code.CREDENTIAL_MALFORMED, "more than one token after Bearer")
    return token


def _refuse_token_in_url(url: str) -> None:
    query = url.partition("?")[2].partition("#")[0]
    for parameter in query.replace(";", "&").split("&"):
        if parameter.partition("=")[0] == "access_token":
            raise Refused(Code.TOKEN_IN_URL, "the query has access_token")
