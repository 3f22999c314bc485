"""Envoy's external authorization over gRPC: ``envoy.service.auth.v3.Authorization/Check``.

Envoy states a request and asks whether it may pass; the guard's decision is the answer. What is
stated is believed from whom the gateway trusts, and from nobody else: anyone could state a
certificate that he does not have.

What Envoy's own configuration has to say, as nothing here can see it:

- ``failure_mode_allow: false`` (the default): without an answer nothing passes;
- ``encode_raw_headers: true``: otherwise Envoy joins headers of one name with commas. A joined
  ``Authorization`` or ``DPoP`` is refused here, since none of the two has a comma in it;
- ``include_peer_certificate: true``, for tokens that are bound to certificates, and no
  ``trust_chain_verification: ACCEPT_UNTRUSTED``: what Envoy states counts as verified;
- no ``allowed_headers``, which would hide from here what is to be removed;
- ``headers_with_underscores_action: REJECT_REQUEST``.

Envoy itself was not run with this: the tests speak to it in bytes that they write themselves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.gateway.forward_auth import folded, folds_to_override
from portvakt.gateway.identity import PREFIX
from portvakt.http.certificate import NotCertificate
from portvakt.http.forwarded import FORMS
from portvakt.http.grpc_call import read_grpc_call
from portvakt.http.request import HttpRequest

try:
    import grpc
    import grpc.aio

    from portvakt.gateway.ext_authz_messages import CheckRequest, CheckResponse, DecodeError
except ImportError as error:
    raise ConfigurationError("gRPC is missing: pip install 'portvakt[grpc]'") from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from portvakt.guard.guard import Guard
    from portvakt.http.response import Response
    from portvakt.policy.decision import Decision

__all__ = ["PREFIX", "SERVICE", "ExtAuthz", "read_check_request", "register", "start"]

SERVICE: Final = "envoy.service.auth.v3.Authorization"

#: A target that is a path. Envoy has no other to ask about, but for CONNECT.
_TARGET: Final = re.compile(r"/[^\x00-\x20\x7f-\x9f#]*")


#: ``OVERWRITE_IF_EXISTS_OR_ADD``: what was there before is gone, however often it was there.
_OVERWRITE: Final = 2

#: The codes of ``google.rpc.Status``. To Envoy all but the first mean no.
_OK: Final = 0
_CODES: Final = {400: 3, 401: 16, 403: 7, 503: 14}
_PERMISSION_DENIED: Final = 7

#: Envoy's form of a certificate is that of nginx: PEM, percent-encoded.
_, _read_certificate = FORMS["nginx"]


class ExtAuthz:
    """Answers Envoy. Add it to any asyncio server of gRPC.

    Parameters:
        guard: who decides.
        trusts: given a call as HTTP sees it (peer, metadata as headers, certificate), whether
            what it says of others is believed. Never true by default.
        identity: given an admission, the headers that tell the API who was admitted, each name
            beginning with :data:`PREFIX`. They take the place of what the client sent; one that
            is empty is removed. None: they would be too long, and so the request is refused.
    """

    def __init__(
        self,
        guard: Guard,
        *,
        trusts: Callable[[HttpRequest], bool],
        identity: Callable[[Decision], Iterable[tuple[str, str]] | None],
    ) -> None:
        self._guard = guard
        self._trusts = trusts
        self._identity = identity

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve ``Check`` there. Ports, TLS, start and stop are the server's."""
        register(server, self.serve)

    async def serve(self, message: bytes, context: Any) -> bytes:
        """Answer one call, if it comes from who is believed."""
        asking, flaw = read_grpc_call(
            f"/{SERVICE}/Check",
            context.invocation_metadata() or (),
            context.peer(),
            tuple(context.auth_context().get("x509_pem_cert") or ()),
        )
        if flaw or not self._trusts(asking):
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, "Not a proxy that is believed here."
            )
        return await self.answer(message)

    async def answer(self, message: bytes) -> bytes:
        """Return the ``CheckResponse`` to a ``CheckRequest``, both as octets.

        Whatever they are, there is an answer. It does not look at who asks.
        """
        request, flaw = read_check_request(message)
        decision = (
            self._guard.malformed(request, flaw) if flaw else await self._guard.check(request)
        )
        told: Iterable[tuple[str, str]] | None = ()
        if decision.response is None:
            told = self._identity(decision)
            if told is None:
                flaw = "what the API is to be told of it is too long for headers"
                decision = self._guard.malformed(request, flaw)
        if decision.response is not None:
            return _denied(decision.response)
        return _admitted(request, told or (), decision.headers)


