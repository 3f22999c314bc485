"""What is sent in a scene: the request octet for octet, and the tokens that go with it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from portvakt.demo.api import READ, WRITE
from portvakt.testing import FakeIssuer

__all__ = [
    "JOURNAL",
    "WRITER",
    "Cast",
    "Make",
    "Sent",
    "Token",
    "bearer",
    "changed",
    "fault",
    "honest",
    "in_url",
    "plain",
    "token",
    "twice",
    "write",
]

#: The journal that every scene is about. The patient is invented.
JOURNAL: Final = "/journal/1"

_ENTRY: Final = b'{"entry": "2026-04-01: seen in the demo"}'


class Sent(Struct, frozen=True, kw_only=True):
    """A request as it goes on the wire: nothing in it is put right on the way.

    Attributes:
        method: the method.
        target: the request target, octet for octet.
        headers: every header line, duplicates kept.
        body: the octets of the body, JSON.
    """

    method: str = "GET"
    target: str = JOURNAL
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    # The headers and the query hold tokens: neither repr may show them (msgspec gives rich one of
    # its own).
    def __repr__(self) -> str:
        """Show the method and the path."""
        return f"Sent({self.method} {self.target.partition('?')[0]})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show to rich what repr shows."""
        return [("method", self.method), ("path", self.target.partition("?")[0])]


class Cast(Struct, frozen=True):
    """Who appears in one run.

    Attributes:
        issuer: the issuer that the API trusts, made for this run, with keys that nobody else has.
        honest: its token for reading journals: the one that is used more than once.
    """

    issuer: FakeIssuer
    honest: str

    @classmethod
    def of(cls, issuer: FakeIssuer) -> "Cast":
        """Make the cast around one issuer."""
        return cls(issuer, issuer.token(scopes=[READ]))

    # FakeIssuer keeps private keys, and the token is one that works.
    def __repr__(self) -> str:
        """Show nothing: all of it is secret."""
        return "Cast()"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Show to rich what repr shows."""
        return []


Token = Callable[[Cast], str]
"""Makes the token of a scene."""

Make = Callable[[Cast], Sent]
"""Makes the request of a scene."""


def honest(cast: Cast) -> str:
    """Return the honest token that is used more than once."""
    return cast.honest


def token(*scopes: str, header: Mapping[str, Any] | None = None, **claims: Any) -> Token:
    """Make a token of the trusted issuer, with its signature, that says what it is told to say.

    Parameters:
        scopes: what it grants; to read journals, if nothing is said.
        header: header parameters that it has too.
        claims: claims that it has too.
    """
    return lambda cast: cast.issuer.token(scopes=scopes or (READ,), claims=claims, header=header)


def changed(cast: Cast) -> str:
    """Write one more scope into an honest token, and leave its signature as it was."""
    header, _, signature = cast.honest.split(".")
    richer = cast.issuer.token(scopes=[READ, WRITE]).split(".")[1]
    return f"{header}.{richer}.{signature}"


def fault(name: str) -> Token:
    """Make the near miss of that name: an honest token but for one thing (``forge.faults``)."""
    return lambda cast: cast.issuer.forged(name, [READ])


def plain(target: str = JOURNAL, *, headers: tuple[tuple[str, str], ...] = ()) -> Make:
    """Make a request without a token."""
    return lambda _: Sent(target=target, headers=headers)


def bearer(
    made: Token = honest,
    *,
    scheme: str = "Bearer",
    target: str = JOURNAL,
    headers: tuple[tuple[str, str], ...] = (),
) -> Make:
    """Make a request to read, with a token in the one place where tokens belong."""
    return lambda cast: Sent(
        target=target, headers=(("Authorization", f"{scheme} {made(cast)}"), *headers)
    )


def write(made: Token) -> Make:
    """Make a request to write in the journal."""
    return lambda cast: Sent(
        method="POST",
        headers=(
            ("Authorization", f"Bearer {made(cast)}"),
            ("Content-Type", "application/json"),
        ),
        body=_ENTRY,
    )


def twice(made: Token) -> Make:
    """Make a request with two Authorization headers: an honest one, and another."""
    return lambda cast: Sent(
        headers=(
            ("Authorization", f"Bearer {cast.honest}"),
            ("Authorization", f"Bearer {made(cast)}"),
        )
    )


def in_url(made: Token) -> Make:
    """Make a request with the token in the query."""
    return lambda cast: Sent(target=f"{JOURNAL}?access_token={made(cast)}")


WRITER: Final = token(WRITE)
