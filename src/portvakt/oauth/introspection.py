"""Asking an issuer about a reference token (RFC 7662), and reading what it answers (RFC 9701 too).

A reference token says nothing: no part of it is looked at but its form. What the issuer answers is
read as strictly as a token, and whoever reads it here still has to judge its claims
(:func:`portvakt.policy.access_token.check_introspected`).
"""

import re
from collections.abc import Collection, Iterable
from typing import Any, Final
from urllib.parse import urlencode

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.jose.jws import VerifiedJws
from portvakt.refusal import Code

__all__ = [
    "FORM_TYPE",
    "JSON_TYPE",
    "MAX_ANSWER",
    "MAX_REFERENCE",
    "SIGNED_TYPE",
    "MalformedAnswer",
    "check_reference",
    "is_reference",
    "read_answer",
    "read_signed_answer",
    "write_question",
]

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "application/x-www-form-urlencoded"

#: The media type of a signed answer, and the typ in its header (RFC 9701 section 5).
SIGNED_TYPE: Final = "application/token-introspection+jwt"
_SIGNED_TYP: Final = "token-introspection+jwt"

#: Characters of a reference token. Those of real issuers have 20 to 200.
MAX_REFERENCE: Final = 4096

#: Octets of an answer: the claims of one token, four times over.
MAX_ANSWER: Final = 64 * 1024

#: Seconds that are cut off a time that is a whole number of them.
_CUT_OFF: Final = 1.0

#: A b64token (RFC 6750 section 2.1) without a dot.
_REFERENCE: Final = re.compile(r"[A-Za-z0-9~+/_-]+=*")

#: What ``token_type`` says of an access token (RFC 6750, RFC 9449); compared as RFC 6749 section
#: 5.1 has it. A refresh token has ``N_A``, ``Refresh``, or none.
_TOKEN_TYPES: Final = frozenset({"bearer", "dpop"})

#: What ``token_use`` says of one. It is in no standard, and tells a refresh token at some issuers.
_TOKEN_USES: Final = frozenset({"access_token", "access"})


class MalformedAnswer(ValueError):  # noqa: N818  it says what the answer is
    """The issuer's answer is none that can be relied on. The message holds nothing of it."""


def is_reference(token: str) -> bool:
    """Whether a token has the form of a reference token: this alone decides what becomes of it.

    A self-contained token has dots, a reference token has none; neither is ever tried as the other
    (TYP-08).
    """
    return "." not in token


def check_reference(token: str) -> None:
    """Refuse what cannot be a reference token, before anybody is asked about it.

    Raises:
        Refused: ``token_too_long`` or ``token_encoding``.
    """
    if len(token) > MAX_REFERENCE:
        raise Refused(Code.TOKEN_TOO_LONG, f"more than {MAX_REFERENCE} characters without a dot")
    if not _REFERENCE.fullmatch(token):
        raise Refused(Code.TOKEN_ENCODING, "a character that no reference token has")


def write_question(token: str, members: Iterable[tuple[str, str]] = ()) -> bytes:
    """Write the form that asks about a token (RFC 7662 section 2.1).

    Parameters:
        token: the token.
        members: what else the form says: who asks.
    """
    form = [("token", token), ("token_type_hint", "access_token"), *members]
    return urlencode(form).encode("ascii")


def read_answer(text: bytes) -> dict[str, Any]:
    """Read an answer that is not signed (RFC 7662 section 2.2); returns its members.

    Does not check any claim but those that say which kind of token it is.

    Raises:
        MalformedAnswer: if nobody can tell what it says: then nothing was decided.
        Refused: ``token_inactive``, or ``not_access_token`` for one of another kind.
    """
    if len(text) > MAX_ANSWER:
        raise MalformedAnswer(f"the answer is longer than {MAX_ANSWER} octets")
    try:
        members = decode_object(text)
    except NotCanonical as flaw:
        raise MalformedAnswer(f"the answer is not strict JSON: {flaw}") from None
    _check_active(members)
    return members


def read_signed_answer(
    jws: VerifiedJws, *, issuer: str, audiences: Collection[str], earliest: float, latest: float
) -> dict[str, Any]:
    """Read a signed answer (RFC 9701 section 5); returns the members of ``token_introspection``.

    Parameters:
        jws: the answer, verified with a key of the issuer.
        issuer: the issuer that was asked.
        audiences: our names: as a client, and as an API.
        earliest: an answer that was made before this is an old one; seconds since 1970. It is given
            one second more, as issuers write whole ones.
        latest: and one after this is from the future.

    Raises:
        MalformedAnswer, Refused: as :func:`read_answer`; also if the answer is for somebody else or
            is not of now.
    """
    # (1) An answer, and no other JWT of the same issuer (RFC 8725 section 3.12).
    if jws.header.typ != _SIGNED_TYP:
        raise MalformedAnswer("the typ of the signed answer is not token-introspection+jwt")
    try:
        claims = decode_object(jws.payload)
    except NotCanonical as flaw:
        raise MalformedAnswer(f"the signed answer is not strict JSON: {flaw}") from None
    # (2) By the issuer, for us.
    if claims.get("iss") != issuer:
        raise MalformedAnswer("iss of the signed answer is not the issuer that was asked")
    aud = claims.get("aud")
    names = aud if type(aud) is list else [aud]
    if not names or not all(type(name) is str and name in audiences for name in names):
        raise MalformedAnswer("aud of the signed answer is not us")
    # (3) Of now. There is no nonce, so an answer from before the question is what a replay is.
    iat = claims.get("iat")
    if type(iat) is not int and type(iat) is not float:
        raise MalformedAnswer("iat of the signed answer is not a number")
    if not earliest - _CUT_OFF <= iat <= latest:
        raise MalformedAnswer("the signed answer was not made for this question: iat is too far")
    # (4) What it says.
    members = claims.get("token_introspection")
    if type(members) is not dict:
        raise MalformedAnswer("token_introspection of the signed answer is not an object")
    _check_active(members)
    return members


def _check_active(members: dict[str, Any]) -> None:
    # What is not exactly true or false is no answer: "true" and 1 are an issuer's fault, and nobody
    # knows what it meant (TYP-09).
    active = members.get("active")
    if active is False:
        raise Refused(Code.TOKEN_INACTIVE, "the issuer says that it is not active")
    if active is not True:
        raise MalformedAnswer("active is neither true nor false")
    # The hint is no more than one: asked about a refresh token, an issuer may call it active.
    kind = members.get("token_type")
    if "token_type" in members and (type(kind) is not str or kind.lower() not in _TOKEN_TYPES):
        raise Refused(Code.NOT_ACCESS_TOKEN, "token_type is not that of an access token")
    use = members.get("token_use")
    if "token_use" in members and (type(use) is not str or use not in _TOKEN_USES):
        raise Refused(Code.NOT_ACCESS_TOKEN, "token_use is not that of an access token")
    # Without the key it is bound to, a bound token would pass for one that is anybody's.
    if type(kind) is str and kind.lower() == "dpop" and "cnf" not in members:
        raise Refused(Code.CLAIM_MISSING, "token_type is DPoP, and cnf is missing")
