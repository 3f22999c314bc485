"""One HTTP exchange with a server that a policy names: bounded in time and size, and alone.

Every exchange has a connection of its own, to an address that was looked at first, and leaves
nothing behind. What the other side sends can fail, and that is all it can do: no redirect is
followed, no cookie is kept, nothing is decompressed, and nothing comes from the environment (RFC
8725bis section 3.10, RFC 8414 section 6, JWKS-01 to -08 and -24).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from portvakt.errors import ConfigurationError
from portvakt.http.url import DEFAULT_PORTS, RefusedUrl, Target, check_url, literal
from portvakt.net.address import Addresses, FetchError, is_loopback
from portvakt.net.answer import Fetched, Headers, listed, retry_after

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    import httpcore2

__all__ = ["Fetch"]

#: Header fields of an answer, and the octets of all their names and values.
MAX_FIELDS: Final = 100
MAX_FIELD_OCTETS: Final = 32 * 1024

#: Codings of a body that are taken: nothing is decompressed here.
_PLAIN: Final = frozenset({"identity"})
_PLAIN_OR_GZIP: Final = frozenset({"identity", "gzip", "x-gzip"})


class Fetch:
    """Fetches, each time over a fresh connection to an approved address.

    TLS 1.2 or later; the certificate is checked against the name in the URL (or the address, where
    the URL states one) and the system's trusted certificates, whatever ``SSL_CERT_FILE`` says.
    Belongs to no event loop, holds nothing open and keeps no state: it may be shared by threads and
    survives a fork.

    Does not check: what the body says; that an answer without a stated length is complete (JSON
    that is cut off is no JSON); whether the certificate was revoked. Behind a proxy the proxy
    resolves and dials, so only a host that is itself an address is judged here: which addresses a
    name may lead to is then for the proxy to decide.

    Parameters:
        addresses: which addresses may be dialled.
        ca_file: certificates (PEM) that are trusted beside the system's own.
        proxy: the URL of an HTTP proxy, with its credentials if it wants any; never taken from the
            environment. It is not used for ``http``, which leads to this machine.
        loopback_http: allow ``http``, and that to loopback addresses only.
        timeout: seconds for everything together: name, connection, TLS, headers, body.
        max_body: octets. Of a longer body not more than this and one piece is ever read.

    Raises:
        ConfigurationError: if *ca_file* holds no certificates, or *proxy* is none.
    """

    __slots__ = ("_addresses", "_loopback_http", "_max_body", "_proxy", "_timeout", "_tls")

    def __init__(
        self,
        addresses: Addresses,
        *,
        ca_file: str | Path | None = None,
        proxy: str | None = None,
        loopback_http: bool = False,
        timeout: float = 5.0,
        max_body: int = 512 * 1024,
    ) -> None:
        self._addresses = addresses
        self._loopback_http = loopback_http
        self._timeout = timeout
        self._max_body = max_body
        self._tls = _tls(ca_file)
        self._proxy = None if proxy is None else _proxy(proxy, self._tls)

    async def get(self, url: str, *, accept: str) -> Fetched:
        """Get a document; the status is 200.

        Parameters:
            url: what to fetch; see :func:`check_url`.
            accept: the media types wanted, as the Accept header states them.

        Raises:
            FetchError: for whatever else happens.
        """
        return await self.send("GET", url, accept=accept)

    async def send(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        headers: Headers = (),
        content: bytes = b"",
        accepted: Collection[int] = (200,),
        into: Callable[[bytes], object] | None = None,
    ) -> Fetched:
        """Send one request and return the answer.

        Parameters:
            method: ``GET`` or ``POST``.
            url: where to; see :func:`check_url`.
            accept: the media types wanted, as the Accept header states them.
            headers: more header fields; names that are not set here.
            content: the body of the request.
            accepted: the statuses whose answer is wanted. With any other the body is not read.
            into: takes the body piece by piece, as it comes and possibly compressed with gzip,
                instead of the answer; for what is too large for memory.

        Raises:
            FetchError: for whatever else happens, whoever caused it.
        """
        import asyncio

        try:
            target = check_url(url, loopback_http=self._loopback_http)
        except RefusedUrl as flaw:
            raise FetchError(str(flaw)) from None
        fields = [
            ("Host", target.authority),
            ("User-Agent", "portvakt"),
            ("Accept", accept),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
            *headers,
        ]
        if content:
            fields.append(("Content-Length", str(len(content))))
        try:
            async with asyncio.timeout(self._timeout):
                return await self._exchange(method, target, fields, content, accepted, into)
        except FetchError:
            raise
        except Exception as error:  # noqa: BLE001  what the other side causes must not surprise
            reason = self._reason(error)
        # Outside the handler: what went wrong below may quote the answer, and is not kept.
        raise FetchError(reason)

    async def _exchange(
        self,
        method: str,
        target: Target,
        fields: Headers,
        content: bytes,
        accepted: Collection[int],
        into: Callable[[bytes], object] | None,
    ) -> Fetched:
        import asyncio

        import httpcore2

        # (1) Where to. A name behind a proxy is the proxy's to resolve.
        proxy = self._proxy if target.scheme == "https" else None
        dialler = _Dialler(asyncio.get_running_loop().time() + self._timeout)
        if proxy is None or literal(target.host) is not None:
            dialler.places = await self._addresses(target.host, target.port)
            if target.scheme == "http" and not all(is_loopback(one) for one, _ in dialler.places):
                raise FetchError("http is allowed to loopback addresses only")
        if proxy is not None:
            dialler.places = [(proxy.url.host.decode("ascii"), proxy.url.origin.port)]
        request = httpcore2.Request(
            method,
            httpcore2.URL(
                scheme=target.scheme, host=target.host, port=target.port, target=target.path
            ),
            headers=fields,
            content=content,
            # The name without the brackets that the CONNECT of a proxy needs.
            extensions={"sni_hostname": target.host.strip("[]")},
        )
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._tls,
            proxy=proxy,
            max_keepalive_connections=0,
            network_backend=cast("httpcore2.AsyncNetworkBackend", dialler),
        )
        try:
            # (2) Name, connection, TLS, request, head of the answer.
            response = await pool.handle_async_request(request)
            # (3) All that can be refused before the body is read.
            headers = tuple(
                (name.decode("latin-1").lower(), value.decode("latin-1"))
                for name, value in response.headers
            )
            _check_status(response.status, headers, accepted)
            self._check_head(headers, _PLAIN if into is None else _PLAIN_OR_GZIP)
            # (4) The body.
            return Fetched(response.status, headers, await self._body(response, into))
        finally:
            # (5) Whatever happened, also a cancellation: the pool forgets a connection that was
            # cancelled during its handshake, so the sockets are closed here.
            await dialler.close()

    def _check_head(self, headers: Headers, codings: Collection[str]) -> None:
        octets = sum(len(name) + len(value) for name, value in headers)
        if len(headers) > MAX_FIELDS or octets > MAX_FIELD_OCTETS:
            raise FetchError("the answer has too many headers")
        if any(coding not in codings for coding in listed(headers, "content-encoding")):
            raise FetchError("the answer is compressed, which was not asked for")
        # The protocol parser admits one length only, of at most twenty digits.
        if any(int(length) > self._max_body for length in listed(headers, "content-length")):
            raise FetchError(f"the answer is longer than {self._max_body} octets")

    async def _body(
        self, response: httpcore2.Response, into: Callable[[bytes], object] | None
    ) -> bytes:
        import asyncio
        from contextlib import aclosing

        body, size = bytearray(), 0
        take = body.extend if into is None else into
        async with aclosing(response.aiter_stream()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > self._max_body:
                    raise FetchError(f"the answer is longer than {self._max_body} octets")
                take(piece)
                # Ten thousand pieces of one octet come at once, and must not hold up the loop.
                await asyncio.sleep(0)
        return bytes(body)

    def _reason(self, error: Exception) -> str:
        """Say in our own words what went wrong. The libraries' words may quote the answer."""
        import ssl

        import httpcore2

        # The pool hides the cause of what it raises, but what TLS said is still in the context.
        cause = error.__context__ if isinstance(error, httpcore2.ConnectError) else error
        match cause:
            case ssl.SSLCertVerificationError(verify_code=code):
                return f"the certificate is refused: {_CERTIFICATE.get(code, 'not trusted')}"
            case ssl.SSLError():
                return f"TLS failed ({cause.reason or 'no reason given'})"
        match error:
            case TimeoutError() | httpcore2.TimeoutException():
                return f"no complete answer within {self._timeout:g} s"
            case httpcore2.ProxyError():
                return f"the proxy answered {str(error)[:3]}"
            case httpcore2.ConnectError() if isinstance(cause, OSError):
                return "no connection could be made"
            case httpcore2.ProtocolError():
                return "the answer is not HTTP as it should be"
            case httpcore2.NetworkError():  # Also during the handshake.
                return "the connection broke off"
        return f"the exchange failed ({type(error).__name__})"


