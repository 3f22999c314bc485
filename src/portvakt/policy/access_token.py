"""The numbered claim checks: a verified signature becomes an access token (RFC 9068 section 4).

Whoever changes a check changes what every API behind it admits. Each has its step and its codes in
:mod:`portvakt.refusal`; the numbers below are the order, and nothing is skipped by configuration.
"""

from typing import Any, Final, NoReturn

from msgspec import Struct

from portvakt.errors import Refused, Unavailable
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.jose.jws import VerifiedJws
from portvakt.policy.claims import Claims, is_missing
from portvakt.policy.handles import NO_HANDLES, handles_of
from portvakt.policy.identity import NO_IDENTITY, read_identity
from portvakt.policy.issuer import EXPLICIT_TYPE, TrustedIssuer
from portvakt.policy.token import AccessToken, StatusReference
from portvakt.refusal import Code

__all__ = [
    "EXPLICIT_TYPE",
    "MAX_TIME",
    "AccessToken",
    "StatusReference",
    "check_claims",
    "check_introspected",
]

#: 9999-12-31T23:59:59Z. A later time is milliseconds taken for seconds, or an overflow to be.
MAX_TIME: Final = 253402300799

#: Characters of ``sub``, ``client_id`` and ``jti``.
MAX_IDENTIFIER: Final = 1024

_BACKSLASH: Final = ord("\\")
_DELETE: Final = 0x7F


def check_claims(
    jws: VerifiedJws,
    issuer: TrustedIssuer,
    now: float,
    *,
    encrypted: bool = False,
    revocable: bool = False,
) -> AccessToken:
    """Check everything that one issuer's token must say to be good for this API now.

    Does not check scopes against a route, possession of a bound key, or revocation.

    Parameters:
        jws: a token whose signature was verified with a key of *issuer*.
        issuer: the policy for it.
        now: seconds since 1970, read once for the whole request.
        encrypted: whether it came encrypted to this API.
        revocable: whether it will be asked for its :attr:`~AccessToken.handles`.

    Raises:
        Refused: at steps PAYLOAD to IDENTITY.
        Unavailable: ``revocation_unavailable``, if its status is in a list that nobody fetches.
    """
    # (1) One JSON object.
    try:
        members = decode_object(jws.payload)
    except NotCanonical as flaw:
        raise Refused(Code.PAYLOAD_JSON, f"payload: {flaw}") from None
    source = _Source(
        jws.payload,
        explicit=jws.header.typ == EXPLICIT_TYPE,
        key_thumbprint=jws.key_thumbprint,
        by_reference=False,
        encrypted=encrypted,
        revocable=revocable,
    )
    return _check_members(members, source, issuer, now)


def check_introspected(
    members: dict[str, Any],
    text: bytes,
    issuer: TrustedIssuer,
    now: float,
    *,
    key_thumbprint: str | None = None,
    revocable: bool = False,
) -> AccessToken:
    """Check what an issuer answers about a reference token, as strictly as a token that says so.

    Does not check ``active``: whoever asked has (RFC 7662 section 2.2).

    Parameters:
        members: the answer; the caller gives it away.
        text: the octets that it was read from.
        issuer: the policy for it.
        now: seconds since 1970.
        key_thumbprint: the key that signed the answer, if it is signed (RFC 9701).
        revocable: as for :func:`check_claims`.

    Raises:
        Refused and Unavailable: as for :func:`check_claims`.
    """
    source = _Source(
        text,
        explicit=False,
        key_thumbprint=key_thumbprint,
        by_reference=True,
        encrypted=False,
        revocable=revocable,
    )
    return _check_members(members, source, issuer, now)


class _Source(Struct, frozen=True, gc=False):
    """Where claims come from.

    Attributes:
        text: the octets that they were read from.
        explicit: whether it is said beside them that they are an access token's.
        key_thumbprint: the key that vouches for them, if one does.
        by_reference, encrypted: as of :class:`AccessToken`.
        revocable: whether handles will be asked for.
    """

    text: bytes
    explicit: bool
    key_thumbprint: str | None
    by_reference: bool
    encrypted: bool
    revocable: bool


