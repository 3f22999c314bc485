"""Nonces: which are good, for how long, and with which keys."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.errors import ConfigurationError
from portvakt.oauth.dpop_nonce import Nonces

OLD, NEW = b"o" * 32, b"n" * 32
NOW = 1_800_000_000.0


def test_a_nonce_is_good_for_half_its_lifetime_at_least_and_its_lifetime_at_most() -> None:
    nonces = Nonces((NEW,), 300)
    made = nonces.make(NOW)  # The first moment of a slot.
    assert nonces.check(made, NOW)
    assert nonces.check(made, NOW + 299.9)
    assert not nonces.check(made, NOW + 300)
    late = nonces.make(NOW + 149.9)
    assert late == made
    assert nonces.make(NOW + 150) != made
    assert nonces.check(late, NOW + 149.9 + 150)


@pytest.mark.parametrize("lifetime", [0.5, 1.0, 5.0])
def test_half_a_lifetime_may_be_a_fraction(lifetime: float) -> None:
    nonces = Nonces((NEW,), lifetime)
    made = nonces.make(0)
    assert nonces.make(lifetime * 0.49) == made
    assert nonces.make(lifetime * 0.5) != made
    assert nonces.check(made, lifetime * 0.99)
    assert not nonces.check(made, lifetime)


def test_five_minutes_are_a_lifetime_unless_another_is_stated() -> None:
    usual = Nonces((NEW,)).make(NOW)
    assert usual == Nonces((NEW,), 300).make(NOW)
    assert usual != Nonces((NEW,), 299).make(NOW)
    assert usual != Nonces((NEW,), 301).make(NOW)


def test_a_longer_key_is_a_key() -> None:
    long = Nonces((b"n" * 64,))
    assert long.check(long.make(NOW), NOW)
    assert long.make(NOW) != Nonces((NEW,)).make(NOW)


@pytest.mark.parametrize("now", [-200.0, -100.0, 0.0, 100.0, 200.0])
def test_the_first_nonce_is_made_at_any_time(now: float) -> None:
    nonces = Nonces((NEW,))
    assert nonces.check(nonces.make(now), now)


def test_a_nonce_of_the_future_is_not_good() -> None:
    nonces = Nonces((NEW,), 300)
    assert not nonces.check(nonces.make(NOW + 150), NOW)


def test_time_that_goes_back_is_judged_as_it_is() -> None:
    nonces = Nonces((NEW,), 300)
    first = nonces.make(NOW)
    nonces.make(NOW + 1000)
    assert nonces.make(NOW) == first
    assert nonces.check(first, NOW)


def test_the_first_key_makes_and_all_check() -> None:
    before, during, after = Nonces((OLD,)), Nonces((NEW, OLD)), Nonces((NEW,))
    assert during.make(NOW) == after.make(NOW) != before.make(NOW)
    assert during.check(before.make(NOW), NOW)
    assert during.check(after.make(NOW), NOW)
    assert not after.check(before.make(NOW), NOW)
    assert not before.check(after.make(NOW), NOW)


def test_every_process_with_the_key_knows_the_nonce() -> None:
    assert Nonces((NEW,)).check(Nonces((NEW,)).make(NOW), NOW)


@given(st.text(max_size=44))
def test_no_other_text_is_a_nonce(text: str) -> None:
    assert Nonces((NEW,)).check(text, NOW) == (text == Nonces((NEW,)).make(NOW))


def test_half_a_surrogate_pair_is_no_nonce() -> None:
    assert not Nonces((NEW,)).check("\ud800", NOW)


@given(st.floats(0, 1e11))
def test_a_nonce_is_short_and_opaque(now: float) -> None:
    nonce = Nonces((NEW,)).make(now)
    assert len(nonce) == 22
    assert nonce.replace("-", "a").replace("_", "a").isalnum()


@pytest.mark.parametrize(
    ("keys", "lifetime", "place"),
    [
        ((), 300.0, "nonce_keys"),
        ((b"n" * 31,), 300.0, "nonce_keys[0]"),
        ((NEW, b""), 300.0, "nonce_keys[1]"),
        ((NEW,), 0.0, "nonce_lifetime"),
        ((NEW,), -1.0, "nonce_lifetime"),
        ((NEW,), math.inf, "nonce_lifetime"),
        ((NEW,), math.nan, "nonce_lifetime"),
    ],
)
def test_weak_settings_are_refused(keys: tuple[bytes, ...], lifetime: float, place: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        Nonces(keys, lifetime)
    assert [problem.place for problem in error.value.problems] == [place]
    assert "nnn" not in str(error.value)


def test_nothing_of_a_key_is_shown() -> None:
    assert repr(Nonces((NEW, OLD))) == "Nonces(2 keys)"
