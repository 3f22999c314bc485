"""What a token says by name, and what it is not said to be."""

from msgspec.structs import fields

from portvakt import AccessToken
from portvakt.policy.handles import NO_HANDLES
from portvakt.testing import FakeIssuer


def test_what_a_token_says_of_a_person_has_names() -> None:
    issuer = FakeIssuer(profile="helseid-test", alg="ES256")
    everything = ["security_level", "pid", "hpr_number", "organisation"]
    guard = issuer.guard(api={"audience": "test-api", "ignore": everything, "sensitivity": "low"})
    token = guard.check_blocking(issuer.request(issuer.token())).token
    assert token is not None
    assert token.security_level == token.identity.security_level == 4
    assert token.pid is token.identity.pid is not None
    assert token.hpr_number is token.identity.hpr_number is not None
    assert token.organisation is token.identity.organisation is not None
    assert token.claims["iss"] == token.issuer
    assert dict(token.__rich_repr__()) == {"issuer": token.issuer, "expires_at": token.expires_at}


def test_a_token_that_nobody_calls_encrypted_is_not() -> None:
    defaults = {one.name: one.default for one in fields(AccessToken) if not one.required}
    assert defaults == {
        "by_reference": False,
        "encrypted": False,
        "handles": NO_HANDLES,
        "status": None,
    }