#: Why OpenSSL refuses a certificate: its own codes (X509_V_ERR_…).
_CERTIFICATE: Final = {
    9: "not valid yet",
    10: "expired",
    18: "self-signed",
    19: "signed by an authority that is not trusted",
    20: "signed by an authority that is not trusted",
    62: "for another name",
    64: "for another address",
}


class _Dialler:
    """Opens connections for the pool, to the approved places whatever name the pool has in mind.

    In the shape of ``httpcore2.AsyncNetworkBackend``, which is not loaded before it is needed.
    """

    __slots__ = ("_streams", "_until", "places")

    def __init__(self, until: float) -> None:
        self._until = until
        self._streams: list[httpcore2.AsyncNetworkStream] = []
        self.places: Sequence[tuple[str, int]] = ()

    async def connect_tcp(self, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        """Try the places in turn, each with its share of the time left: one may never answer."""
        import asyncio

        import httpcore2

        backend, now = httpcore2.AnyIOBackend(), asyncio.get_running_loop().time
        failed: Exception = httpcore2.ConnectError("no place to dial")
        for left, (host, port) in zip(range(len(self.places), 0, -1), self.places, strict=True):
            share = (self._until - now()) / left
            try:
                return self._opened(await backend.connect_tcp(host, port, timeout=share))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    def _opened(self, stream: httpcore2.AsyncNetworkStream) -> httpcore2.AsyncNetworkStream:
        self._streams.append(stream)
        return stream

    async def close(self) -> None:
        """Close every connection that was opened, at once."""
        for stream in self._streams:
            await stream.aclose()


def _check_status(status: int, headers: Headers, accepted: Collection[int]) -> None:
    if status in accepted:
        return
    redirect = ", a redirect, and none is followed" if 300 <= status < 400 else ""
    wait = retry_after(headers) if status in {429, 503} else None
    raise FetchError(f"the server answered {status}{redirect}", retry_after=wait)


def _tls(ca_file: str | Path | None) -> ssl.SSLContext:
    """Make the one set of TLS rules: the system's certificates, and a file of the operator's."""
    import ssl

    import httpx2

    # The system's store on every platform; in a container without one, an empty set of trust.
    context = httpx2.create_ssl_context(trust_env=False)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError):  # ssl.SSLError is an OSError.
            raise ConfigurationError(f"{ca_file}: no file of PEM certificates") from None
    return context


def _proxy(url: str, tls: ssl.SSLContext) -> httpcore2.Proxy:
    import httpcore2
    import httpx2

    try:
        proxy = httpx2.Proxy(url)
    except (httpx2.InvalidURL, ValueError):
        raise ConfigurationError("proxy: not a URL") from None
    if proxy.url.scheme not in DEFAULT_PORTS or not proxy.url.host:
        raise ConfigurationError("proxy: write it as http://proxy.example:3128")
    return httpcore2.Proxy(
        httpcore2.URL(
            scheme=proxy.url.raw_scheme, host=proxy.url.raw_host, port=proxy.url.port, target="/"
        ),
        auth=proxy.raw_auth,
        # Without one of ours, the pool would read SSL_CERT_FILE.
        ssl_context=tls if proxy.url.scheme == "https" else None,
    )
