"""What a key store holds, as plain data: entries by name, each with versions."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, ValidationError, convert, to_builtins

from portvakt.errors import ConfigurationError
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encoding import NotCanonical, decode_object, encode_object
from portvakt.jose.signer import Signer
from portvakt.keystore.base import NAME, State

__all__ = [
    "DECRYPTION",
    "SECRET",
    "SIGNING",
    "Entry",
    "Value",
    "Version",
    "kind_of",
    "read_entries",
    "version_of",
    "write_entries",
]

Value = str | Signer | DecryptionKey
"""A secret, a key that signs, a key that decrypts."""

SECRET: Final = "secret"  # noqa: S105  the name of a kind
SIGNING: Final = "signing key"
DECRYPTION: Final = "decryption key"


class Version(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One secret, or one private JWK, and where it stands in its life."""

    state: State
    secret: str | None = None
    key: dict[str, Any] | None = None

    def __repr__(self) -> str:
        """Show the state, never the secret (msgspec gives rich a repr of its own)."""
        return f"Version({self.state.value})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("state", self.state.value)]


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """All versions of what has one name. They are of one kind, and at most one is current.

    Attributes:
        kind: secret, signing key or decryption key.
        versions: the newest first.
    """

    kind: str
    versions: tuple[Version, ...]

    def in_state(self, state: State) -> Version | None:
        """Return the newest version in a state, or None."""
        return next((one for one in self.versions if one.state is state), None)


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    entries: dict[str, Entry]


def kind_of(value: Value) -> str:
    """Return of which kind a value is."""
    if isinstance(value, Signer):
        return SIGNING
    return DECRYPTION if isinstance(value, DecryptionKey) else SECRET


def version_of(value: Value, state: State) -> Version:
    """Make a version of a value."""
    if isinstance(value, str):
        return Version(state, secret=value)
    return Version(state, key=value.private_jwk())


def write_entries(entries: Mapping[str, Entry]) -> bytes:
    """Write entries as JSON."""
    content: dict[str, Any] = to_builtins(_Content(dict(entries)))
    return encode_object(content)


def read_entries(text: bytes) -> dict[str, Entry]:
    """Read entries, strictly. Whether a key is a key is seen when it is asked for.

    Raises:
        ConfigurationError: if they are not of the form that is written. The message holds nothing
            of them.
    """
    try:
        entries = convert(decode_object(text), _Content).entries
    except (NotCanonical, ValidationError):
        raise ConfigurationError("the key store holds something of another form") from None
    for name, entry in entries.items():
        if not NAME.fullmatch(name) or not _is_sound(entry):
            raise ConfigurationError("the key store holds something of another form")
    return entries


def _is_sound(entry: Entry) -> bool:
    if entry.kind not in {SECRET, SIGNING, DECRYPTION}:
        return False
    secret = entry.kind == SECRET
    if any(
        (one.secret is not None) != secret or (one.key is None) != secret for one in entry.versions
    ):
        return False
    states = [one.state for one in entry.versions]
    return states.count(State.CURRENT) == 1 and states.count(State.NEXT) <= 1
