"""What a decision adds to the answer of an admitted call (a DPoP nonce), as initial metadata.

Initial metadata is sent once. So a handler is given a context that adds to what it sends; if it
sends none, what is to be added goes out by itself, before the first response or the status.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from portvakt.adapters.grpc_calls import metadata_of
from portvakt.adapters.grpc_watch import CallEnded

if TYPE_CHECKING:
    from portvakt.adapters.grpc_calls import Metadata
    from portvakt.adapters.grpc_watch import CallLease
    from portvakt.guard import Decision

__all__ = ["AioHeading", "Heading"]


class _Pending:
    """The headers of a decision, until they are sent.

    Attributes:
        headers: what is to be added; None when there is nothing, or nothing more.
    """

    def __init__(self, decision: Decision) -> None:
        self.headers: Metadata | None = metadata_of(decision.headers) or None

    def taken(self, metadata: Any = ()) -> Metadata:
        """Return all that is to be sent with *metadata*, now and never again."""
        headers, self.headers = self.headers, None
        return (*metadata, *(headers or ()))


class Heading:
    """Adds the headers of a decision to a call with a handler that blocks.

    Attributes:
        context: what to hand to the handler: its own context, where there is nothing to add.
    """

    def __init__(self, context: Any, decision: Decision) -> None:
        self._inner = context
        self._pending = _Pending(decision)
        self.context: Any = context if self._pending.headers is None else _Context(self, context)

    def send(self, metadata: Any = ()) -> None:
        """Send *metadata* and what is still to be added, if there is any of them."""
        if metadata or self._pending.headers is not None:
            self._inner.send_initial_metadata(self._pending.taken(metadata))

    def __enter__(self) -> None:
        """Wait for the handler."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Send what nobody sent. A handler that failed has a reason that counts more."""
        if kind is None:
            self.send()
        else:
            with suppress(Exception):
                self.send()


class AioHeading:
    """Does the same for a handler of the asyncio server, and looks at each message that it writes.

    Parameters:
        context: the context of the call.
        decision: what became of it.
        lease: ends it, if it goes on for longer than its token is good.

    Attributes:
        context: as above; it has its own only where there is nothing to add and nothing to end.
    """

    def __init__(self, context: Any, decision: Decision, lease: CallLease | None) -> None:
        self._inner = context
        self._pending = _Pending(decision)
        self._lease = lease
        plain = self._pending.headers is None and lease is None
        self.context: Any = context if plain else _AioContext(self, context)

    def sending(self) -> AbstractContextManager[None]:
        """Keep the call from being ended while something is sent."""
        return nullcontext() if self._lease is None else self._lease.sending()

    def ended(self) -> bool:
        """Whether nothing may be sent any more."""
        return self._lease is not None and self._lease.has_ended()

    async def send(self, metadata: Any = ()) -> None:
        """Send *metadata* and what is still to be added, if there is any of them."""
        if metadata or self._pending.headers is not None:
            with self.sending():
                await self._inner.send_initial_metadata(self._pending.taken(metadata))

    async def __aenter__(self) -> None:
        """Wait for the handler."""

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Send what nobody sent, as above."""
        if kind is None:
            await self.send()
        else:
            with suppress(Exception):
                await self.send()


class _Delegating:
    """A context that is another one in all but what its class defines."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _Context(_Delegating):
    def __init__(self, heading: Heading, context: Any) -> None:
        super().__init__(context)
        self._heading = heading

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._heading.send(initial_metadata)

    def abort(self, code: Any, details: str = "", *further: Any) -> None:
        # Some contexts send the status at once, and nothing can come before it later.
        self._heading.send()
        self._context.abort(code, details, *further)


class _AioContext(_Delegating):
    def __init__(self, heading: AioHeading, context: Any) -> None:
        super().__init__(context)
        self._heading = heading

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        await self._heading.send(initial_metadata)

    async def write(self, message: Any) -> None:
        if self._heading.ended():
            raise CallEnded
        await self._heading.send()
        with self._heading.sending():
            await self._context.write(message)

    async def abort(self, code: Any, details: str = "", *further: Any) -> None:
        await self._heading.send()
        with self._heading.sending():
            await self._context.abort(code, details, *further)


# They are contexts to whoever asks: everything that one has, they have from theirs.
grpc.ServicerContext.register(_Context)
grpc.aio.ServicerContext.register(_AioContext)
