"""One unit as Enhetsregisteret writes it in JSON: read strictly, and only what matters of it."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from portvakt.registers.base import Reason
from portvakt.registers.units import Unit

__all__ = ["MalformedUnit", "read_main", "read_sub"]

_Number = Annotated[str, Meta(pattern=r"^[0-9]{9}\Z")]
_Date = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}", max_length=40)]


class MalformedUnit(ValueError):  # noqa: N818  it says what it is
    """The text is no unit of Enhetsregisteret. The message says why and holds nothing of it."""


class _Main(Struct, frozen=True):
    """A unit of ``/enheter``. Of a deleted one there is little more than the date."""

    organisasjonsnummer: _Number
    slettedato: _Date | None = None
    konkurs: bool | None = None
    underAvvikling: bool | None = None  # noqa: N815  the register's own name
    underTvangsavviklingEllerTvangsopplosning: bool | None = None  # noqa: N815  likewise
    overordnetEnhet: _Number | None = None  # noqa: N815  likewise


class _Sub(Struct, frozen=True):
    """A unit of ``/underenheter``. Of a deleted one there is little more than the date."""

    organisasjonsnummer: _Number
    slettedato: _Date | None = None
    overordnetEnhet: _Number | None = None  # noqa: N815  the register's own name


_decode_main: Final = msgspec.json.Decoder(_Main).decode
_decode_sub: Final = msgspec.json.Decoder(_Sub).decode


def read_main(text: bytes) -> Unit:
    """Read a main unit. Members that do not matter are passed over.

    Does not check: that no name is repeated; the last one counts.

    Raises:
        MalformedUnit: if a member that matters is missing or of the wrong type. A unit that is not
            deleted says of itself that it is not bankrupt: it is not taken to be by default.
    """
    try:
        unit = _decode_main(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedUnit(_reason(error)) from None
    if unit.slettedato is not None:
        return Unit(unit.organisasjonsnummer, None, (Reason.DELETED,))
    states = (
        (Reason.BANKRUPT, unit.konkurs),
        (Reason.FORCED_WINDING_UP, unit.underTvangsavviklingEllerTvangsopplosning),
        (Reason.WINDING_UP, unit.underAvvikling),
    )
    if any(state is None for _, state in states):
        raise MalformedUnit("a unit does not say whether it is bankrupt or being wound up")
    objections = tuple(reason for reason, state in states if state)
    return Unit(unit.organisasjonsnummer, unit.overordnetEnhet, objections)


def read_sub(text: bytes) -> Unit:
    """Read a sub-unit; as for :func:`read_main`.

    Raises:
        MalformedUnit: if a member that matters is missing or of the wrong type. A sub-unit that is
            not deleted has a unit above it.
    """
    try:
        unit = _decode_sub(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedUnit(_reason(error)) from None
    if unit.slettedato is not None:
        return Unit(unit.organisasjonsnummer, None, (Reason.DELETED,))
    if unit.overordnetEnhet is None:
        raise MalformedUnit("a sub-unit has no unit above it")
    return Unit(unit.organisasjonsnummer, unit.overordnetEnhet)


def _reason(error: Exception) -> str:
    # The decoder's own words quote what was received.
    if isinstance(error, msgspec.ValidationError):
        return "a unit has a member that is missing or of the wrong type"
    return "a unit is not JSON"
