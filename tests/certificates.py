"""Certificates of clients, and how each proxy writes one down."""

from __future__ import annotations

import base64
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable

Headers = tuple[tuple[str, str], ...]

AUTHORITY: Final = trustme.CA()


def issue(name: str) -> trustme.LeafCert:
    """A certificate, and its key, for a client."""
    return AUTHORITY.issue_cert(name)


def pem_of(issued: trustme.LeafCert) -> str:
    """The certificate itself, without its chain."""
    return issued.cert_chain_pems[0].bytes().decode("ascii")


def der_of(issued: trustme.LeafCert) -> bytes:
    """The octets that tokens are bound to."""
    return ssl.PEM_cert_to_DER_cert(pem_of(issued))


def digest_of(certificate: bytes) -> str:
    """What a token that is bound to the certificate has as x5t#S256."""
    return base64.urlsafe_b64encode(sha256(certificate).digest()).rstrip(b"=").decode("ascii")


def base64_of(certificate: bytes) -> str:
    return base64.b64encode(certificate).decode("ascii")


def escaped_pem(certificate: bytes) -> str:
    return quote(ssl.DER_cert_to_PEM_cert(certificate), safe="")


def envoy_element(certificate: bytes) -> str:
    return (
        f"By=spiffe://test/api;Hash={sha256(certificate).hexdigest()};"
        f'Cert="{escaped_pem(certificate)}";Subject="CN=\\"x\\",O=Test";URI=spiffe://test/a?b=c;DNS='
    )


#: By form: the headers with which a proxy of that kind states a certificate.
STATED: Final[dict[str, Callable[[bytes], Headers]]] = {
    "rfc9440": lambda der: (("Client-Cert", f":{base64_of(der)}:"),),
    "nginx": lambda der: (
        ("X-SSL-Client-Cert", escaped_pem(der)),
        ("X-SSL-Client-Verify", "SUCCESS"),
    ),
    "envoy": lambda der: (("X-Forwarded-Client-Cert", envoy_element(der)),),
    "caddy": lambda der: (("X-Client-Certificate", base64_of(der)),),
    "haproxy": lambda der: (("X-SSL-Client-DER", base64_of(der)),),
    "traefik": lambda der: (("X-Forwarded-Tls-Client-Cert", base64_of(der)),),
}

#: By form: the headers with which it says that the client showed none.
NONE_SHOWN: Final[dict[str, Headers]] = {
    "rfc9440": (),
    "nginx": (("X-SSL-Client-Verify", "NONE"),),
    "envoy": (),
    "caddy": (("X-Client-Certificate", "{http.request.tls.client.certificate_der_base64}"),),
    "haproxy": (("X-SSL-Client-DER", ""),),
    "traefik": (),
}
