"""The self test of proofs: a guard that would take a forged one, or none, does not come to be."""

from typing import Any

import pytest

from portvakt import ConfigurationError, Guard
from portvakt.guard.self_test import self_test
from portvakt.oauth import dpop
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
BOUND: dict[str, Any] = {
    "api": {"audience": "test-api", "origin": ["https://a.test/base", "https://b.test"]},
    "store": {"url": "memory://"},
}


def problems() -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        ISSUER.guard(**BOUND)
    return [str(one) for one in error.value.problems]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"algorithms": ["RS256"]},
        {"max_age": "1s", "max_ahead": "0s"},
        {"nonce_keys": [{"env": "NONCE_KEY"}], "nonce_lifetime": "10s"},
    ],
    ids=str,
)
def test_a_right_policy_passes(table: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NONCE_KEY", "n" * 32)
    assert ISSUER.guard(**BOUND, dpop=table).parts.possession is not None


def test_a_guard_without_proofs_is_not_asked_for_any() -> None:
    self_test(ISSUER.guard())


@pytest.mark.parametrize(
    ("weaken", "found"),
    [
        (("verify", lambda jws, _key: jws), "DPOP-06"),
        (("token_hash", lambda _token: "x"), "even an honest one is refused"),
        (("MAX_PROOF", 1), "even an honest one is refused"),
    ],
    ids=["no signature", "no hash", "no room"],
)
def test_a_fault_in_the_code_is_found(
    weaken: tuple[str, Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dpop, *weaken)
    assert any(found in one and one.startswith("dpop: ") for one in problems())


def test_a_class_that_passes_proofs_over_is_found() -> None:
    class Careless(Guard):
        def _prove(self, *_: object) -> Any:
            return None

    made = ISSUER.guard(**BOUND)
    careless = Careless(
        issuers=made.issuers.values(), keys=made.keys, parts=made.parts, clock=ISSUER.clock
    )
    with pytest.raises(ConfigurationError, match="a forged proof got in"):
        careless.self_test()
