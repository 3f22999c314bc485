"""From where a secret is to the secret: environment variables, files and the key store."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from msgspec import UnsetType

from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.jose.signer import Signer, private_jwk_of
from portvakt.keystore.base import KeyStore
from portvakt.keystore.permissions import read_private
from portvakt.keystore.traceless import traceless

__all__ = ["Reference", "Secrets"]

#: Octets of a file with a secret: a set of a dozen private keys has half of it.
MAX_FILE: Final = 64 * 1024

T = TypeVar("T")


class Reference(Protocol):
    """Where a secret is: one of the three, as the policy's SecretTable states it."""

    @property
    def env(self) -> str | UnsetType:
        """Name an environment variable."""

    @property
    def file(self) -> str | UnsetType:
        """Name a file, relative to the policy file."""

    @property
    def keystore(self) -> str | UnsetType:
        """Name an entry of the key store."""


class Secrets:
    """Finds what references refer to. At start-up, once for each: nothing is watched.

    Whatever fails is a ConfigurationError with the place of the reference. No message, and no
    variable on the way of an error, holds a secret.

    Parameters:
        folder: what files are relative to: where the policy file is.
        environ: the environment.
        keystore: the key store, or None where the policy has none.
    """

    __slots__ = ("_environ", "_folder", "_keystore")

    def __init__(
        self, folder: Path, environ: Mapping[str, str], keystore: KeyStore | None = None
    ) -> None:
        self._folder = folder
        self._environ = environ
        self._keystore = keystore

    @traceless
    def text(self, reference: Reference, place: str = "") -> str:
        """Return a secret, without the line break that ends a file.

        Raises:
            ConfigurationError: if it is not there, empty, no text, or open to others.
        """
        return _placed(place, lambda: self._text(reference))

    @traceless
    def signer(self, reference: Reference, place: str = "", *, alg: str | None = None) -> Signer:
        """Return a private key that signs: a private JWK, or an unencrypted PEM file.

        Parameters:
            reference: where it is.
            place: where the reference stands in the policy.
            alg: the algorithm, for a key that does not say it and leaves a choice.

        Raises:
            ConfigurationError: if it is not there, malformed, or for something else.
        """
        return _placed(place, lambda: self._signer(reference, alg))

    @traceless
    def decryption_keys(
        self, reference: Reference, place: str = "", *, alg: str | None = None
    ) -> tuple[DecryptionKey, ...]:
        """Return private keys that decrypt: of an entry all versions; a private JWK, a set, or PEM.

        Raises:
            ConfigurationError: if there is none, or one is malformed, weak or for something else.
        """
        return _placed(place, lambda: self._decryption_keys(reference, alg))

    def __repr__(self) -> str:
        """Show nothing of what it knows."""
        return "Secrets()"

    def _text(self, reference: Reference) -> str:
        if isinstance(reference.keystore, str):
            return self._store().secret(reference.keystore)
        if isinstance(reference.env, str):
            found = self._environ.get(reference.env)
            if not found:
                raise ConfigurationError("the environment variable that it names is not set")
            return found
        octets = read_private(self._folder / str(reference.file), MAX_FILE)
        try:
            text = octets.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigurationError("the file that it names is not UTF-8") from None
        if not text:
            raise ConfigurationError("the file that it names is empty")
        return text

    def _signer(self, reference: Reference, alg: str | None) -> Signer:
        if isinstance(reference.keystore, str):
            return self._store().signer(reference.keystore)
        jwk = _jwk(self._text(reference))
        if jwk.get("use", "sig") != "sig":
            raise ConfigurationError("the private JWK is for something else: its use is not sig")
        return Signer.from_jwk(jwk, alg=alg)

    def _decryption_keys(self, reference: Reference, alg: str | None) -> tuple[DecryptionKey, ...]:
        if isinstance(reference.keystore, str):
            return self._store().decryption_keys(reference.keystore)
        found = _jwk(self._text(reference))
        if "keys" not in found:
            return (DecryptionKey.from_jwk(found, alg=alg),)
        keys: Any = found["keys"]
        if not isinstance(keys, list) or not keys or not all(isinstance(it, dict) for it in keys):
            raise ConfigurationError("the set of private keys is malformed, or empty")
        return tuple(DecryptionKey.from_jwk(jwk, alg=alg) for jwk in keys)

    def _store(self) -> KeyStore:
        if self._keystore is None:
            raise ConfigurationError("there is no key store: the policy has no [keystore]")
        return self._keystore


def _placed(place: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except ConfigurationError as error:
        found: Iterable[Problem] = error.problems
    raise ConfigurationError(Problem(place, problem.message) for problem in found)


def _jwk(text: str) -> Mapping[str, Any]:
    if text.startswith("-----BEGIN"):
        return _pem(text)
    try:
        return decode_object(text.encode())
    except (NotCanonical, UnicodeEncodeError):
        raise ConfigurationError("it is neither a private JWK nor a private key in PEM") from None


def _pem(text: str) -> Mapping[str, Any]:
    try:
        return private_jwk_of(load_pem_private_key(text.encode(), None))
    except TypeError:
        raise ConfigurationError(
            "the private key in PEM is encrypted: store it decrypted"
        ) from None
    except (ValueError, UnsupportedAlgorithm, StopIteration, KeyError):
        raise ConfigurationError("it is not a private key in PEM of a kind that is known") from None
