"""Claims cannot be changed, at any depth, and do not show themselves."""

import pytest
from rich.pretty import pretty_repr

from portvakt import Claims

CLAIMS = Claims({"a": {"b": [1, {"c": 2}]}, "d": ["x"], "secret": "17912099997"})


def test_objects_come_out_as_claims_and_arrays_as_tuples() -> None:
    assert isinstance(CLAIMS["a"], Claims)
    assert CLAIMS["a"]["b"][0] == 1
    assert isinstance(CLAIMS["a"]["b"][1], Claims)
    assert CLAIMS["d"] == ("x",)
    assert dict(CLAIMS["a"]["b"][1]) == {"c": 2}


def test_it_is_a_mapping() -> None:
    assert list(CLAIMS) == ["a", "d", "secret"]
    assert len(CLAIMS) == 3
    assert CLAIMS.get("none") is None
    with pytest.raises(KeyError):
        CLAIMS["none"]


def test_nothing_can_be_set() -> None:
    with pytest.raises(TypeError):
        CLAIMS["a"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        CLAIMS.other = 1  # type: ignore[attr-defined]


def test_only_names_are_shown() -> None:
    assert repr(CLAIMS) == "Claims(a, d, secret)"
    assert "17912099997" not in pretty_repr(CLAIMS)
