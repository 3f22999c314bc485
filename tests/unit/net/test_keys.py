"""The port that keys come through, and those that a policy states."""

import asyncio

import pytest

from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys, KeysHealth, KeySource, KeySources
from portvakt.policy.issuer import TrustedIssuer
from portvakt.testing import FakeIssuer

ONE, OTHER = FakeIssuer("https://one.test"), FakeIssuer("https://other.test")
ONES = JwkSet.from_object(ONE.jwks(), ["ES256"])
HEADER = Header("ES256", "key-1", "at+jwt")


class Source(KeySource):
    """The least that a source of one's own is; it writes down what it is asked."""

    def __init__(self, keys: JwkSet | None = ONES) -> None:
        self.keys = keys
        self.told: list[object] = []

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        self.told.append(("current", issuer.issuer, header))
        return self.keys

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        self.told.append(("fetch", issuer.issuer, header))
        return ONES


def test_fixed_keys_are_those_of_their_issuer_whatever_is_asked() -> None:
    fixed = FixedKeys({"https://one.test": ONES})
    assert fixed.current(ONE.trusted) is fixed.current(ONE.trusted, HEADER) is ONES
    assert asyncio.run(fixed.fetch(ONE.trusted, HEADER)) is ONES
    for ask in (fixed.current, fixed.health):
        with pytest.raises(KeyError):
            ask(OTHER.trusted)


def test_fixed_keys_do_not_age() -> None:
    fixed = FixedKeys({"https://one.test": ONES})
    fixed.open()
    fixed.close()
    assert fixed.health(ONE.trusted) == KeysHealth(
        issuer="https://one.test", source="policy", keys=2
    )


def test_the_sets_that_fixed_keys_are_made_of_are_copied() -> None:
    sets = {"https://one.test": ONES}
    fixed = FixedKeys(sets)
    sets.clear()
    assert fixed.current(ONE.trusted) is ONES


def test_a_source_of_ones_own_needs_two_methods() -> None:
    source = Source()
    source.open()
    source.close()
    assert source.health(ONE.trusted) == KeysHealth(
        issuer="https://one.test", source="Source", keys=2
    )
    assert Source(None).health(ONE.trusted).keys is None
    assert source.age(ONE.trusted) is None


def test_the_age_of_keys_is_that_of_their_source() -> None:
    class Old(Source):
        def health(self, issuer: TrustedIssuer) -> KeysHealth:
            return KeysHealth(issuer=issuer.issuer, source="Old", keys=1, age=17.0)

    sources = KeySources({"https://one.test": Old(), "https://other.test": Source()})
    assert (sources.age(ONE.trusted), sources.age(OTHER.trusted)) == (17.0, None)


def test_each_issuer_has_a_source_of_its_own() -> None:
    one, other = Source(), Source()
    sources = KeySources({"https://one.test": one, "https://other.test": other})
    assert sources.current(ONE.trusted, HEADER) is ONES
    assert asyncio.run(sources.fetch(ONE.trusted, HEADER)) is ONES
    assert sources.health(ONE.trusted).issuer == "https://one.test"
    assert one.told == [
        ("current", "https://one.test", HEADER),
        ("fetch", "https://one.test", HEADER),
        ("current", "https://one.test", None),
    ]
    assert not other.told


def test_all_sources_are_opened_and_closed() -> None:
    told: list[str] = []

    class Told(Source):
        def open(self) -> None:
            told.append("open")

        def close(self) -> None:
            told.append("close")

    sources = KeySources({"https://one.test": Told(), "https://other.test": Told()})
    sources.open()
    sources.close()
    assert told == ["open", "open", "close", "close"]
