"""The ``[[register]]`` tables of the policy file, as plain data: who is asked if it is true."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

__all__ = ["KINDS", "SUBJECTS", "RegisterTable"]

#: The kinds of registers, and the settings that each must have.
KINDS: Final = {
    "enhetsregisteret": (),
    "snapshot": ("file",),
    "csv": ("file", "subject", "column"),
    "sqlite": ("file", "subject", "column", "table"),
}

#: What a list of one's own can be about.
SUBJECTS: Final = ("organisation", "supplier", "hpr_number", "pid", "client")

_Text = Annotated[str, Meta(min_length=1)]
_Duration = float


class RegisterTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One register that routes can name: it must know whom a token speaks of."""

    name: Annotated[str, Meta(description="Its name, by which routes ask it.", min_length=1)]
    kind: Annotated[
        str,
        Meta(
            description="enhetsregisteret (the open API), snapshot (a copy of it, made by portvakt "
            "registers update), csv or sqlite (a list of your own).",
            extra_json_schema={"enum": list(KINDS)},
        ),
    ]
    file: Annotated[
        _Text | UnsetType,
        Meta(description="The file of a snapshot or a list, relative to this file."),
    ] = UNSET
    subject: Annotated[
        str | UnsetType,
        Meta(
            description="What the identifiers of a list are: organisation, supplier, hpr_number, "
            "pid or client.",
        ),
    ] = UNSET
    column: Annotated[
        _Text | UnsetType, Meta(description="The column of a list that holds them.")
    ] = UNSET
    table: Annotated[_Text | UnsetType, Meta(description="The table of a SQLite file.")] = UNSET
    delimiter: Annotated[
        str | UnsetType,
        Meta(description="What stands between the columns of a CSV file; a comma if left out."),
    ] = UNSET
    base_url: Annotated[
        _Text | UnsetType,
        Meta(description="Where the open API is, if not at Brreg's own address."),
    ] = UNSET
    tolerate: Annotated[
        tuple[_Text, ...],
        Meta(
            description="What does not refuse an organisation: bankrupt, winding_up, "
            "forced_winding_up."
        ),
    ] = ()
    max_staleness: Annotated[
        _Duration | UnsetType,
        Meta(
            description="How old an answer, a snapshot or a list may be and still serve. Without "
            "it 1h for the open API, 48h for a snapshot, 24h for a list that cannot be read anew."
        ),
    ] = UNSET
