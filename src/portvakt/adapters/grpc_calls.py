"""One gRPC call: read as the guard wants it, refused as gRPC says it, and found by its handler."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import grpc

from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Requirement,
    read_grpc_call,
)

__all__ = [
    "CALL",
    "PROBLEM",
    "Call",
    "Metadata",
    "Refusing",
    "call_of",
    "current_decision",
    "current_token",
    "metadata_of",
    "read_call",
    "refusing",
]

Metadata = tuple[tuple[str, str | bytes], ...]

#: The trailing metadata with the problem+json body (RFC 9457). Binary, as bodies are octets.
PROBLEM: Final = "problem-bin"

#: gRPC's code for each HTTP status of a refusal. Whatever else is to be sent, gRPC cannot send.
_CODES: Final = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}

#: Headers that mean nothing in gRPC: it has no such body, and nothing stores its answers.
_OF_HTTP: Final = frozenset({"content-type", "content-length", "cache-control"})


class Call(NamedTuple):
    """What a handler finds about the call that it serves.

    Attributes:
        guard: who judged it.
        request: what was judged.
        decision: the verdict.
        requirement: what the method demands beside the policy's rule for it.
    """

    guard: Guard
    request: HttpRequest
    decision: Decision
    requirement: Requirement | None


#: The call that is served here. Each handler runs in a context of its own: no other call is seen.
CALL: Final[ContextVar[Call]] = ContextVar("portvakt.grpc.call")


def call_of() -> Call:
    """Return the call that is served here.

    Raises:
        ConfigurationError: if none is, or no guard stands in front. A thread that a handler starts
            itself serves none: hand the token over.
    """
    call = CALL.get(None)
    if call is None:
        raise ConfigurationError(
            "nothing was checked, as no guard stands in front: make the server with guard.server() "
            "or guard.aio_server(), or give it guard.interceptor() or guard.aio_interceptor()"
        )
    return call


def current_decision() -> Decision:
    """Return the decision about the call that is served here; it is always an admission.

    Raises:
        ConfigurationError: if no guard stands in front of the method.
    """
    return call_of().decision


def current_token() -> AccessToken | None:
    """Return the access token of the call; None for a method that the policy declares public.

    Raises:
        ConfigurationError: if no guard stands in front of the method.
    """
    return call_of().decision.token


def read_call(method: str, context: Any) -> tuple[HttpRequest, str | None]:
    """Return a call as HTTP sees it, and why it cannot be judged, if so.

    Parameters:
        method: its full name, as ``/package.Service/Method``.
        context: what is known of the call: a context of either server.
    """
    certificates = context.auth_context().get("x509_pem_cert") or ()
    return read_grpc_call(
        method, context.invocation_metadata() or (), context.peer(), tuple(certificates)
    )


def metadata_of(headers: Iterable[tuple[str, str]]) -> Metadata:
    """Return headers as metadata, without those that speak of a body, or to caches."""
    lowered = [(name.lower(), value) for name, value in headers]
    return tuple([one for one in lowered if one[0] not in _OF_HTTP])


class Refusing(NamedTuple):
    """A refusal as gRPC sends it.

    Attributes:
        code: the status.
        details: one fixed sentence.
        metadata: what goes with it, as trailing metadata: the challenge, how long to wait, a nonce,
            and the problem+json body.
    """

    code: grpc.StatusCode
    details: str
    metadata: Metadata


def refusing(decision: Decision) -> Refusing | None:
    """Return what to answer instead of the API; None if the call is to be served."""
    response, refusal = decision.response, decision.refusal
    if response is None:
        return None
    metadata = (*metadata_of(response.headers), (PROBLEM, response.body))
    code = _CODES.get(response.status, grpc.StatusCode.UNIMPLEMENTED)
    details = "Only HTTP has an answer to this." if refusal is None else refusal.code.sentence
    return Refusing(code, details, metadata)