def _check_members(
    members: dict[str, Any], source: _Source, issuer: TrustedIssuer, now: float
) -> AccessToken:
    # (1a) Still the issuer whose key was selected, or who was asked.
    get = members.get
    if get("iss") != issuer.issuer:
        raise Refused(Code.ISSUER_CHANGED, "iss is not the issuer whose key was selected")

    # (1b) An access token. Where typ says so, it is; elsewhere an ID token or another JWT of the
    # same issuer must not pass for one (RFC 8725 section 3.12).
    if not source.explicit and not issuer.refused_claims.isdisjoint(members):
        raise Refused(Code.NOT_ACCESS_TOKEN, "it has a claim that only other tokens have")
    for name, values in issuer.expected_values:
        found = get(name)
        if type(found) is not str or found not in values:
            raise Refused(Code.NOT_ACCESS_TOKEN, f"{name} is not what an access token has there")

    # (2) aud: there, and this API. A name we do not share tokens with refuses (RFC 9068 section 4).
    aud = get("aud")
    audience = (aud,) if aud == issuer.audience else _check_audience(aud, issuer)

    # Times are compared in the form "refuse unless it holds": a clock that is no number refuses
    # too. (3) exp: there, and still ahead. A token that expires now has expired (RFC 7519 section
    # 4.1.4).
    exp = get("exp")
    if type(exp) is not int and type(exp) is not float:
        _refuse_time(members, "exp", Code.EXPIRY_MISSING, Code.EXPIRY_MALFORMED)
    if exp > MAX_TIME:
        raise Refused(Code.EXPIRY_MALFORMED, "exp lies beyond the year 9999: milliseconds?")
    leeway = issuer.leeway
    if not now < exp + leeway:
        raise Refused(Code.TOKEN_EXPIRED, f"expired {now - exp:.0f} s ago, leeway {leeway:g} s")

    # (4) nbf: reached, if there is one.
    nbf = get("nbf")
    if type(nbf) is int or type(nbf) is float:
        if not now >= nbf - leeway:
            raise Refused(
                Code.NOT_YET_VALID,
                f"valid in {min(nbf, MAX_TIME) - now:.0f} s, leeway {leeway:g} s",
            )
    elif "nbf" in members:
        raise Refused(Code.NOT_BEFORE_MALFORMED, "nbf is not a number")

    # (5) iat: there, not in the future, not after exp.
    iat = get("iat")
    if type(iat) is not int and type(iat) is not float:
        _refuse_time(members, "iat", Code.ISSUED_AT_MISSING, Code.ISSUED_AT_MALFORMED)
    if not iat <= exp:
        raise Refused(Code.ISSUED_AT_MALFORMED, "iat is after exp")
    if not iat <= now + issuer.max_age_ahead:
        raise Refused(Code.ISSUED_IN_FUTURE, f"issued {iat - now:.0f} s ahead of this clock")

    # (6) Not longer-lived than the policy allows, however genuine.
    if not exp - iat <= issuer.max_lifetime:
        raise Refused(
            Code.LIFETIME_TOO_LONG, f"lives {exp - iat:.0f} s, allowed {issuer.max_lifetime:.0f} s"
        )

    # (7) Who and which: what is there is well formed, and what the policy requires is there.
    subject, token_id = get(issuer.subject_claim), get(issuer.token_id_claim)
    client_id = get(issuer.client_claim)
    if type(subject) is not str or not 0 < len(subject) <= MAX_IDENTIFIER:
        _check_absent(members, issuer.subject_claim)
    if type(client_id) is not str or not 0 < len(client_id) <= MAX_IDENTIFIER:
        _check_absent(members, issuer.client_claim)
    if type(token_id) is not str or not 0 < len(token_id) <= MAX_IDENTIFIER:
        _check_absent(members, issuer.token_id_claim)
    # Without an escape JSON holds no control of ASCII but DEL, so few have to be looked through.
    if (
        _BACKSLASH in source.text
        or _DELETE in source.text
        or not (subject or "").isascii()
        or not (client_id or "").isascii()
        or not (token_id or "").isascii()
    ):
        _check_printable(
            {
                issuer.subject_claim: subject,
                issuer.client_claim: client_id,
                issuer.token_id_claim: token_id,
            }
        )
    for name in issuer.required_claims:
        if not get(name) and is_missing(get(name)):
            raise Refused(Code.CLAIM_MISSING, f"{name} is missing or empty")

    confirmation = None
    if "cnf" in members:
        # Whether it is satisfied, only the request can tell.
        if type(members["cnf"]) is not dict:
            raise Refused(Code.CLAIM_MALFORMED, "cnf is not an object")
        confirmation = Claims(members["cnf"])

    # (8) scope: a string of words, or an array of them. What nobody requires grants nothing. Of
    # several claims the first that is there counts: Entra's roles are what a client was granted
    # only where there is no scp; beside one they are the person's, which a client granted less must
    # not have. A malformed one refuses, counting or not.
    scopes = _read_scopes(members, issuer.scope_claims[0])
    granted = issuer.scope_claims[0] in members
    for name in issuer.scope_claims[1:]:
        others = _read_scopes(members, name)
        if not granted:
            scopes, granted = others, name in members

    # (9) Who, how surely, for whom: what is there is well formed, and of a kind that is accepted.
    claims = issuer.identity
    identity = NO_IDENTITY if claims is None else read_identity(members, claims)
    signed_in = identity.authenticated_at
    if signed_in is not None and not signed_in <= now + issuer.max_age_ahead:
        # It would be recent for ever.
        raise Refused(Code.IDENTITY_MALFORMED, "it says that the person signs in in the future")

    # (10) What it could be revoked by.
    handles, status = NO_HANDLES, None
    if source.revocable:
        handles = handles_of(
            issuer.issuer,
            token_id=token_id,
            session=_read_session(members, issuer.session_claim),
            subject=subject,
            client_id=client_id,
            key_thumbprint=source.key_thumbprint,
        )
    if issuer.status_lists:
        status = _read_status(members, issuer)

    return AccessToken(
        issuer.issuer,
        subject,
        client_id,
        audience,
        scopes,
        iat,
        exp,
        nbf,
        token_id,
        confirmation,
        source.key_thumbprint,
        identity,
        issuer.known_lifetime,
        members,
        source.by_reference,
        source.encrypted,
        handles,
        status,
    )


