"""Which proofs of possession a token asks for."""

from __future__ import annotations

import io
from typing import Any, Final

import pytest
from rich.console import Console

from portvakt.errors import Refused
from portvakt.oauth.confirmation import Methods, methods_of
from portvakt.policy.claims import Claims
from portvakt.refusal import Code

KEY: Final = "k" * 43
CERTIFICATE: Final = "c" * 43


@pytest.mark.parametrize(
    ("confirmation", "methods"),
    [
        ({"jkt": KEY}, Methods(KEY, None)),
        ({"x5t#S256": CERTIFICATE}, Methods(None, CERTIFICATE)),
        ({"jkt": KEY, "x5t#S256": CERTIFICATE}, Methods(KEY, CERTIFICATE)),
        ({"jkt": KEY, "kid": "x", "jwk": {}}, Methods(KEY, None)),
        ({"x5t#S256": CERTIFICATE, "x5t": "x"}, Methods(None, CERTIFICATE)),
    ],
)
def test_every_method_that_is_understood_is_found(
    confirmation: dict[str, Any], methods: Methods
) -> None:
    assert methods_of(confirmation) == methods
    assert methods_of(Claims(confirmation)) == methods


@pytest.mark.parametrize(
    "confirmation",
    [
        {}, {"kid": "x"}, {"jwk": {"kty": "EC"}}, {"x5t": "x"}, {"JKT": KEY}, {"jkt ": KEY},
        {"x5t#s256": CERTIFICATE}, {"x5t#S512": CERTIFICATE}, {"x5t#S256 ": CERTIFICATE},
    ],
)  # fmt: skip
def test_without_a_method_that_is_understood_nobody_is_the_holder(
    confirmation: dict[str, Any],
) -> None:
    with pytest.raises(Refused) as caught:
        methods_of(confirmation)
    assert caught.value.refusal.code is Code.CONFIRMATION_UNMET


@pytest.mark.parametrize("value", [None, 1, 0, True, False, 1.5, [], [KEY], {}, {"jkt": KEY}, b"x"])
@pytest.mark.parametrize("beside", [{}, {"jkt": KEY}, {"x5t#S256": CERTIFICATE}, {"kid": "x"}])
@pytest.mark.parametrize("name", ["jkt", "x5t#S256"])
def test_a_method_whose_value_is_no_text_is_malformed(
    name: str, beside: dict[str, Any], value: Any
) -> None:
    with pytest.raises(Refused) as caught:
        methods_of({**beside, name: value})
    assert caught.value.refusal.code is Code.CLAIM_MALFORMED


def test_no_value_is_shown() -> None:
    both = Methods(KEY, CERTIFICATE)
    out = io.StringIO()
    Console(file=out).print(both)
    for shown in (repr(both), out.getvalue()):
        assert "key" in shown
        assert "certificate" in shown
        assert KEY not in shown
        assert CERTIFICATE not in shown
    assert repr(Methods(KEY, None)) == "Methods(key)"
