"""What a revocation can name a token by: digests of what the token says of itself.

A digest of sixteen octets, since a hundred thousand of them must fit into the memory of every
guard, and since what is shared with other machines should name nobody. Two different things have
different digests by any chance that matters here: a collision would refuse, never admit.
"""

from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

__all__ = ["NO_HANDLES", "Kind", "handle_of", "handles_of"]

#: Of a token that nobody asked to be named.
NO_HANDLES: Final[frozenset[bytes]] = frozenset()


class Kind(Enum):
    """What can be revoked. The values are the words of the command line and of a log."""

    TOKEN = "token"  # noqa: S105  the word, not one
    SESSION = "session"
    SUBJECT = "subject"
    CLIENT = "client"
    KEY = "key"
    ISSUER = "issuer"


def handle_of(kind: Kind, issuer: str, value: str) -> bytes:
    """Return the handle of one thing.

    Parameters:
        kind: what it is.
        issuer: the issuer that gave it its name, exactly as in ``iss``.
        value: ``jti``, session, subject, client or RFC 7638 thumbprint; for an issuer as a whole,
            nothing.
    """
    return _digest(_beginning(kind, issuer) + value)


def handles_of(
    issuer: str,
    *,
    token_id: str | None,
    session: str | None,
    subject: str | None,
    client_id: str | None,
    key_thumbprint: str | None,
) -> frozenset[bytes]:
    """Return everything that a revocation of this token can name."""
    begin_token, begin_session, begin_subject, begin_client, begin_key, all_of_it = _known(issuer)
    handles = [_shared(all_of_it)]
    if token_id is not None:
        handles.append(_digest(begin_token + token_id))
    if session is not None:
        handles.append(_digest(begin_session + session))
    if subject is not None:
        handles.append(_digest(begin_subject + subject))
    if client_id is not None:
        handles.append(_shared(begin_client + client_id))
    if key_thumbprint is not None:
        handles.append(_shared(begin_key + key_thumbprint))
    return frozenset(handles)


def _beginning(kind: Kind, issuer: str) -> str:
    # The length says where the issuer ends: no two things are written alike.
    return f"{kind.value}:{len(issuer)}:{issuer}"


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


# An issuer has few keys and clients, and every token of theirs says so again: to remember them
# halves what the handles of a token cost (measured: bench/bound.py). Persons are not remembered.
_shared: Final = lru_cache(1024)(_digest)


@lru_cache(256)
def _known(issuer: str) -> tuple[str, ...]:
    return tuple(_beginning(kind, issuer) for kind in Kind)
