"""Which proxy may speak for the client, and in which header.

Where a proxy ends the TLS connection, it alone has seen the client's certificate, and tells the API
in a header. Anyone can send such a header, so it is believed from a configured peer and from nobody
else (RFC 9440 section 4). What a proxy does not overwrite, it passes on: that it overwrites or
removes the header in every request, only its own configuration can see to.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from msgspec.structs import replace

from portvakt.errors import Refused
from portvakt.http.certificate import NotCertificate, read_base64, read_pem
from portvakt.http.request import HttpRequest
from portvakt.refusal import Code

__all__ = ["FORMS", "UNIX", "Network", "Proxies", "RefusedNetwork", "network_of"]

Network = IPv4Network | IPv6Network

#: The peer of a request that came by a Unix socket, as adapters write it and policies trust it.
UNIX: Final = "unix"

#: Characters of a header. Servers cut them off at about as many.
MAX_HEADER: Final = 65_536


#: How many certificates a chain may have beside the client's own.
MAX_CHAIN: Final = 10


class RefusedNetwork(ValueError):  # noqa: N818  it says what became of it
    """The text is no network that may be trusted. The message says why and holds nothing of it."""


#: The widest networks that are one operator's: 10.0.0.0/8, and fc00::/7 of RFC 4193.
_WIDEST: Final = {4: 8, 6: 7}
_NETWORK: Final = re.compile(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?")


def network_of(text: str) -> Network:
    """Return the network that a text states: an address, or an address and the length of a prefix.

    Raises:
        RefusedNetwork: if it is neither, has bits beside its prefix, states IPv4 in IPv6, or is so
            wide that strangers are in it.
    """
    if not _NETWORK.fullmatch(text):
        raise RefusedNetwork('must be an address, a network as 10.0.0.0/8, or "unix"')
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise RefusedNetwork("is neither an address nor a network") from None
    if network.prefixlen < _WIDEST[network.version]:
        raise RefusedNetwork("is so wide that anyone is in it: name the proxy's own network")
    if "/" in text and text.lower() != str(network):
        raise RefusedNetwork(f"has bits beside its prefix, or another form: write {network}")
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise RefusedNetwork("is IPv4 written as IPv6: write it as IPv4")
    return network


# What is escaped in PEM, as nginx and Envoy write it. No plus sign is ever a space.
_USUAL: Final = (("%0A", "\n"), ("%20", " "), ("%2B", "+"), ("%2F", "/"), ("%3D", "="))
_ESCAPED: Final = re.compile(r"(?:[A-Za-z0-9._~+/=-]|%[0-9A-Fa-f]{2})*+")


def _unescaped(value: str) -> str:
    if " " in value or "\n" in value or "\r" in value:
        raise NotCertificate("not URL-encoded")
    text = value
    for escaped, character in _USUAL:
        # None of these characters can become a part of another escape.
        text = text.replace(escaped, character)
    if "%" not in text:
        return text
    if not _ESCAPED.fullmatch(value):
        raise NotCertificate("not URL-encoded")
    return unquote(value, "latin-1")


def _read_byte_sequence(value: str) -> bytes:
    """Read ``:base64:`` (RFC 9440 section 2.2, RFC 8941 section 3.3.5), without parameters."""
    if len(value) < 2 or value[0] != ":" or value[-1] != ":":
        raise NotCertificate("not one byte sequence")
    return read_base64(value[1:-1])


def _read_escaped_pem(value: str) -> bytes:
    """Read nginx's ``$ssl_client_escaped_cert``."""
    return read_pem(_unescaped(value))


def _read_escaped_body(value: str) -> bytes:
    """Read PEM without its marks and line breaks, as Traefik writes it; escaped until 2.9.

    It writes the chain that the client sent, separated by commas and its own certificate first.
    """
    first, *chain = _unescaped(value.replace("%2C", ",")).split(",", MAX_CHAIN)
    for one in chain:
        read_base64(one)
    return read_base64(first)


#: What stands there from a client that showed no certificate: Caddy leaves a placeholder as it is.
_UNFILLED: Final = "{http.request.tls.client.certificate_der_base64}"


def _read_placeholder(value: str) -> bytes | None:
    """Read what Caddy puts in place of its placeholder, if it does."""
    return None if value == _UNFILLED else read_base64(value)


# One pair of an element of X-Forwarded-Client-Cert, and what ends it. Envoy quotes with backslashes
# and leaves a URI of the certificate as it is, equals signs and all.
_PAIR: Final = re.compile(r'([A-Za-z]+)=(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"|([^",;]*+))([;,]|\Z)')


def _read_envoy_element(value: str) -> bytes:
    """Read the one element of Envoy's ``X-Forwarded-Client-Cert``.

    Several elements are refused: those before the last are what other hops say of other
    connections. And the last is not surely of the trusted hop, for Envoy does not quote URIs: a
    client whose certificate has a URI with a comma in it could write an element of its own. In one
    element it can only repeat a key, and that is refused.
    """
    members: dict[str, str] = {}
    position = 0
    end = ";"
    while end:
        pair = _PAIR.match(value, position)
        if pair is None:
            raise NotCertificate("not an element of key=value pairs")
        key, quoted, plain, end = pair.groups()
        if end == ",":
            raise NotCertificate("several elements: set SANITIZE_SET")
        key = key.lower()
        if key in {"cert", "hash"}:
            if key in members:
                raise NotCertificate(f"{key} is repeated")
            members[key] = plain if quoted is None else quoted
        position = pair.end()
    if "cert" not in members:
        raise NotCertificate("no Cert: set set_current_client_cert_details.cert")
    certificate = read_pem(_unescaped(members["cert"]))
    digest = members.get("hash")
    if digest is not None and digest.lower() != sha256(certificate).hexdigest():
        raise NotCertificate("Hash is of another certificate")
    return certificate


