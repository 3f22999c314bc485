"""A key store in one encrypted file, for this user alone."""

import contextlib
import importlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from portvakt.errors import ConfigurationError, said_of
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.signer import Signer
from portvakt.keystore.base import NAME, State
from portvakt.keystore.entries import (
    DECRYPTION,
    SECRET,
    SIGNING,
    Entry,
    Value,
    Version,
    kind_of,
    read_entries,
    version_of,
    write_entries,
)
from portvakt.keystore.permissions import check_folder, read_private
from portvakt.keystore.sealed import COST, seal, unseal
from portvakt.keystore.traceless import traceless

__all__ = ["EncryptedFile"]

#: Locks of files; Windows has none of this kind.
_fcntl: Final[Any] = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

#: Octets of a file: hundreds of keys.
MAX_FILE: Final = 1024 * 1024

#: Characters of a passphrase that seals a new file.
MIN_PASSPHRASE: Final = 12


class EncryptedFile:
    """Named keys and secrets in a file that a passphrase opens.

    The file is read once; what another process changes later, this one sees when it opens the file
    anew. Each change is written at once, in the place of the whole file or not at all.

    It is made by :meth:`open` and :meth:`create`.
    """

    __slots__ = ("_cost", "_entries", "_passphrase", "_path", "_seen")

    def __init__(
        self,
        path: Path,
        passphrase: str,
        cost: int,
        seen: bytes | None,
        entries: Mapping[str, Entry],
    ) -> None:
        self._path = path
        self._passphrase = passphrase
        #: The file as it was read or written last: what a change is a change of.
        self._seen = seen
        self._entries: dict[str, Entry] = dict(entries)
        self._cost = cost

    @classmethod
    @traceless
    def open(cls, path: Path, passphrase: str) -> "EncryptedFile":
        """Open a file that is there.

        Raises:
            ConfigurationError: if it cannot be read, others have access to it, it is damaged or the
                passphrase is wrong.
        """
        path = _followed(path)
        check_folder(path.parent)
        if not path.exists():
            raise ConfigurationError("there is no such key store: portvakt keys generate makes one")
        octets = read_private(path, MAX_FILE)
        content, cost = unseal(octets, passphrase)
        return cls(path, passphrase, cost, octets, read_entries(content))

    @classmethod
    @traceless
    def create(cls, path: Path, passphrase: str, *, cost: int = COST) -> "EncryptedFile":
        """Make a new file, with nothing in it.

        Parameters:
            path: where; its folder must be there.
            passphrase: at least 12 characters. It is what stands between a stolen file and the
                keys, so let a program choose it.
            cost: what it costs to try a passphrase, N of RFC 7914.

        Raises:
            ConfigurationError: if there is a file already, others could replace it, or the
                passphrase is short.
        """
        if len(passphrase) < MIN_PASSPHRASE:
            raise ConfigurationError(
                f"the passphrase has fewer than {MIN_PASSPHRASE} characters: let a program choose "
                "a longer one"
            )
        made = cls(_followed(path), passphrase, cost, None, {})
        made._write({})
        return made

    def names(self) -> tuple[str, ...]:
        """Return the names of the entries, in order."""
        return tuple(sorted(self._entries))

    @traceless
    def versions(self, name: str) -> tuple[tuple[State, str | None], ...]:
        """Return the state of each version of a name, and the kid of a key: nothing secret.

        Raises:
            ConfigurationError: if there is no such entry.
        """
        return tuple(
            (one.state, None if one.key is None else str(one.key.get("kid")))
            for one in self._entry(name).versions
        )

    @traceless
    def kind(self, name: str) -> str:
        """Return what an entry is: a secret, a signing key or a decryption key.

        Raises:
            ConfigurationError: if there is no such entry.
        """
        return self._entry(name).kind

    @traceless
    def secret(self, name: str) -> str:
        """Return the current secret of a name.

        Raises:
            ConfigurationError: if there is none.
        """
        return self._current(name, SECRET).secret or ""

    @traceless
    def signer(self, name: str) -> Signer:
        """Return the current signing key of a name.

        Raises:
            ConfigurationError: if there is none.
        """
        return Signer.from_jwk(self._current(name, SIGNING).key or {})

    @traceless
    def decryption_keys(self, name: str) -> tuple[DecryptionKey, ...]:
        """Return all keys of a name that decrypt, the newest first.

        Raises:
            ConfigurationError: if there is none.
        """
        versions = self._of_kind(name, DECRYPTION).versions
        return tuple(DecryptionKey.from_jwk(one.key or {}) for one in versions)

    @traceless
    def published(self, name: str) -> dict[str, Any]:
        """Return the JWK set to publish: public halves only.

        Of a signing key all versions, as long as signatures of theirs are on their way and before
        there are any; of a decryption key the current one, for that is the one to encrypt to.

        Raises:
            ConfigurationError: if there is no such entry, or it is a secret.
        """
        entry = self._entry(name)
        if entry.kind == SIGNING:
            signers = [Signer.from_jwk(one.key or {}) for one in entry.versions]
            return {"keys": [signer.public_jwk() for signer in signers]}
        current = self._current(name, DECRYPTION)
        return {"keys": [DecryptionKey.from_jwk(current.key or {}).public_jwk()]}

    @traceless
    def put(self, name: str, value: Value, *, state: State = State.CURRENT) -> None:
        """Make a new entry, or add the next version of one; see :meth:`rotate`.

        Parameters:
            name: the name of the entry.
            value: a secret, or a key that signs or decrypts.
            state: CURRENT for the first version, NEXT for the one that is to follow.

        Raises:
            ConfigurationError: if the name will not do, there is a version in that state, or the
                entry is of another kind.
        """
        if not NAME.fullmatch(name):
            raise ConfigurationError("a name is letters, digits, dots, hyphens: at most 64")
        if isinstance(value, str) and not _is_text(value):
            raise ConfigurationError("a secret is text, and not empty")
        entry = self._entries.get(name, Entry(kind_of(value), ()))
        if entry.kind != kind_of(value):
            raise ConfigurationError(said_of(name, f"is the name of a {entry.kind}"))
        if entry.versions and state is not State.NEXT:
            what = "is there already: add the new version as next, and rotate it"
            raise ConfigurationError(said_of(name, what))
        if not entry.versions and state is not State.CURRENT:
            raise ConfigurationError(
                said_of(name, "is not there yet: the first version is current")
            )
        if entry.in_state(state) is not None:
            raise ConfigurationError(said_of(name, "has a next version already: rotate it first"))
        versions = (version_of(value, state), *entry.versions)
        self._write({**self._entries, name: Entry(entry.kind, versions)})

    @traceless
    def rotate(self, name: str) -> None:
        """Make the next version current, and the current one retired.

        Raises:
            ConfigurationError: if there is no such entry, or nothing is next.
        """
        entry = self._entry(name)
        if entry.in_state(State.NEXT) is None:
            raise ConfigurationError(said_of(name, "has no next version: put one first"))
        versions = tuple(Version(_AFTER[one.state], one.secret, one.key) for one in entry.versions)
        self._write({**self._entries, name: Entry(entry.kind, versions)})

    @traceless
    def drop_retired(self, name: str) -> None:
        """Forget the retired versions of a name: what was made for them is refused from now on.

        Raises:
            ConfigurationError: if there is no such entry.
        """
        entry = self._entry(name)
        kept = tuple(one for one in entry.versions if one.state is not State.RETIRED)
        self._write({**self._entries, name: Entry(entry.kind, kept)})

    @traceless
    def remove(self, name: str) -> None:
        """Forget an entry with all its versions.

        Raises:
            ConfigurationError: if there is no such entry.
        """
        self._entry(name)
        self._write({one: entry for one, entry in self._entries.items() if one != name})

    def __repr__(self) -> str:
        """Show how much there is in it."""
        return f"EncryptedFile({len(self._entries)} entries)"

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise ConfigurationError("the key store has no entry of this name")
        return entry

    def _of_kind(self, name: str, kind: str) -> Entry:
        entry = self._entry(name)
        if entry.kind != kind:
            raise ConfigurationError(f"the entry of this name is a {entry.kind}, not a {kind}")
        return entry

    def _current(self, name: str, kind: str) -> Version:
        entry = self._of_kind(name, kind)
        return next(one for one in entry.versions if one.state is State.CURRENT)

    def _write(self, entries: dict[str, Entry]) -> None:
        octets = seal(write_entries(entries), self._passphrase, self._cost)
        if len(octets) > MAX_FILE:
            raise ConfigurationError(f"the key store would be longer than {MAX_FILE} octets")
        check_folder(self._path.parent)
        try:
            with _alone(self._path.parent):
                self._check_unchanged()
                _replace(self._path, octets)
        except OSError as error:
            raise ConfigurationError(f"the file cannot be written: {error.strerror}") from None
        self._seen, self._entries = octets, entries

    def _check_unchanged(self) -> None:
        if self._seen is None:
            if self._path.exists():
                raise ConfigurationError("there is a file of this name already")
        elif read_private(self._path, MAX_FILE) != self._seen:
            raise ConfigurationError("another process changed the key store: open it anew")


#: What becomes of a version when its entry is rotated.
_AFTER: Final = {
    State.NEXT: State.CURRENT,
    State.CURRENT: State.RETIRED,
    State.RETIRED: State.RETIRED,
}


def _is_text(value: str) -> bool:
    # Half of a surrogate pair is no character and has no UTF-8; an environment may hold one.
    return bool(value) and value == value.encode("utf-8", "ignore").decode("utf-8")


def _followed(path: Path) -> Path:
    # What replaced a link would be another key store than the one that others read.
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other writers out, as far as the platform has locks, while the file is replaced."""
    if _fcntl is None:
        yield  # Two writers at the very same time could lose the work of one.
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _fcntl.flock(handle, _fcntl.LOCK_EX)
        yield
        # The new name lasts only when the folder does.
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(path: Path, octets: bytes) -> None:
    # A name that nobody can foresee, for this user alone from its first moment.
    handle, draft = tempfile.mkstemp(".new", f".{path.name}.", path.parent)
    try:
        with open(handle, "wb") as file:  # noqa: PTH123  it is open already
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise
