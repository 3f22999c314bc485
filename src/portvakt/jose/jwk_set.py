"""A set of public keys (RFC 7517 section 5): the good ones, and exactly one for each token.

One bad key is left out and named; the good ones stay.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.jose.jwk import Jwk, NotUsable, import_jwk
from portvakt.refusal import Code

__all__ = ["MAX_SET", "IgnoredKey", "JwkSet", "MalformedKeySet"]

MAX_KEYS: Final = 100
MAX_SET: Final = 512 * 1024


class MalformedKeySet(ValueError):  # noqa: N818  it says what the document is
    """The document is no JWK set at all. The message never holds the document."""


class IgnoredKey(Struct, frozen=True):
    """A member of a key set that is not used, and why.

    Attributes:
        position: its index in the set.
        kid: its name if it has one.
        reason: why it is not used.
        secret: whether it held a private or symmetric key.
    """

    position: int
    kid: str | None
    reason: str
    secret: bool


class JwkSet(Struct, frozen=True, eq=False):
    """The keys of one issuer at one time. Two sets are the same only if they are one object.

    Attributes:
        keys: the usable keys, in the order of the document.
        ignored: the others.
    """

    keys: tuple[Jwk, ...]
    ignored: tuple[IgnoredKey, ...]
    _table: dict[tuple[str, str | None], Jwk | None]

    @classmethod
    def from_json(
        cls, text: bytes, algorithms: Iterable[str], pinned: Collection[str] = ()
    ) -> "JwkSet":
        """Import a JWK set (RFC 7517 section 5) from JSON.

        Parameters:
            text: the document, at most 512 KiB.
            algorithms: what the issuer's policy allows; it decides where a key does not say.
            pinned: if any, the RFC 7638 thumbprints of the only keys that may be used.

        Raises:
            MalformedKeySet: if it is no key set. A bad key in it is ignored, not raised.
        """
        if len(text) > MAX_SET:
            raise MalformedKeySet(f"the key set is longer than {MAX_SET} octets")
        try:
            return cls.from_object(decode_object(text), algorithms, pinned)
        except NotCanonical as flaw:
            raise MalformedKeySet(f"the key set is not strict JSON: {flaw}") from None

    @classmethod
    def from_object(
        cls, document: Mapping[str, Any], algorithms: Iterable[str], pinned: Collection[str] = ()
    ) -> "JwkSet":
        """Import a decoded JWK set; see :meth:`from_json`."""
        members = document.get("keys")
        if not isinstance(members, list | tuple):
            raise MalformedKeySet("the key set has no array named keys")
        if len(members) > MAX_KEYS:
            raise MalformedKeySet(f"the key set has more than {MAX_KEYS} keys")
        allowed = frozenset(algorithms)
        keys: dict[tuple[str | None, str], Jwk] = {}
        ignored: list[IgnoredKey] = []
        for position, member in enumerate(members):
            try:
                key = _import(member, allowed, pinned)
            except NotUsable as flaw:
                name = member.get("kid") if isinstance(member, Mapping) else None
                kid = name if isinstance(name, str) else None
                ignored.append(IgnoredKey(position, kid, str(flaw), flaw.secret))
            else:
                # A key that is listed twice under one name is one key.
                keys.setdefault((key.kid, key.thumbprint), key)
        return cls(tuple(keys.values()), tuple(ignored), _tabulate(tuple(keys.values())))

    def select(self, alg: str, kid: str | None) -> Jwk:
        """Return the one key of this name that verifies this algorithm.

        Without a name there must be exactly one key for the algorithm. The name is compared code
        point by code point and is used for nothing else.

        Parameters:
            alg: the algorithm that the token claims, already found to be allowed.
            kid: the name that the token gives, or None.

        Raises:
            Refused: ``key_unknown`` if there is none, ``key_ambiguous`` if there are several.
        """
        try:
            key = self._table[alg, kid]
        except KeyError:
            key = self._nameless(alg)
        if key is None:
            raise Refused(Code.KEY_AMBIGUOUS, f"several keys of this issuer fit {alg}")
        return key

    def has(self, alg: str, kid: str | None) -> bool:
        """Whether :meth:`select` would find at least one key."""
        return (alg, kid) in self._table or (
            len(self.keys) == 1 and self.keys[0].kid is None and (alg, None) in self._table
        )

    def same_as(self, other: "JwkSet") -> bool:
        """Whether two sets have the same keys, under the same names, and ignore the same."""
        return self.ignored == other.ignored and [
            (key.kid, key.thumbprint, key.algorithms) for key in self.keys
        ] == [(key.kid, key.thumbprint, key.algorithms) for key in other.keys]

    def _nameless(self, alg: str) -> Jwk:
        # A configured file with one key and no name for it: there is nothing to confuse it with.
        if len(self.keys) == 1 and self.keys[0].kid is None:
            key = self._table.get((alg, None))
            if key is not None:
                return key
        raise Refused(Code.KEY_UNKNOWN, f"no key of this issuer has this kid and fits {alg}")

    def __repr__(self) -> str:
        """Show names, not key material."""
        return f"JwkSet({', '.join(key.kid or key.thumbprint for key in self.keys)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show to rich what repr shows."""
        return [("keys", [key.kid or key.thumbprint for key in self.keys])]


def _import(member: object, allowed: frozenset[str], pinned: Collection[str]) -> Jwk:
    key = import_jwk(member, allowed)
    if pinned and key.thumbprint not in pinned:
        raise NotUsable("its thumbprint is not one of those that are pinned")
    return key


def _tabulate(keys: Iterable[Jwk]) -> dict[tuple[str, str | None], Jwk | None]:
    """Index keys by algorithm and name, and by algorithm alone; None stands for several."""
    table: dict[tuple[str, str | None], Jwk | None] = {}
    for key in keys:
        for alg in key.algorithms:
            for place in {(alg, key.kid), (alg, None)}:
                table[place] = None if place in table else key
    return table
