"""Handlers of the blocking server, and handlers without ``async`` of the other one, guarded.

The check is made where the handler runs, on a thread of the pool: an interceptor itself runs on the
one thread that takes in all calls, and who waits there keeps everyone waiting. It also comes before
the request is deserialized: what was not admitted reaches no parser of the application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

from portvakt.adapters.grpc_calls import CALL, Call, read_call, refusing
from portvakt.adapters.grpc_headers import Heading
from portvakt.adapters.grpc_watch import Watch, abort

if TYPE_CHECKING:
    from portvakt.guard import Guard, Requirement

__all__ = ["KINDS", "NOT_FOUND", "Handler", "guarded", "judged"]

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Behaviour = Callable[[Any, Any], Any]

#: By whether requests are streamed, and responses: where the handler is, and what makes one.
KINDS: Final[dict[tuple[bool, bool], tuple[str, Callable[..., Handler]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}

#: What gRPC says itself of a method that does not exist, and of a request that is none.
NOT_FOUND: Final = "Method not found!"
_NOT_DESERIALIZED: Final = "Exception deserializing request!"

_END: Final = object()


def guarded(
    guard: Guard, method: str, requirement: Requirement | None, handler: Handler | None
) -> Handler:
    """Return a handler that serves admitted calls only.

    Parameters:
        guard: who judges.
        method: the full name of the method.
        requirement: what the method demands beside the policy's rule.
        handler: what serves the method; None: it does not exist, and only who is admitted hears so.
    """
    judge = partial(judged, guard, method, requirement)
    if handler is None:
        return grpc.stream_stream_rpc_method_handler(partial(_unknown, judge))
    streaming = handler.request_streaming, handler.response_streaming
    name, make = KINDS[streaming]
    behaviour = getattr(handler, name)
    run: Any = _stream if handler.response_streaming else _unary
    # Messages of a stream are read, and deserialized, when the handler asks for them.
    early, late = handler.request_deserializer, None
    if not handler.request_streaming:
        early, late = None, handler.request_deserializer
    guarding: Any = partial(run, judge, behaviour, late, watched=any(streaming))
    pool = getattr(behaviour, "experimental_thread_pool", None)
    if pool is not None:
        # Where gRPC looks for the threads that some handlers bring along.
        guarding.experimental_thread_pool = pool
    return make(guarding, early, handler.response_serializer)


def judged(guard: Guard, method: str, requirement: Requirement | None, context: Any) -> Call:
    """Return the call, admitted; a refused one is ended here, and nothing comes after."""
    request, flaw = read_call(method, context)
    if flaw:
        decision = guard.malformed(request, flaw)
    else:
        decision = guard.check_blocking(request, requirement)
    refusal = refusing(decision)
    if refusal is not None:
        abort(context, refusal)
    return Call(guard, request, decision, requirement)


def _unknown(judge: Callable[[Any], Call], _requests: Any, context: Any) -> None:
    judge(context)
    context.abort(grpc.StatusCode.UNIMPLEMENTED, NOT_FOUND)


def _unary(
    judge: Callable[[Any], Call],
    behaviour: Behaviour,
    deserialize: Callable[[bytes], Any] | None,
    argument: Any,
    context: Any,
    *,
    watched: bool,
) -> Any:
    """Serve a method with one response."""
    call = judge(context)
    heading = Heading(context, call.decision)
    # A context of its own: it is gone with the call, whoever uses this thread next.
    here = copy_context()
    here.run(CALL.set, call)
    with Watch(call, context, watched=watched), heading:
        message = _deserialized(deserialize, argument, context)
        return here.run(behaviour, message, heading.context)


def _stream(
    judge: Callable[[Any], Call],
    behaviour: Behaviour,
    deserialize: Callable[[bytes], Any] | None,
    argument: Any,
    context: Any,
    *,
    watched: bool,
) -> Iterator[Any]:
    """Serve a method with a stream of responses."""
    call = judge(context)
    heading = Heading(context, call.decision)
    here = copy_context()
    here.run(CALL.set, call)
    with Watch(call, context, watched=watched) as watch, heading:
        message = _deserialized(deserialize, argument, context)
        responses = iter(here.run(behaviour, message, heading.context))
        try:
            while (response := here.run(next, responses, _END)) is not _END:
                if watch.ended():
                    return
                heading.send()
                yield response
        finally:
            # Now, and not when nobody refers to it any more: the handler has things to put away.
            here.run(getattr(responses, "close", _nothing))


def _nothing() -> None:
    """Close what has nothing to close."""


def _deserialized(deserialize: Callable[[bytes], Any] | None, argument: Any, context: Any) -> Any:
    """Return the request as the handler wants it; what is none, gRPC's own words refuse."""
    if deserialize is None:
        return argument
    try:
        return deserialize(argument)
    except Exception:  # noqa: BLE001  whatever a parser raises for what a caller sent
        context.abort(grpc.StatusCode.INTERNAL, _NOT_DESERIALIZED)
