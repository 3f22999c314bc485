"""What a decision adds to the answer of an admitted call (a DPoP nonce), as initial metadata.

Initial metadata is sent once. So a handler is given a context that adds to what it sends; if it
sends none, what is to be added goes out by itself, before the first response or the status.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from portvakt.adapters.grpc_calls import metadata_of

if TYPE_CHECKING:
    from portvakt.adapters.grpc_calls import Metadata
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
    """Does the same for a handler of the asyncio server.

    Attributes:
        context: as above.
    """

    def __init__(self, context: Any, decision: Decision) -> None:
        self._inner = context
        self._pending = _Pending(decision)
        self.context: Any = context if self._pending.headers is None else _AioContext(self, context)

    async def send(self, metadata: Any = ()) -> None:
        """Send *metadata* and what is still to be added, if there is any of them."""
        if metadata or self._pending.headers is not None:
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

    def abort(self, code: Any, details: str = "", *further: Any) -> NoReturn:
        # Some contexts send the status at once, and nothing can come before it later.
        self._heading.send()
        self._context.abort(code, details, *further)
        raise AssertionError  # abort() never returns.


class _AioContext(_Delegating):
    def __init__(self, heading: AioHeading, context: Any) -> None:
        super().__init__(context)
        self._heading = heading

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        await self._heading.send(initial_metadata)

    async def write(self, message: Any) -> None:
        await self._heading.send()
        await self._context.write(message)

    async def abort(self, code: Any, details: str = "", *further: Any) -> NoReturn:
        await self._heading.send()
        await self._context.abort(code, details, *further)
        raise AssertionError  # As above.


# They are contexts to whoever asks: everything that one has, they have from theirs.
grpc.ServicerContext.register(_Context)
grpc.aio.ServicerContext.register(_AioContext)
