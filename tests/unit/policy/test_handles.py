"""What a revocation can name a token by: one digest for each thing, and none for what is not."""

from __future__ import annotations

from typing import Final

import pytest

from portvakt.policy.handles import Kind, handle_of, handles_of

ISSUER: Final = "https://issuer.test"
NAMES: Final = {
    "token_id": Kind.TOKEN,
    "session": Kind.SESSION,
    "subject": Kind.SUBJECT,
    "client_id": Kind.CLIENT,
    "key_thumbprint": Kind.KEY,
}


@pytest.mark.parametrize("name", NAMES)
def test_a_token_has_a_handle_for_each_thing_that_it_says(name: str) -> None:
    said = dict.fromkeys(NAMES) | {name: "the same"}
    everything = handle_of(Kind.ISSUER, ISSUER, "")
    expected = {everything, handle_of(NAMES[name], ISSUER, "the same")}
    assert handles_of(ISSUER, **said) == expected
    assert handles_of(ISSUER, **dict.fromkeys(NAMES)) == {everything}


def test_no_two_things_have_one_handle() -> None:
    every = {
        handle_of(kind, issuer, value)
        for kind in Kind
        for issuer in (ISSUER, ISSUER + "a", "")
        for value in ("", "a", "aa", "\u00e6", "\ud800")
    }
    assert len(every) == len(Kind) * 3 * 5
    # Where one ends and the other begins is part of it.
    assert handle_of(Kind.TOKEN, "ab", "c") != handle_of(Kind.TOKEN, "a", "bc")
    assert {len(one) for one in every} == {16}


def test_what_was_digested_before_is_the_same_again() -> None:
    said = {name: f"{name} of it" for name in NAMES}
    expected = {handle_of(kind, ISSUER, said[name]) for name, kind in NAMES.items()}
    for _ in range(2):
        assert handles_of(ISSUER, **said) == expected | {handle_of(Kind.ISSUER, ISSUER, "")}
