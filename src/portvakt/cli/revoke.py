"""``portvakt revoke``: tokens that are still in their time, and are not to be admitted any more."""

from __future__ import annotations

import asyncio
import math
import os
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec import Struct

from portvakt.cli.config import shown
from portvakt.cli.discreet import discreet
from portvakt.clock import SystemClock
from portvakt.config.compile import Policy, compile_policy
from portvakt.config.duration import parse_duration, write_duration
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.fitting import open_store_of, secrets_of
from portvakt.guard.revoking import Revocation, entry_for
from portvakt.policy.handles import Kind
from portvakt.stores.base import Store, StoreError

if TYPE_CHECKING:
    from portvakt.stores.base import Entry

__all__ = ["Opened", "open_policy_store", "revoke"]

WRONG: Final = 1
CANNOT_TELL: Final = 2

#: Seconds that the store has.
_PATIENCE: Final = 30.0

_DAYS: Final = re.compile(r"([0-9]{1,5})d")

_CONFIG: Final = typer.Option(
    "--config", envvar="PORTVAKT_CONFIG", help="The policy file.", dir_okay=False
)


class Opened(Struct):
    """A policy, and where it keeps revocations.

    Attributes:
        policy: the policy.
        store: its store, which whoever asked for it closes.
        max_staleness: within how many seconds a revocation holds everywhere.
    """

    policy: Policy
    store: Store
    max_staleness: float


def open_policy_store(config: Path) -> Opened:
    """Read a policy and open its store, which is not asked anything yet.

    Raises:
        ConfigurationError: with everything that is wrong with the policy; or if it has no store.
    """
    draft = read_file(config, os.environ)
    policy = compile_policy(draft)
    try:
        store = open_store_of(policy, secrets_of(policy), clock=SystemClock())
    except ConfigurationError as error:
        raise draft.problems.placed(error) from None
    stale = policy.guarding.max_staleness
    if store is None or stale is None:
        raise ConfigurationError(
            [Problem("store", "is missing: revocations are kept in a store that all guards read")]
        )
    return Opened(policy, store, stale)


def revoke(  # noqa: PLR0913  one option for each thing that can be revoked
    *,
    issuer: Annotated[str, typer.Option(help="Whose tokens: the exact value of iss.")],
    token: Annotated[
        str | None, typer.Option(metavar="JTI", help="One token, by its jti. - reads it.")
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="SID", help="All of a session. - reads it.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(metavar="SUB", help="All of a subject, by sub. - reads it.")
    ] = None,
    client: Annotated[
        str | None, typer.Option(metavar="ID", help="All of a client. - reads it.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="THUMBPRINT", help="All that a key signed, by RFC 7638. - reads it."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All that the issuer issued until now.")
    ] = False,
    issued_before: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Only what was issued before, as 2026-11-24T12:00:00Z; now, if left out.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="How long this is remembered, as 12h or 30d; if left out, for as long as such "
            "tokens live, and a key 30 days.",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when it holds everywhere, and not before.")
    ] = False,
    config: Annotated[Path, _CONFIG] = Path("portvakt.toml"),
) -> None:
    """Revoke tokens: every guard that reads the policy's store refuses them from then on.

    A name that is - is read from standard input, so that no history of commands has it. Nothing
    tells whether there is any such token: a name that is misspelt revokes nothing.

    Exit 0: it is written, and holds everywhere within the time that is said. Exit 1: something is
    wrong with what was asked, and nothing was revoked. Exit 2: that cannot be told; do it again.
    """
    named = {
        Kind.TOKEN: token,
        Kind.SESSION: session,
        Kind.SUBJECT: subject,
        Kind.CLIENT: client,
        Kind.KEY: key,
        Kind.ISSUER: "" if everything else None,
    }
    try:
        kind, value = _what(named)
        wanted = Revocation(
            issuer=issuer,
            kind=kind,
            value=value,
            issued_before=None if issued_before is None else _time(issued_before),
            keep_for=None if keep is None else _duration(keep),
        )
        opened = open_policy_store(config)
        entry = asyncio.run(_write(opened, wanted))
    except ConfigurationError as error:
        typer.echo(f"portvakt revoke: {shown(discreet(str(error)))}", err=True)
        raise typer.Exit(WRONG) from None
    except (StoreError, TimeoutError) as error:
        reason = error.reason if isinstance(error, StoreError) else "it gives no answer"
        typer.echo(f"portvakt revoke: not certain that it is written: {shown(reason)}", err=True)
        raise typer.Exit(CANNOT_TELL) from None
    _tell(wanted, entry, opened.max_staleness, wait=wait)


async def _write(opened: Opened, wanted: Revocation) -> Entry:
    store = opened.store
    try:
        if not store.health().shared:
            raise ConfigurationError(
                [Problem("store", "is the memory of one process: no guard would hear of it")]
            )
        issuers = {one.issuer: one for one in opened.policy.issuers}
        entry = entry_for(wanted, issuers, SystemClock()())
        async with asyncio.timeout(_PATIENCE):
            await store.revoke((entry,))
    finally:
        await store.close()
    return entry


def _tell(wanted: Revocation, entry: Entry, max_staleness: float, *, wait: bool) -> None:
    bound = write_duration(max_staleness)
    before = "" if entry.issued_before == math.inf else f" issued before {_at(entry.issued_before)}"
    typer.echo(f"revoked: {_WORDS[wanted.kind]} {shown(wanted.issuer)}{before}")
    typer.echo(
        f"every guard refuses within {bound}, and this is kept until {_at(entry.expires_at)}"
    )
    if wait:
        time.sleep(max_staleness)
        typer.echo(f"{bound} have passed: it holds everywhere")


#: What is said of what is revoked. Which one it is is nobody's business who reads the terminal.
_WORDS: Final = {
    Kind.TOKEN: "one token of",
    Kind.SESSION: "every token of one session of",
    Kind.SUBJECT: "every token of one subject of",
    Kind.CLIENT: "every token of one client of",
    Kind.KEY: "every token signed by one key of",
    Kind.ISSUER: "every token of",
}


def _what(named: dict[Kind, str | None]) -> tuple[Kind, str]:
    """Return what is revoked; what is said to be read is read."""
    given = [(kind, value) for kind, value in named.items() if value is not None]
    if len(given) != 1:
        options = ", ".join(f"--{kind.value}" for kind in named if kind is not Kind.ISSUER)
        raise ConfigurationError(f"say what to revoke with one of {options}, --everything")
    kind, value = given[0]
    return kind, sys.stdin.readline().rstrip("\r\n") if value == "-" else value


def _time(text: str) -> float:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ConfigurationError(
            [Problem("--issued-before", "must be a time with its zone, as 2026-11-24T12:00:00Z")]
        )
    return at.timestamp()


def _duration(text: str) -> float:
    days = _DAYS.fullmatch(text)
    if days is not None:
        return int(days[1]) * 86400.0
    try:
        return parse_duration(text)
    except ValueError:
        raise ConfigurationError(
            [Problem("--keep", "must be a duration, as 30m, 12h or 30d")]
        ) from None


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(math.ceil(seconds)))
