"""Faults of the claims: the issuer did sign it, and it is not for here and now."""

from math import floor
from typing import Final

from portvakt.forge.fault import (
    OTHER_API,
    Fault,
    Forgery,
    claims,
    named,
    needed,
    unnamed,
    without,
)
from portvakt.forge.tokens import LIFETIME, TokenBuilder, lifetime
from portvakt.refusal import Code

__all__ = ["CLAIM_FAULTS"]


def _expiring(token: TokenBuilder, exp: int) -> str:
    issued = exp - lifetime(token.issuer)
    return token.claims(exp=exp, iat=issued, nbf=issued).build()


def _expired(token: TokenBuilder, _: Forgery) -> str:
    """Send a token that was good a moment ago, leeway included."""
    return _expiring(token, floor(token.now - token.issuer.leeway) - 1)


def _expiring_now(token: TokenBuilder, _: Forgery) -> str:
    """Send a token whose last moment is this one: it has expired (RFC 7519 section 4.1.4)."""
    return _expiring(token, floor(token.now - token.issuer.leeway))


def _not_yet_valid(token: TokenBuilder, _: Forgery) -> str:
    """Send a token that is good in a moment, leeway included."""
    return token.claims(nbf=floor(token.now + token.issuer.leeway) + 1).build()


def _issued_ahead(token: TokenBuilder, _: Forgery) -> str:
    """Send a token that is issued later than clocks may differ."""
    issued = floor(token.now + token.issuer.max_age_ahead) + 1
    return token.claims(iat=issued, exp=issued + lifetime(token.issuer)).build()


def _issued_after_expiry(token: TokenBuilder, _: Forgery) -> str:
    """Send a token that was issued after it expired."""
    return token.claims(iat=floor(token.now) + LIFETIME + 1).build()


def _long_lived(token: TokenBuilder, _: Forgery) -> str:
    """Send a token that lives one second longer than the policy allows."""
    return token.claims(exp=floor(token.now) + token.issuer.max_lifetime + 1).build()


def _exp_as_text(token: TokenBuilder, _: Forgery) -> str:
    """Write exp as a string."""
    return token.claims(exp=str(floor(token.now) + LIFETIME)).build()


def _exp_in_milliseconds(token: TokenBuilder, _: Forgery) -> str:
    """Write exp in milliseconds, so that it never comes."""
    return token.claims(exp=(floor(token.now) + LIFETIME) * 1000).build()


