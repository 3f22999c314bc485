"""The sample API over gRPC, and a client that sends gRPC what others are sent over HTTP.

A path is the name of a method, header lines are metadata, and the body is the one message. What
comes back is told in HTTP's words: the status from the code, the headers from the metadata. Every
call is a POST, so no rule of the policy is for GET alone here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import grpc

from behaviour.sample import ORIGIN, Sample, plain_endpoint
from behaviour.serving import Adapter, Address, Answer, Served
from portvakt import ConfigurationError
from portvakt.adapters.grpc import GrpcGuard, current_token
from portvakt.testing import FakeClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from portvakt import HttpRequest
    from portvakt.forge.proofs import ProofBuilder

__all__ = ["GRPC", "ServedOverGrpc"]

#: The statuses of HTTP that gRPC's codes stand for.
_STATUSES: Final = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    # What gRPC's own client says of metadata that it does not send.
    grpc.StatusCode.INTERNAL: 400,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
}

#: What the adapter leaves out of metadata, as it means nothing to gRPC.
_OF_HTTP: Final = (("Content-Type", "application/problem+json"), ("Cache-Control", "no-store"))


class PostingClient(FakeClient):
    """A client whose requests are POSTs, if nothing else is said."""

    def request(  # type: ignore[override]  # another default
        self, token: str, method: str = "POST", url: str = "/", **more: Any
    ) -> HttpRequest:
        return super().request(token, method, url, **more)

    def proof(
        self, token: str, method: str = "POST", url: str = "/", *, nonce: str | None = None
    ) -> ProofBuilder:
        return super().proof(token, method, url, nonce=nonce)


class ServedOverGrpc(Served):
    """The sample API, called over gRPC."""

    def send(
        self, target: str, *lines: str, method: str = "GET", body: bytes | None = None
    ) -> Answer:
        host, port = self.address
        metadata = [(name.lower(), value.strip(" ")) for name, value in map(_parted, lines)]
        with grpc.insecure_channel(f"{host}:{port}") as channel:
            stream: Any = channel.unary_stream(target)
            call = stream(body or b"", metadata=metadata, timeout=20)
            pieces: list[bytes] = []
            with suppress(grpc.RpcError):  # It is the call itself, which is asked below.
                pieces.extend(call)
        headers = [(one.key, one.value) for one in call.initial_metadata()]
        headers += [(one.key, one.value) for one in call.trailing_metadata()]
        told = tuple((name, value) for name, value in headers if isinstance(value, str))
        answer = b"".join(pieces) or dict(headers).get("problem-bin", b"")
        raw = repr((headers, call.details(), answer)).encode()
        if "problem-bin" in dict(headers):
            told += (*_OF_HTTP, ("Content-Length", str(len(answer))))
        return Answer(_STATUSES[call.code()], told, answer, raw)


def _parted(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value


class _Methods(grpc.GenericRpcHandler):
    """The endpoints of the sample API: any method is one that has its path as its name."""

    def __init__(self, sample: Sample) -> None:
        self._sample = sample

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        endpoint = plain_endpoint(self._sample, "POST" if path == "/echo" else "GET", path)
        return (
            None if endpoint is None else grpc.unary_stream_rpc_method_handler(_serving(endpoint))
        )


def _serving(endpoint: Callable[..., Any]) -> Callable[[bytes, Any], Iterator[bytes]]:
    def serve_it(request: bytes, context: Any) -> Iterator[bytes]:
        context.send_initial_metadata((("x-api", "1"),))
        found = endpoint(current_token(), request)
        pieces: Iterable[Any] = [found] if isinstance(found, str | bytes) else found
        for piece in pieces:
            yield piece.encode() if isinstance(piece, str) else piece

    return serve_it


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    for rule in sample.config["route"]:
        rule.pop("methods", None)
    # Its requests are compared with what the guard says of them, so they are POSTs too.
    vars(sample)["client"] = PostingClient(sample.issuer, origin=ORIGIN)
    with ThreadPoolExecutor(max_workers=8) as pool:
        server = sample.guard(GrpcGuard).server(pool)
        server.add_generic_rpc_handlers((_Methods(sample),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield "127.0.0.1", port
        finally:
            server.stop(None).wait()


def forget(sample: Sample) -> str:
    with ThreadPoolExecutor(max_workers=1) as pool:
        server = sample.guard(GrpcGuard).server(pool)
        handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        server.add_registered_method_handlers("forgotten", {"Read": handler})
        try:
            server.start()
        except ConfigurationError as error:
            return str(error)
        server.stop(None).wait()
    return "it started"


GRPC: Final = Adapter(
    name="grpc",
    title="gRPC",
    serve=serve,
    forget=forget,
    lacks={
        "demands": "a call is judged once, by the rule and the method's demands at a time",
    },
    client=ServedOverGrpc,
    apart={
        **dict.fromkeys(("head", "head_served", "metadata"), "every call is a POST"),
        **dict.fromkeys(
            ("public", "nothing_echoed", "honest_paths", "same_answer"),
            "a method's name has no query, and nothing in it is decoded: it has tests of its own",
        ),
        "metadata": "it is for who asks by HTTP",
        "odd_octets": "its clients send none",
        "next_nonce": "its answer has no headers of the API: it has a test of its own",
    },
)
