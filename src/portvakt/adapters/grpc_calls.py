"""One gRPC call: read as the guard wants it, refused as gRPC says it, and found by its handler."""

import re
from base64 import b64encode
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote

import grpc

from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    NotCertificate,
    Requirement,
    read_pem,
)

__all__ = [
    "CALL",
    "PROBLEM",
    "Call",
    "Context",
    "Metadata",
    "Refusing",
    "call_of",
    "current_decision",
    "current_token",
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

#: What a response's headers say of its body, which gRPC does not send as one.
_OF_THE_BODY: Final = frozenset({"content-type", "content-length", "cache-control"})

#: The ``:path`` of a call. A query would be judged without it and served with it.
_METHOD: Final = re.compile(r"/[^\x00-\x20\x7f-\x9f?#]*")

#: The peer of a connection by a Unix socket. The guard's policy has the same word for it.
_UNIX: Final = "unix"


class Context(Protocol):
    """What is read of a call, from a context of the blocking server or of the other one."""

    def invocation_metadata(self) -> Any:
        """Return the metadata that the caller sent."""
        ...

    def peer(self) -> str:
        """Return who is at the other end of the connection."""
        ...

    def auth_context(self) -> Any:
        """Return what is known of the peer by TLS."""
        ...


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


def read_call(method: str, context: Context) -> tuple[HttpRequest, str | None]:
    """Return a call as HTTP sees it, and why it cannot be judged, if so.

    Parameters:
        method: its full name, as ``/package.Service/Method``: the path of the request.
        context: what is known of the call.
    """
    flaw = None if _METHOD.fullmatch(method) else "the method is not a path"
    certificate = None
    shown = context.auth_context().get("x509_pem_cert")
    if shown:
        # gRPC hands over verified certificates only: it asks for none, or demands one and verifies.
        try:
            certificate = _certificate(shown)
        except NotCertificate as error:
            flaw = flaw or f"the client certificate from the server: {error}"
    request = HttpRequest(
        method="POST",
        url=method,
        headers=tuple(
            [(key, _text(value)) for key, value in context.invocation_metadata() or ()],
        ),
        peer=_peer(context.peer()),
        client_certificate=certificate,
    )
    return request, flaw


def _text(value: str | bytes) -> str:
    """Return a value of metadata as text in which each character is one octet.

    ``-bin`` metadata comes decoded; here it is base64 again, as it was sent.
    """
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    # gRPC decodes as UTF-8 what is to be ASCII.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def _certificate(shown: Sequence[bytes]) -> bytes:
    if len(shown) != 1:
        raise NotCertificate("several")
    try:
        return read_pem(shown[0].decode("ascii"))
    except UnicodeDecodeError:
        raise NotCertificate("not ASCII") from None


def _peer(stated: str) -> str | None:
    """Return the address in gRPC's name of a peer: ``ipv4:192.0.2.1:50000``, ``ipv6:``, ``unix:``.

    It is the socket's: nothing that the caller sends is in it.
    """
    kind, _, rest = stated.partition(":")
    if kind in {"unix", "unix-abstract"}:
        return _UNIX
    if kind == "ipv4":
        return rest.rpartition(":")[0]
    if kind == "ipv6":
        return unquote(rest).rpartition(":")[0].strip("[]")
    return None


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
    metadata: list[tuple[str, str | bytes]] = [
        (name.lower(), value)
        for name, value in response.headers
        if name.lower() not in _OF_THE_BODY
    ]
    metadata.append((PROBLEM, response.body))
    code = _CODES.get(response.status, grpc.StatusCode.UNIMPLEMENTED)
    details = "Only HTTP has an answer to this." if refusal is None else refusal.code.sentence
    return Refusing(code, details, tuple(metadata))