#: The forms that a certificate is told in: the header that each has by itself, and how it is read.
FORMS: Final[Mapping[str, tuple[str, Callable[[str], bytes | None]]]] = MappingProxyType(
    {
        "rfc9440": ("Client-Cert", _read_byte_sequence),
        "nginx": ("X-SSL-Client-Cert", _read_escaped_pem),
        "envoy": ("X-Forwarded-Client-Cert", _read_envoy_element),
        "caddy": ("X-Client-Certificate", _read_placeholder),
        "haproxy": ("X-SSL-Client-DER", read_base64),
        "traefik": ("X-Forwarded-Tls-Client-Cert", _read_escaped_body),
    }
)


class Proxies:
    """Who may speak for the client, and how. Made once from the policy; nothing changes it.

    Parameters:
        trusted: networks, and :data:`UNIX` for any peer at the other end of a Unix socket.
        form: one of :data:`FORMS`.
        header: the header, if not the form's own. For ``nginx`` it ends in ``-Cert``, and the one
            that ends in ``-Verify`` instead says whether the certificate was verified.
    """

    __slots__ = ("_header", "_lengths", "_networks", "_read", "_unix", "_verify")

    def __init__(
        self, trusted: Iterable[Network | str], form: str, header: str | None = None
    ) -> None:
        trusted = tuple(trusted)
        own, self._read = FORMS[form]
        self._header = (header or own).lower()
        self._verify = f"{self._header.removesuffix('-cert')}-verify" if form == "nginx" else None
        self._lengths = frozenset({len(self._header), len(self._verify or self._header)})
        self._networks = tuple(one for one in trusted if not isinstance(one, str))
        self._unix = UNIX in trusted

    def trusts(self, peer: str | None) -> bool:
        """Whether what a peer says of the client is believed. An unknown one never is."""
        if peer is None:
            return False
        if peer == UNIX:
            return self._unix
        try:
            address: IPv4Address | IPv6Address = ip_address(peer)
        except ValueError:
            return False
        if isinstance(address, IPv6Address):
            # A socket for both kinds of addresses shows IPv4 like this.
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)

    def original(self, request: HttpRequest) -> HttpRequest:
        """Return a request as the client made it to the proxy.

        From a trusted peer the certificate is what the header says, and none if there is no header:
        one of the TLS connection itself is the proxy's own. From any other peer the header means
        nothing, and the request is returned as it is. Headers stay where they are.

        It does not verify the certificate, and cannot tell whether the proxy overwrote the header.

        Raises:
            Refused: ``request_malformed``, if a trusted peer repeats the header or writes anything
                but one certificate, verified.
        """
        return self._as_told(request, believed=False)

    def believed(self, request: HttpRequest) -> HttpRequest:
        """Do what :meth:`original` does for a request that is known to come from the proxy.

        Raises:
            Refused: as :meth:`original`.
        """
        return self._as_told(request, believed=True)

    def _as_told(self, request: HttpRequest, *, believed: bool) -> HttpRequest:
        told: list[str] | None = None
        verified: list[str] | None = None
        lengths = self._lengths
        for name, value in request.headers:
            if len(name) in lengths:
                lowered = name.lower()
                if lowered == self._header:
                    told = [value] if told is None else [*told, value]
                elif lowered == self._verify:
                    verified = [value] if verified is None else [*verified, value]
        if told is None and verified is None and request.client_certificate is None:
            return request
        if not (believed or self.trusts(request.peer)):
            return request
        try:
            certificate = self._certificate(_only(told), _only(verified))
        except NotCertificate as flaw:
            raise Refused(
                Code.REQUEST_MALFORMED, f"the client certificate from the proxy: {flaw}"
            ) from None
        if certificate == request.client_certificate:
            return request
        return replace(request, client_certificate=certificate)

    def _certificate(self, told: str, verified: str) -> bytes | None:
        if self._verify is not None:
            if verified.startswith("FAILED:"):
                # Let through by optional_no_ca. Nobody vouches for it, so nobody showed it.
                return None
            if verified not in {"SUCCESS", "NONE", ""}:
                raise NotCertificate("nginx does not write $ssl_client_verify like this")
            if (verified == "SUCCESS") != (told != ""):
                # Without the second header nginx is not set up to write both, and may pass on what
                # the client wrote.
                raise NotCertificate("$ssl_client_verify and $ssl_client_escaped_cert disagree")
        return self._read(told) if told else None


def _only(values: list[str] | None) -> str:
    """Return the one value of a header; empty where it is empty or missing."""
    if values is None:
        return ""
    if len(values) > 1:
        raise NotCertificate("the header is repeated")
    value = values[0].strip(" \t")
    if len(value) > MAX_HEADER:
        raise NotCertificate("the header is too long")
    return value