def _check_audience(aud: Any, issuer: TrustedIssuer) -> tuple[str, ...]:
    """Check an ``aud`` that is not simply this API's name."""
    if aud is None or aud in ("", []):
        raise Refused(Code.AUDIENCE_MISSING, "aud is missing or empty")
    if type(aud) is str:
        raise Refused(Code.AUDIENCE_WRONG, "aud is not this API")
    if type(aud) is not list or any(type(name) is not str for name in aud):
        raise Refused(Code.AUDIENCE_MALFORMED, "aud is not a string or an array of strings")
    if issuer.audience not in aud:
        raise Refused(Code.AUDIENCE_WRONG, "aud does not contain this API")
    for name in aud:
        if name != issuer.audience and name not in issuer.other_audiences:
            raise Refused(Code.AUDIENCE_EXTRA, "aud names an API that is not in other_audiences")
    return tuple(aud)


def _refuse_time(members: dict[str, Any], name: str, missing: Code, malformed: Code) -> NoReturn:
    if name not in members:
        raise Refused(missing, f"{name} is missing")
    raise Refused(malformed, f"{name} is not a number")


def _check_absent(members: dict[str, Any], name: str) -> None:
    # A claim that is there but is not what it must be refuses; it is never taken for absent.
    if name in members:
        raise Refused(Code.CLAIM_MALFORMED, f"{name} is malformed")


def _check_printable(identifiers: dict[str, str | None]) -> None:
    # Line breaks, controls and marks that turn the direction of writing end up in logs and on
    # screens, where they make one person look like another. No honest identifier has any.
    for name, identifier in identifiers.items():
        if not (identifier or "").isprintable():
            raise Refused(Code.CLAIM_MALFORMED, f"{name} has a character that does not print")


def _read_scopes(members: dict[str, Any], name: str) -> frozenset[str]:
    scope = members.get(name)
    if type(scope) is str:
        words = scope.split(" ") if scope else []
    elif type(scope) is list:
        try:
            " ".join(scope)  # The cheapest way to see that all of them are strings.
        except TypeError:
            raise Refused(Code.SCOPE_MALFORMED, f"{name} is an array of other things too") from None
        words = scope
    elif name in members:
        raise Refused(Code.SCOPE_MALFORMED, f"{name} is neither a string nor an array")
    else:
        words = []
    scopes = frozenset(words)
    if "" in scopes:
        raise Refused(Code.SCOPE_MALFORMED, f"{name} has an empty word")
    return scopes


def _read_session(members: dict[str, Any], name: str) -> str | None:
    session = members.get(name)
    if type(session) is str and 0 < len(session) <= MAX_IDENTIFIER:
        return session
    _check_absent(members, name)
    return None


def _read_status(members: dict[str, Any], issuer: TrustedIssuer) -> StatusReference | None:
    """Read ``status`` (Token Status List, section 6). A token without it has none to ask for."""
    if "status" not in members:
        return None
    match members["status"]:
        case {"status_list": {"uri": str(uri), "idx": int(index)}} if (
            type(index) is int and index >= 0
        ):
            pass
        case _:
            raise Refused(Code.CLAIM_MALFORMED, "status is not a reference to a status list")
    if uri not in issuer.status_lists:
        # Fetching what a token names would be a request on a caller's account.
        raise Unavailable(
            Code.REVOCATION_UNAVAILABLE, "status names a list that is not in status_lists"
        )
    return StatusReference(uri, index)
