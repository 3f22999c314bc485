"""The ``[store]`` table of the policy file, as plain data: where guards remember together."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable

__all__ = [
    "LEAST_TIMEOUT",
    "MOST_TIMEOUT",
    "MOST_USES",
    "StoreTable",
]

#: The bounds of a timeout, in seconds. A request waits for so long, and refuses then.
LEAST_TIMEOUT: Final = 0.05
MOST_TIMEOUT: Final = 30.0

#: The bound of the bounds: what fits in no memory is no bound.
MOST_USES: Final = 100_000_000

_Duration = float


class StoreTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where used proofs and revocations are remembered."""

    url: Annotated[
        str,
        Meta(
            description="sqlite:///file.db (relative to this file) for the processes of one "
            "machine; postgresql://user@host/database, redis://host, rediss://host, "
            "redis+cluster://host for several; memory:// for one process alone. No password in it.",
            min_length=1,
        ),
    ]
    password: Annotated[
        SecretTable | UnsetType,
        Meta(description="Where the password for the store's server is."),
    ] = UNSET
    timeout: Annotated[
        _Duration,
        Meta(
            description="How long a request waits for the store before it is refused: 50ms to 30s."
        ),
    ] = 1.0
    replay_capacity: Annotated[
        int,
        Meta(
            description="How many used proofs are remembered at the same time. More are refused, "
            "and none that is still valid is forgotten."
        ),
    ] = 1_000_000
    replay_per_key: Annotated[
        int,
        Meta(description="And how many of one client's key, so that none fills it for others."),
    ] = 20_000

    # Somebody will write a password into the URL, so neither repr shows it (msgspec gives rich one
    # of its own).
    def __repr__(self) -> str:
        """Show what is no secret by any mistake."""
        return f"StoreTable(timeout={self.timeout!r})"

    def __rich_repr__(self) -> list[tuple[str, float]]:
        """Show to rich what repr shows."""
        return [("timeout", self.timeout)]