CLAIM_FAULTS: Final[tuple[Fault, ...]] = (
    Fault("expired", "CLM-01", Code.TOKEN_EXPIRED, "It expired a moment ago", _expired),
    Fault(
        "expiring-now",
        "CLM-01",
        Code.TOKEN_EXPIRED,
        "It expires at this very moment, leeway included",
        _expiring_now,
    ),
    Fault("exp-missing", "CLM-02", Code.EXPIRY_MISSING, "It never expires", without("exp")),
    Fault("exp-null", "CLM-03", Code.EXPIRY_MALFORMED, "exp is null", claims(exp=None)),
    Fault("exp-true", "CLM-03", Code.EXPIRY_MALFORMED, "exp is true", claims(exp=True)),
    Fault("exp-text", "CLM-03", Code.EXPIRY_MALFORMED, "exp is text, not a number", _exp_as_text),
    Fault(
        "exp-milliseconds",
        "CLM-05",
        Code.EXPIRY_MALFORMED,
        "exp is in milliseconds, so that it never comes",
        _exp_in_milliseconds,
    ),
    Fault("nbf-future", "CLM-07", Code.NOT_YET_VALID, "It is not valid yet", _not_yet_valid),
    Fault(
        "nbf-text",
        "CLM-07",
        Code.NOT_BEFORE_MALFORMED,
        "nbf is text, not a number",
        claims(nbf="0"),
    ),
    Fault(
        "iat-missing",
        "CLM-08",
        Code.ISSUED_AT_MISSING,
        "It does not say when it was issued",
        without("iat"),
    ),
    Fault(
        "iat-text",
        "CLM-08",
        Code.ISSUED_AT_MALFORMED,
        "iat is text, not a number",
        claims(iat="0"),
    ),
    Fault(
        "iat-future",
        "CLM-08",
        Code.ISSUED_IN_FUTURE,
        "It says that it will be issued in the future",
        _issued_ahead,
    ),
    Fault(
        "iat-after-exp",
        "CLM-08",
        Code.ISSUED_AT_MALFORMED,
        "It says that it was issued after it expired",
        _issued_after_expiry,
    ),
    Fault(
        "long-lived",
        "CLM-09",
        Code.LIFETIME_TOO_LONG,
        "It lives a second longer than the policy allows",
        _long_lived,
    ),
    Fault(
        "iss-missing",
        "CLM-11",
        Code.ISSUER_MISSING,
        "It does not say who issued it",
        without("iss"),
    ),
    Fault(
        "iss-other",
        "CLM-11",
        Code.ISSUER_UNKNOWN,
        "It says that somebody else issued it",
        claims(iss="https://attacker.invalid"),
    ),
    Fault(
        "iss-prefix",
        "CLM-12",
        Code.ISSUER_UNKNOWN,
        "iss is the beginning of the issuer's name",
        lambda token, _: token.claims(iss=token.issuer.issuer[:-1]).build(),
    ),
    Fault(
        "iss-slash",
        "CLM-14",
        Code.ISSUER_UNKNOWN,
        "iss is the issuer's name and a slash",
        lambda token, _: token.claims(iss=f"{token.issuer.issuer}/").build(),
    ),
    Fault(
        "iss-list",
        "CLM-13",
        Code.ISSUER_MISSING,
        "iss is a list, of which the issuer is one",
        lambda token, _: token.claims(
            iss=[token.issuer.issuer, "https://attacker.invalid"]
        ).build(),
    ),
    Fault(
        "aud-missing",
        "CLM-18",
        Code.AUDIENCE_MISSING,
        "It does not say which API it is for",
        without("aud"),
    ),
    Fault("aud-null", "CLM-18", Code.AUDIENCE_MISSING, "aud is null", claims(aud=None)),
    Fault("aud-empty", "CLM-18", Code.AUDIENCE_MISSING, "aud is an empty list", claims(aud=[])),
    Fault(
        "aud-other",
        "TYP-05",
        Code.AUDIENCE_WRONG,
        "It is for another API of the same issuer",
        claims(aud=OTHER_API),
    ),
    Fault(
        "aud-others",
        "CLM-21",
        Code.AUDIENCE_WRONG,
        "It is for several APIs, and this one is not among them",
        claims(aud=[OTHER_API, "urn:portvakt:a-third-api"]),
    ),
    Fault(
        "aud-longer",
        "CLM-20",
        Code.AUDIENCE_WRONG,
        "aud begins with the name of this API and goes on",
        lambda token, _: token.claims(aud=f"{token.issuer.audience}.attacker.invalid").build(),
    ),
    Fault(
        "aud-extra",
        "CLM-22",
        Code.AUDIENCE_EXTRA,
        "It is for this API and for one more, which could use it here",
        lambda token, _: token.claims(aud=[token.issuer.audience, OTHER_API]).build(),
    ),
    Fault(
        "aud-mixed",
        "CLM-19",
        Code.AUDIENCE_MALFORMED,
        "aud is a list of this API and a number",
        lambda token, _: token.claims(aud=[token.issuer.audience, 1]).build(),
    ),
    Fault(
        "aud-object",
        "CLM-19",
        Code.AUDIENCE_MALFORMED,
        "aud is an object with the name of this API in it",
        lambda token, _: token.claims(aud={token.issuer.audience: 1}).build(),
    ),
    Fault(
        "sub-missing",
        "CLM-23",
        Code.CLAIM_MISSING,
        "It does not say whom it speaks for",
        unnamed("subject_claim"),
        needed("subject_claim"),
    ),
    Fault(
        "sub-number", "CLM-23", Code.CLAIM_MALFORMED, "sub is a number", named("subject_claim", 1)
    ),
    Fault(
        "sub-list",
        "CLM-23",
        Code.CLAIM_MALFORMED,
        "sub is a list",
        named("subject_claim", ["a", "b"]),
    ),
    Fault(
        "client-id-missing",
        "CLM-25",
        Code.CLAIM_MISSING,
        "It does not say to which client it was issued",
        unnamed("client_claim"),
        needed("client_claim"),
    ),
    Fault(
        "jti-missing",
        "CLM-26",
        Code.CLAIM_MISSING,
        "It has no name by which it could be revoked",
        unnamed("token_id_claim"),
        needed("token_id_claim"),
    ),
    Fault(
        "jti-number", "CLM-26", Code.CLAIM_MALFORMED, "jti is a number", named("token_id_claim", 1)
    ),
    Fault(
        "scope-number",
        "CLM-27",
        Code.SCOPE_MALFORMED,
        "scope is a number",
        named("scope_claims", 1),
    ),
    Fault(
        "scope-spaces",
        "CLM-27",
        Code.SCOPE_MALFORMED,
        "scope has two spaces where there is one",
        named("scope_claims", "read  write"),
    ),
    Fault(
        "cnf",
        "CLM-30",
        Code.CONFIRMATION_UNMET,
        "It is bound to a key that its holder does not prove to have: stolen, perhaps",
        claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
    ),
    Fault(
        "cnf-text",
        "CLM-30",
        Code.CLAIM_MALFORMED,
        "It is bound to something, and nobody can tell to what",
        claims(cnf="test"),
    ),
)
"""Every near miss in the claims."""
