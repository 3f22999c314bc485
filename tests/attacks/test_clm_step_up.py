"""CLM-32: what a step-up authentication rests on is absent, or is not what it seems (RFC 9470)."""

from typing import Any, Final

import pytest

from portvakt import Code
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer(profile="idporten-test")
NOW: Final = int(ISSUER.clock())
SURE: Final = {"acr": "idporten-loa-high", "auth_time": NOW - 60}
GUARD: Final = ISSUER.guard(
    api={"audience": "test-api", "ignore": ["pid", "organisation"]},
    route=[{"path": "/me", "security_level": 4, "max_authentication_age": "1h"}],
)


def verdict(**claims: Any) -> Code | None:
    said = {name: value for name, value in {**SURE, **claims}.items() if value is not None}
    token = ISSUER.token(claims=said, without=[name for name in claims if name not in said])
    request = ISSUER.request(token, url="/me")
    refusal = GUARD.check_blocking(request).refusal
    return None if refusal is None else refusal.code


@pytest.mark.twin("CLM-32")
def test_a_person_who_signed_in_lately_and_surely_enough_is_admitted() -> None:
    assert verdict() is None


@pytest.mark.attack("CLM-32")
@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"acr": None}, Code.LEVEL_TOO_LOW),
        ({"acr": "idporten-loa-substantial"}, Code.LEVEL_TOO_LOW),
        ({"acr": "IDPORTEN-LOA-HIGH"}, Code.IDENTITY_MALFORMED),
        ({"acr": ["idporten-loa-high"]}, Code.IDENTITY_MALFORMED),
        ({"auth_time": None}, Code.AUTHENTICATION_TOO_OLD),
        ({"auth_time": NOW - 3601}, Code.AUTHENTICATION_TOO_OLD),
        ({"auth_time": NOW + 3600}, Code.IDENTITY_MALFORMED),
        ({"auth_time": str(NOW - 60)}, Code.IDENTITY_MALFORMED),
    ],
)
def test_what_says_too_little_of_it_is_refused(claims: dict[str, Any], code: Code) -> None:
    assert verdict(**claims) is code
