"""The one view of a request that every check shares."""

from msgspec import Struct

__all__ = ["HttpRequest"]


class HttpRequest(Struct, frozen=True, kw_only=True):
    """A request as an adapter received it: nothing decoded, nothing joined, nothing dropped.

    Attributes:
        method: the method, in the case in which it came.
        url: absolute, or the request target as received (``/path?query``), percent-encoding intact.
        headers: name and value of every header line in order, duplicates kept. Values are text in
            which each character is one octet (ISO 8859-1), as WSGI and ASGI servers give them.
        peer: the address at the other end of the socket, ``unix`` if it is a Unix socket; None if
            unknown. Never an address that a header states.
        client_certificate: the certificate (DER) that the client showed, verified by whoever ended
            the TLS connection; None if it showed none.
        path_parameters: name and value of each path parameter, where a framework did the routing.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    peer: str | None = None
    client_certificate: bytes | None = None
    path_parameters: tuple[tuple[str, str], ...] = ()

    # Headers and queries hold tokens, paths hold personal numbers, and whoever sends a request
    # chooses its method: neither repr may show them (msgspec gives rich one of its own).
    def __repr__(self) -> str:
        """Show how many headers there are, and nothing that was sent."""
        return f"HttpRequest(headers={len(self.headers)})"

    def __rich_repr__(self) -> list[tuple[str, int]]:
        """Show to rich what repr shows."""
        return [("headers", len(self.headers))]
