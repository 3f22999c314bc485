"""Handlers of the asyncio server, guarded. Those without ``async`` are like the blocking server's.

What is said there of the order holds here: the check comes before the request is deserialized.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

import grpc

from portvakt.adapters.grpc_blocking import KINDS, NOT_FOUND, Handler
from portvakt.adapters.grpc_blocking import guarded as guarded_blocking
from portvakt.adapters.grpc_calls import CALL, Call, read_call, refusing
from portvakt.adapters.grpc_headers import AioHeading
from portvakt.adapters.grpc_watch import leased
from portvakt.adapters.watch import Watch

if TYPE_CHECKING:
    from portvakt.guard import Guard, Requirement

__all__ = ["guarded"]

Judge = Callable[[Any], Awaitable[Call]]
LookOut = Callable[[], Watch]


def guarded(
    guard: Guard,
    method: str,
    requirement: Requirement | None,
    handler: Handler | None,
    look_out: LookOut,
) -> Handler:
    """Return a handler that serves admitted calls only; see the blocking server's.

    Parameters:
        guard: who judges.
        method: the full name of the method.
        requirement: what the method demands beside the policy's rule.
        handler: what serves the method.
        look_out: finds what watches calls that stream, on the running event loop.
    """
    judge = partial(_judged, guard, method, requirement)
    if handler is None:
        return grpc.stream_stream_rpc_method_handler(partial(_unknown, judge))
    streaming = handler.request_streaming, handler.response_streaming
    name, make = KINDS[streaming]
    behaviour = getattr(handler, name)
    run: Callable[..., Any]
    if inspect.iscoroutinefunction(behaviour):
        run = _coroutine
    elif inspect.isasyncgenfunction(behaviour):
        run = _generator
    else:
        # gRPC runs it on a thread, and so the check; it asks what we ask to know that.
        return guarded_blocking(guard, method, requirement, handler)
    early, late = handler.request_deserializer, None
    if not handler.request_streaming:
        early, late = None, handler.request_deserializer
    guarding = partial(run, judge, behaviour, late, look_out if any(streaming) else None)
    return make(guarding, early, handler.response_serializer)


async def _judged(guard: Guard, method: str, requirement: Requirement | None, context: Any) -> Call:
    request, flaw = read_call(method, context)
    if flaw:
        decision = guard.malformed(request, flaw)
    else:
        decision = await guard.check(request, requirement)
    refusal = refusing(decision)
    if refusal is not None:
        await context.abort(refusal.code, refusal.details, refusal.metadata)
    return Call(guard, request, decision, requirement)


async def _unknown(judge: Judge, _requests: Any, context: Any) -> None:
    await judge(context)
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, NOT_FOUND)


async def _coroutine(
    judge: Judge,
    behaviour: Callable[[Any, Any], Awaitable[Any]],
    deserialize: Callable[[bytes], Any] | None,
    look_out: LookOut | None,
    argument: Any,
    context: Any,
) -> Any:
    """Serve a method that returns one response, or writes its responses itself."""
    call = await judge(context)
    # Each call is a task, and so a context of its own.
    CALL.set(call)
    response = None
    with leased(call, context, look_out) as lease:
        heading = AioHeading(context, call.decision, lease)
        async with heading:
            message = argument if deserialize is None else deserialize(argument)
            response = await behaviour(message, heading.context)
    # None, if it was ended: gRPC then sends why, and nothing else.
    return response


async def _generator(
    judge: Judge,
    behaviour: Callable[[Any, Any], Any],
    deserialize: Callable[[bytes], Any] | None,
    look_out: LookOut | None,
    argument: Any,
    context: Any,
) -> AsyncIterator[Any]:
    """Serve a method that yields its responses."""
    call = await judge(context)
    CALL.set(call)
    with leased(call, context, look_out) as lease:
        heading = AioHeading(context, call.decision, lease)
        async with heading:
            message = argument if deserialize is None else deserialize(argument)
            async with aclosing(behaviour(message, heading.context)) as responses:
                async for response in responses:
                    if heading.ended():
                        break
                    await heading.send()
                    with heading.sending():
                        yield response
