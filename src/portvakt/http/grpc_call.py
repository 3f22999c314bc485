"""A gRPC call as the HTTP request that it is: POST, with the name of its method as the path."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

from portvakt.http.certificate import NotCertificate, read_pem
from portvakt.http.forwarded import UNIX
from portvakt.http.request import HttpRequest

__all__ = ["read_grpc_call"]

#: The ``:path`` of a call. A query would be judged without it and served with it.
_METHOD: Final = re.compile(r"/[^\x00-\x20\x7f-\x9f?#]*")


def read_grpc_call(
    method: str,
    metadata: Iterable[tuple[str, str | bytes]],
    peer: str,
    certificates: Sequence[bytes] = (),
) -> tuple[HttpRequest, str | None]:
    """Return a call as HTTP sees it, and why it cannot be judged, if so.

    Parameters:
        method: its full name, as ``/package.Service/Method``: the path of the request.
        metadata: keys and values as they were received, duplicates kept.
        peer: gRPC's name of who is at the other end of the connection.
        certificates: what gRPC has as ``x509_pem_cert``. It verifies what it asks for.
    """
    flaw = None if _METHOD.fullmatch(method) else "the method is not a path"
    certificate = None
    if certificates:
        try:
            certificate = _certificate(certificates)
        except NotCertificate as error:
            flaw = flaw or f"the client certificate from the server: {error}"
    request = HttpRequest(
        method="POST",
        url=method,
        headers=tuple([(key, _text(value)) for key, value in metadata]),
        peer=_address(peer),
        client_certificate=certificate,
    )
    return request, flaw


def _text(value: str | bytes) -> str:
    """Return a value as text in which each character is one octet.

    ``-bin`` metadata comes decoded; here it is base64 again, as it was sent.
    """
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    # gRPC decodes as UTF-8 what ought to be ASCII.
    return value if value.isascii() else value.encode("utf-8", "replace").decode("latin-1")


def _certificate(shown: Sequence[bytes]) -> bytes:
    if len(shown) != 1:
        raise NotCertificate("several")
    # What is no ASCII is none of the characters that PEM has.
    return read_pem(shown[0].decode("latin-1"))


def _address(peer: str) -> str | None:
    """Return the address in ``ipv4:192.0.2.1:50000``, ``ipv6:%5B::1%5D:50000`` or ``unix:/path``.

    It is the socket's: nothing that the caller sends is in it.
    """
    kind, _, rest = peer.partition(":")
    if kind in {"unix", "unix-abstract"}:
        return UNIX
    if kind == "ipv4":
        return rest.rpartition(":")[0]
    if kind == "ipv6":
        return unquote(rest).rpartition(":")[0].strip("[]")
    return None