def register(server: grpc.aio.Server, serve: Callable[[bytes, Any], Awaitable[bytes]]) -> None:
    """Have a server call *serve* for each ``Check``, with its octets and its context."""
    # No deserializer: what is no message gets an answer too.
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(serve)
    server.add_registered_method_handlers(SERVICE, {"Check": handler})


async def start(place: str, serve: Callable[[bytes, Any], Awaitable[bytes]]) -> grpc.aio.Server:
    """Return a server, without TLS, that answers at a place: an address and port, or ``unix:``.

    Raises:
        ConfigurationError: if it cannot be listened on there.
    """
    server = grpc.aio.server()
    register(server, serve)
    try:
        server.add_insecure_port(place)
    except RuntimeError:
        raise ConfigurationError(
            [Problem("gateway.ext_authz", "cannot be listened on: is it served already?")]
        ) from None
    await server.start()
    return server


def read_check_request(message: bytes) -> tuple[HttpRequest, str | None]:
    """Return the request that a ``CheckRequest`` states, and why it cannot be judged, if so.

    It has no peer: the address that Envoy states may be one that a client wrote, and headers that
    a proxy in front of Envoy sets are Envoy's to judge.
    """
    try:
        attributes = CheckRequest.FromString(message).attributes
    except DecodeError:
        return HttpRequest(method="", url=""), "not a CheckRequest"
    stated = attributes.request.http
    flaw, certificate = None, None
    if attributes.source.certificate:
        try:
            certificate = _read_certificate(_text(attributes.source.certificate))
        except NotCertificate as error:
            flaw = f"the client certificate from Envoy: {error}"
    path = _text(stated.path)
    if not stated.method or not _TARGET.fullmatch(path):
        # So it is for a connection, too, whose filter Envoy has asking the same service.
        flaw = "no method, or a target that is not a path"
    # One of the two lists is empty. If Envoy ever sent both, what is in both would be there twice,
    # and be refused where that is ambiguous.
    headers = [
        (_text(header.key), _text(header.raw_value or header.value))
        for header in (*stated.headers, *stated.header_map.headers)
        if not header.key.startswith(b":")
    ]
    if any(folds_to_override(name.lower()) for name, _ in headers):
        flaw = "a header would be taken for one that overrides the method"
    request = HttpRequest(
        method=_text(stated.method),
        url=path,
        headers=tuple(headers),
        client_certificate=certificate,
    )
    return request, flaw


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")


def _admitted(
    request: HttpRequest,
    identity: Iterable[tuple[str, str]],
    headers: Iterable[tuple[str, str]],
) -> bytes:
    """Return an admission: the identity for the API, and what is added to its answer.

    Whatever the client sent under a name that some server reads as one of ours is removed, but for
    those that are set: Envoy removes last, and what is set takes the place of what was there.
    """
    told = {name.lower(): value for name, value in identity}
    stated = [(name, value) for name, value in told.items() if value]
    sent = {name.lower() for name, _ in request.headers if folded(name.lower()).startswith(PREFIX)}
    removed = (sent | told.keys()) - {name for name, _ in stated}
    response = CheckResponse(
        status={"code": _OK},
        ok_response={
            "headers": _options(stated),
            "headers_to_remove": sorted(removed),
            "response_headers_to_add": _options(headers),
        },
    )
    octets: bytes = response.SerializeToString()
    return octets


def _denied(response: Response) -> bytes:
    """Return a refusal, or whatever else the client is answered in the API's place."""
    # Envoy counts the body itself.
    headers = [one for one in response.headers if one[0].lower() != "content-length"]
    answer = CheckResponse(
        status={"code": _CODES.get(response.status, _PERMISSION_DENIED)},
        denied_response={
            "status": {"code": response.status},
            "headers": _options(headers),
            "body": response.body.decode("utf-8"),
        },
    )
    octets: bytes = answer.SerializeToString()
    return octets


def _options(headers: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "header": {"key": name.encode("latin-1"), "value": value.encode("latin-1")},
            "append_action": _OVERWRITE,
        }
        for name, value in headers
    ]
