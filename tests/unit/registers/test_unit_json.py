"""Units as Enhetsregisteret writes them, and whatever else may come."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.registers.base import Reason
from portvakt.registers.unit_json import MalformedUnit, read_main, read_sub
from portvakt.registers.units import Unit
from unit.registers.conftest import CHILD, ORGANISATION, OTHER, main_unit, sub_unit


def test_a_main_unit() -> None:
    assert read_main(main_unit()) == Unit(ORGANISATION, None)
    assert read_main(main_unit(overordnetEnhet=OTHER)) == Unit(ORGANISATION, OTHER)
    assert read_main(main_unit(slettedato=None)) == Unit(ORGANISATION, None)


@pytest.mark.parametrize(
    ("members", "objections"),
    [
        ({"konkurs": True}, (Reason.BANKRUPT,)),
        ({"underAvvikling": True}, (Reason.WINDING_UP,)),
        ({"underTvangsavviklingEllerTvangsopplosning": True}, (Reason.FORCED_WINDING_UP,)),
        ({"konkurs": True, "underAvvikling": True}, (Reason.BANKRUPT, Reason.WINDING_UP)),
        ({"slettedato": "2024-02-29", "konkurs": ...}, (Reason.DELETED,)),
        ({"slettedato": "2024-02-29T00:00:00Z", "konkurs": True}, (Reason.DELETED,)),
    ],
)
def test_what_is_against_a_main_unit(
    members: dict[str, Any], objections: tuple[Reason, ...]
) -> None:
    assert read_main(main_unit(**members)) == Unit(ORGANISATION, None, objections)


def test_a_sub_unit() -> None:
    assert read_sub(sub_unit()) == Unit(CHILD, ORGANISATION)
    deleted = b'{"organisasjonsnummer": "873255102", "slettedato": "2024-02-29"}'
    assert read_sub(deleted) == Unit(CHILD, None, (Reason.DELETED,))


MEMBERS: dict[str, Any] = {}
NAMES = ["konkurs", "underAvvikling", "underTvangsavviklingEllerTvangsopplosning"]


@pytest.mark.parametrize("name", [*NAMES, "organisasjonsnummer"])
@pytest.mark.parametrize("value", [..., None, 0, 1, "false", [], {}])
def test_a_member_that_is_missing_or_of_another_type(name: str, value: object) -> None:
    with pytest.raises(MalformedUnit):
        read_main(main_unit(**MEMBERS | {name: value}))


@pytest.mark.parametrize("value", ["97458909", "9745890955", "974589095\n", "97458909a", 974589095])
def test_a_number_is_nine_digits(value: object) -> None:
    for text in (
        sub_unit(organisasjonsnummer=value),
        sub_unit(overordnetEnhet=value),
    ):
        with pytest.raises(MalformedUnit):
            read_sub(text)
    with pytest.raises(MalformedUnit):
        read_main(main_unit(overordnetEnhet=value))


@pytest.mark.parametrize(
    "value", ["", "yes", True, 20240229, "29.02.2024", "2024-02-29" + "0" * 31]
)
def test_a_date_is_a_date(value: object) -> None:
    for read, text in (
        (read_main, main_unit(slettedato=value)),
        (read_sub, sub_unit(slettedato=value)),
    ):
        with pytest.raises(MalformedUnit):
            read(text)


def test_a_sub_unit_has_somebody_above_it() -> None:
    with pytest.raises(MalformedUnit, match="no unit above"):
        read_sub(sub_unit(parent=None))


@pytest.mark.parametrize(
    "text",
    [b"", b"null", b"[]", b'"a"', b"<html>", b"\xff\xfe", b'{"organisasjonsnummer": "\xff"}'],
)
def test_what_is_no_object_is_no_unit(text: bytes) -> None:
    for read in (read_main, read_sub):
        with pytest.raises(MalformedUnit):
            read(text)


def test_the_flaw_holds_nothing_of_what_was_received() -> None:
    with pytest.raises(MalformedUnit) as flaw:
        read_main(main_unit(konkurs="05076600324"))
    assert "05076600324" not in str(flaw.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([ORGANISATION]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from([*NAMES, "organisasjonsnummer", "slettedato", "overordnetEnhet", "navn"]),
        _JSON,
    ).map(lambda unit: json.dumps(unit).encode())
)
def test_anything_is_a_unit_or_malformed(text: bytes) -> None:
    for read in (read_main, read_sub):
        try:
            unit = read(text)
        except MalformedUnit:
            continue
        assert json.loads(text)["organisasjonsnummer"] == unit.number
