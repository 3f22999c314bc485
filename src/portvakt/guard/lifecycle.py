"""A guard's life: made of a policy and tried, opened and closed, and asked how it is."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.lasting import Lasting
from portvakt.home import Home, finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from portvakt.clock import Clock
    from portvakt.guard.health import Health
    from portvakt.guard.revocation import Mirror
    from portvakt.http.response import Response
    from portvakt.net.keys import KeySource
    from portvakt.policy.decision import Observer
    from portvakt.registers.base import Register
    from portvakt.stores.base import Entry
    from portvakt.telemetry.metrics import Metrics
    from portvakt.telemetry.snapshot import Reading

__all__ = ["Lifecycle"]


class Lifecycle(Lasting):
    """What every guard is, apart from judging.

    Attributes:
        keys: where the issuers' keys come from.
        home: where it waits.
    """

    keys: KeySource
    home: Home

    @abstractmethod
    def self_test(self) -> None:
        """Raise ConfigurationError if a forged token gets in."""

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str] = "portvakt.toml",
        *,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        registers: Iterable[Register] = (),
    ) -> Self:
        """Read a policy file, and test the guard it makes before handing it out.

        Parameters:
            path: the TOML file. Environment variables ``PORTVAKT_…`` override it.
            clock: what time it is; the system's by default.
            observers: who is told of every decision.
            registers: registers of your own, that routes name beside those of the policy.

        Raises:
            ConfigurationError: with everything that is wrong, each with its place and line; or if a
                forged token would get in.
        """
        from portvakt.guard.assembly import assemble_file

        try:
            return assemble_file(cls, path, clock=clock, observers=observers, registers=registers)
        except ConfigurationError as error:
            flawed, cause = ConfigurationError(error.problems, source=error.source), error.__cause__
        # Raised anew: the frames below hold the file, its keys and the environment, and there are
        # tracebacks that show every variable. A cause is a file that could not be opened.
        raise flawed from cause

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        clock: Clock | None = None,
        observers: Iterable[Observer] = (),
        registers: Iterable[Register] = (),
    ) -> Self:
        """Make a guard of a policy given as data, shaped like the policy file.

        The data is copied: changing it later changes nothing. The environment is not read.

        Parameters:
            config: the tables of the policy file.
            clock: what time it is; the system's by default.
            observers: who is told of every decision.
            registers: registers of your own, that routes name beside those of the policy.

        Raises:
            ConfigurationError: see :meth:`from_file`.
        """
        from portvakt.guard.assembly import assemble_config

        try:
            return assemble_config(
                cls, config, clock=clock, observers=observers, registers=registers
            )
        except ConfigurationError as error:
            flawed = ConfigurationError(error.problems, source=error.source)
        del config  # As in from_file; what the caller's own frames show is the caller's.
        raise flawed

    async def warm(self) -> Health:
        """Get everything that a first request would otherwise wait for, now.

        For those who prefer not to start at all when an issuer cannot be reached. Without this a
        guard starts, answers 503 to the tokens of that issuer alone, and recovers by itself.

        Raises:
            Unavailable: naming each issuer whose keys cannot be had, and why; or if it is not known
                what was revoked.
        """
        return await self.home.awaited(self._warm)

    def warm_blocking(self) -> Health:
        """Do what :meth:`warm` does, from code without an event loop."""
        return finish(self.home.blocked(self._warm))

    async def _warm(self) -> Health:
        from portvakt.guard.health import warm

        await warm(self.issuers.values(), self.keys, self.parts)
        return self.health()

    def health(self) -> Health:
        """Say how current all is that decisions rest on. Never waits."""
        from portvakt.guard.health import health

        return health(self.issuers.values(), self.keys, self.parts)

    @property
    def metrics(self) -> Metrics:
        """What was counted, to be read as it is now.

        Raises:
            ConfigurationError: if the policy has nothing counted.
        """
        telling = self.parts.telling
        if telling is None or telling.metrics is None:
            raise ConfigurationError("nothing is counted: state metrics under [telemetry]")
        return telling.metrics

    def readings(self) -> Iterable[Reading]:
        """Return what metrics read of :meth:`health`."""
        from portvakt.guard.readings import readings_of

        return readings_of(self.health())

    async def revoke(
        self,
        issuer: str,
        kind: str,
        value: str = "",
        *,
        issued_before: float | None = None,
        keep_for: float | None = None,
    ) -> None:
        """Revoke tokens that are still in their time, at every guard that reads the same store.

        Here it holds when this returns; everywhere else within the policy's ``max_staleness``.
        Nobody knows whether there is any such token: a name that is misspelt revokes nothing.

        Parameters:
            issuer: whose tokens: the exact value of ``iss``.
            kind: what *value* names: ``token`` (by ``jti``), ``session`` (``sid``), ``subject``,
                ``client``, ``key`` (by its RFC 7638 thumbprint); or ``issuer``: all of it.
            value: which one, exactly as the tokens say it.
            issued_before: seconds since 1970: only what was issued before; None: until now.
            keep_for: seconds for which this is remembered; None: for as long as such tokens live.

        Raises:
            ConfigurationError: if the policy has no store, or what is asked for makes no sense.
            Unavailable: if it is not certain that it is written. Doing it again does no harm.
        """
        entry = self._entry(issuer, kind, value, issued_before, keep_for)
        await self.home.awaited(self._mirror().revoke, (entry,))

    def revoke_blocking(
        self,
        issuer: str,
        kind: str,
        value: str = "",
        *,
        issued_before: float | None = None,
        keep_for: float | None = None,
    ) -> None:
        """Do what :meth:`revoke` does, from code without an event loop."""
        entry = self._entry(issuer, kind, value, issued_before, keep_for)
        finish(self.home.blocked(self._mirror().revoke, (entry,)))

    def _mirror(self) -> Mirror:
        standing = self.parts.standing
        if standing is None or standing.mirror is None:
            raise ConfigurationError("nothing can be revoked: the policy has no [store]")
        return standing.mirror

    def _entry(
        self,
        issuer: str,
        kind: str,
        value: str,
        issued_before: float | None,
        keep_for: float | None,
    ) -> Entry:
        from portvakt.guard.revoking import Revocation, entry_for
        from portvakt.policy.handles import Kind

        try:
            named = Kind(kind)
        except ValueError:
            known = ", ".join(one.value for one in Kind)
            raise ConfigurationError([Problem("kind", f"must be one of {known}")]) from None
        wanted = Revocation(
            issuer=issuer,
            kind=named,
            value=value,
            issued_before=issued_before,
            keep_for=keep_for,
        )
        return entry_for(wanted, self.issuers, self.clock())

    async def receive_event(self, body: bytes, content_type: str | None) -> Response:
        """Take a security event that an issuer pushes (RFC 8935), and return what to answer.

        For an endpoint of your own, which the policy need not guard: who pushes is known by the
        event's signature alone. Bound what you read of the body.

        Parameters:
            body: the body of the POST.
            content_type: its ``Content-Type``.

        Raises:
            ConfigurationError: if no issuer of the policy pushes events.
        """
        standing = self.parts.standing
        if standing is None or standing.events is None:
            raise ConfigurationError("no issuer of the policy has events with push = true")
        return await self.home.awaited(standing.events.receive, body, content_type)

    async def __aenter__(self) -> Self:
        """Do input and output on the running asyncio loop from now on, as ASGI lifespans want.

        What a first request would wait for is asked for now, and not waited for.
        """
        self.home.adopt()
        await self.home.awaited(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End what goes on in the background, and give the loop back."""
        await self.home.awaited(self._close)
        self.home.leave()

    async def _open(self) -> None:
        self.keys.open()
        self.parts.open()

    async def _close(self) -> None:
        self.keys.close()
        await self.parts.close()
