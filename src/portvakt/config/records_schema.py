"""The ``[records]`` table of the policy file, as plain data: where decisions are written down."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable

__all__ = [
    "LEAST_BEHIND",
    "MOST_BEHIND",
    "SINKS",
    "SYNCS",
    "RecordsTable",
]

#: Where records can be kept.
SINKS: Final = ("file", "sql", "stdout")

#: When what is written has to be on the disk: after how many seconds; None: whenever the system
#: likes.
SYNCS: Final = {"batch": 0.0, "1s": 1.0, "never": None}

#: The bounds of how far records may be behind, in seconds: a slow disk needs some; and in more than
#: a minute too many decisions wait.
LEAST_BEHIND: Final = 0.5
MOST_BEHIND: Final = 60.0

_Text = Annotated[str, Meta(min_length=1)]
_Duration = float


class RecordsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record of every decision, in chains that show what was changed."""

    sink: Annotated[
        str,
        Meta(
            description="Where: file (files in a folder), sql (a table), or stdout (lines of JSON "
            "among what else is written there).",
            extra_json_schema={"enum": list(SINKS)},
        ),
    ]
    keys: Annotated[
        tuple[SecretTable, ...],
        Meta(
            description="Where the secrets are that pseudonyms and chains are made with, each of "
            "at least 32 octets from a random generator and used for nothing else. The first one "
            "makes them; the others are for verifying older records.",
            min_length=1,
        ),
    ]
    folder: Annotated[
        _Text | UnsetType,
        Meta(
            description="For file: a folder that is there, relative to this file, and that nobody "
            "else can write to. Each process has files of its own in it."
        ),
    ] = UNSET
    fsync: Annotated[
        str | UnsetType,
        Meta(
            description="For file: when records have to survive a loss of power. batch: with every "
            "writing, some 50ms after the decision; 1s: a second later, if left out; never: when "
            "the system likes. A crash of the process alone loses nothing that was written.",
            extra_json_schema={"enum": list(SYNCS)},
        ),
    ] = UNSET
    max_file_size: Annotated[
        int | UnsetType,
        Meta(
            description="For file: the MiB after which another file begins, 100 if left out. "
            "Nothing is ever deleted."
        ),
    ] = UNSET
    max_file_age: Annotated[
        _Duration | UnsetType,
        Meta(description="For file: likewise the age, 24h if left out."),
    ] = UNSET
    url: Annotated[
        _Text | UnsetType,
        Meta(
            description="For sql: sqlite:///file.db or postgresql://user@host/database; the "
            "store's, if left out. No password in it."
        ),
    ] = UNSET
    password: Annotated[
        SecretTable | UnsetType,
        Meta(description="For sql with a url: where the password for its server is."),
    ] = UNSET
    timeout: Annotated[
        _Duration,
        Meta(description="For sql with a url: how long its server has for an answer, 50ms to 30s."),
    ] = 5.0
    max_behind: Annotated[
        _Duration,
        Meta(
            description="How far records may be behind decisions, 500ms to 60s. While they are "
            "further behind, or cannot be written, requests with a token are answered with 503."
        ),
    ] = 2.0
    unsafe_on_failure: Annotated[
        str,
        Meta(
            description="refuse: a request whose decision cannot be recorded gets 503. admit: it "
            "is admitted, and nobody will know.",
            extra_json_schema={"enum": ["refuse", "admit"]},
        ),
    ] = "refuse"

    # Somebody will write a password into the URL, so neither repr shows it (msgspec gives rich one
    # of its own).
    def __repr__(self) -> str:
        """Show what is no secret by any mistake."""
        return f"RecordsTable(max_behind={self.max_behind!r})"

    def __rich_repr__(self) -> list[tuple[str, float]]:
        """Show to rich what repr shows."""
        return [("max_behind", self.max_behind)]
