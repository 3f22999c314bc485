"""Read the one credential of a request (RFC 6750 section 2.1, RFC 9449 section 7.1).

From the ``Authorization`` header, and from nowhere else: not from the query, a form or a cookie,
where tokens end up in logs, histories and other sites' requests (RFC 9700 section 4.3.2).
"""

import re
from typing import Final

from portvakt.errors import Refused
from portvakt.http.request import HttpRequest
from portvakt.jose.jws import MAX_TOKEN
from portvakt.refusal import Code

__all__ = ["OVERRIDES", "read_credential", "refuse_method_override", "sends_proof"]

# Some frameworks let these change the method after it was authorized (CVE-2023-30845).
OVERRIDES: Final = frozenset({"x-http-method", "x-method-override", "x-http-method-override"})
_LENGTHS: Final = frozenset(map(len, OVERRIDES)) | {len("authorization")}

#: Longer than this there is only a token to refuse: nothing in proportion to it happens first.
_LONGEST: Final = MAX_TOKEN + 64

#: The name of a scheme (RFC 9110 sections 5.6.2 and 11.1).
_SCHEME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def read_credential(request: HttpRequest, *, dpop: bool | None = False) -> tuple[str, bool]:
    """Return the access token of a request, unverified, and whether a proof comes with it.

    Does not look at the characters of the token, nor for the proof; whoever parses them does.

    Parameters:
        request: what was received.
        dpop: whether the scheme must be ``DPoP``, or else ``Bearer``: a route takes one of them.
            None: either, for a request that is judged again by what its endpoint takes.

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
            elif lowered in OVERRIDES:
                raise Refused(Code.METHOD_OVERRIDDEN, f"header {lowered}")
    if "access_token=" in request.url:
        _refuse_token_in_url(request.url)
    if authorization is None:
        raise Refused(Code.CREDENTIAL_MISSING)
    if len(authorization) > _LONGEST:
        raise Refused(Code.TOKEN_TOO_LONG, f"more than {MAX_TOKEN} characters")
    token = authorization[7:]
    if authorization[:7] == "Bearer " and token and " " not in token and "," not in token:
        proven = False
    else:
        token, proven = _read_unusual(authorization)
    if dpop is not None and proven is not dpop:
        wanted = "DPoP" if dpop else "Bearer"
        raise Refused(Code.SCHEME_REFUSED, f"the scheme is not {wanted}, which this route takes")
    return token, proven


def refuse_method_override(request: HttpRequest) -> None:
    """Refuse a request whose method a header would change behind the guard's back.

    Raises:
        Refused: ``method_overridden``.
    """
    for name, _ in request.headers:
        if len(name) in _LENGTHS and name.lower() in OVERRIDES:
            raise Refused(Code.METHOD_OVERRIDDEN, f"header {name.lower()}")


def sends_proof(request: HttpRequest) -> bool:
    """Whether a request that was refused uses the scheme ``DPoP``: it is answered in its terms."""
    return any(
        name.lower() == "authorization" and value[:5].lower() == "dpop "
        for name, value in request.headers
    )


def _read_unusual(authorization: str) -> tuple[str, bool]:
    """Read a header that is not simply ``Bearer``, a space and a token."""
    scheme, space, rest = authorization.partition(" ")
    token = rest.lstrip(" ")
    if not (space and token and _SCHEME.fullmatch(scheme)):
        raise Refused(Code.CREDENTIAL_MALFORMED, "not of the form: scheme, a space, credentials")
    lowered = scheme.lower()
    if lowered not in {"bearer", "dpop"}:
        raise Refused(Code.SCHEME_UNSUPPORTED, "the scheme is neither Bearer nor DPoP")
    if " " in token or "," in token:
        raise Refused(Code.CREDENTIAL_MALFORMED, f"more than one token after {lowered}")
    return token, lowered == "dpop"


def _refuse_token_in_url(url: str) -> None:
    query = url.partition("?")[2].partition("#")[0]
    for parameter in query.replace(";", "&").split("&"):
        if parameter.partition("=")[0] == "access_token":
            raise Refused(Code.TOKEN_IN_URL, "the query has access_token")
