"""The [dpop] table and the origins of the API: what is right, and what is said of the rest."""

from typing import Any

import pytest
from msgspec import UNSET

from portvakt.config.dpop import check_dpop, check_origins, dpop_rules
from portvakt.config.dpop_schema import DpopTable
from portvakt.config.problems import Problems
from portvakt.config.secrets_schema import SecretTable
from portvakt.errors import ConfigurationError
from portvakt.http.origin import Origin
from portvakt.oauth.dpop import PROOF_ALGORITHMS, DpopRules

API = Origin.parse("https://api.test")

#: dpop_signing_alg_values_supported of HelseID.
HELSEID = {f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)}


def places(problems: Problems) -> list[str]:
    try:
        problems.check()
    except ConfigurationError as error:
        return [problem.place for problem in error.problems]
    return []


def test_nothing_stated_is_right() -> None:
    problems = Problems()
    check_dpop(DpopTable(), problems)
    problems.check()
    assert dpop_rules(DpopTable(), (API,), ()) == DpopRules(origins=(API,))
    assert set(PROOF_ALGORITHMS) > HELSEID


def test_what_is_stated_is_what_proofs_must_be_like() -> None:
    table = DpopTable(
        algorithms=("ES256", "PS256"),
        max_age=300.0,
        max_ahead=0.0,
        nonce_keys=(SecretTable(env="NEW"), SecretTable(keystore="old")),
        nonce_lifetime=10.0,
    )
    problems = Problems()
    check_dpop(table, problems)
    problems.check()
    rules = dpop_rules(table, (API,), ("n" * 32, "\u00f8" * 16))
    assert rules.algorithms == {"ES256", "PS256"}
    assert (rules.max_age, rules.max_ahead) == (300, 0)
    assert rules.nonces is not None
    assert rules.nonces.check(rules.nonces.make(0), 5)
    assert not rules.nonces.check(rules.nonces.make(0), 10)


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ({"algorithms": ("ES256", "none")}, "dpop.algorithms[1]"),
        ({"algorithms": ("HS256",)}, "dpop.algorithms[0]"),
        ({"algorithms": ("ML-DSA-44",)}, "dpop.algorithms[0]"),
        ({"max_age": 0.0}, "dpop.max_age"),
        ({"max_age": 301.0}, "dpop.max_age"),
        ({"max_ahead": -1.0}, "dpop.max_ahead"),
        ({"max_ahead": 61.0}, "dpop.max_ahead"),
        ({"nonce_lifetime": 9.0}, "dpop.nonce_lifetime"),
        ({"nonce_lifetime": 3601.0}, "dpop.nonce_lifetime"),
        ({"nonce_keys": (SecretTable(),)}, "dpop.nonce_keys[0]"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_its_place(setting: dict[str, Any], place: str) -> None:
    problems = Problems()
    check_dpop(DpopTable(**setting), problems)
    assert places(problems) == [place]


def test_a_secret_that_is_too_short_is_refused_and_not_shown() -> None:
    with pytest.raises(
        ConfigurationError, match=r"nonce_keys\[1\]: must have at least 32"
    ) as error:
        dpop_rules(DpopTable(), (API,), ("n" * 32, "hunter2" * 4))
    assert "hunter2" not in str(error.value)


def test_origins_are_read_once() -> None:
    problems = Problems()
    assert check_origins(UNSET, problems) == ()
    assert check_origins("HTTPS://API.test/", problems) == (API,)
    several = ("https://api.test", "https://gateway.test/journal")
    assert check_origins(several, problems) == (API, Origin.parse(several[1]))
    problems.check()


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ((), "api.origin"),
        ("", "api.origin"),
        ("api.test", "api.origin"),
        ("http://api.test", "api.origin"),
        (("https://api.test", "https://a@b.test"), "api.origin[1]"),
        (("https://api.test", "https://API.test:443/"), "api.origin[1]"),
    ],
    ids=str,
)
def test_an_origin_that_is_wrong_is_said_with_its_place(
    stated: str | tuple[str, ...], place: str
) -> None:
    problems = Problems()
    check_origins(stated, problems)
    assert set(places(problems)) == {place}
