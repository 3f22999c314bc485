"""A URL that a policy or an issuer's metadata names: taken apart once, or refused.

What two parsers could read in two ways is no URL here (JWKS-05).
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from msgspec import Struct

__all__ = [
    "DEFAULT_PORTS",
    "RefusedUrl",
    "Target",
    "check_url",
    "literal",
    "parse_address",
    "path_of",
]

IpAddress = IPv4Address | IPv6Address

#: The schemes there are, and their ports.
DEFAULT_PORTS: Final = {"https": 443, "http": 80}

#: Characters of a URL. No issuer's is longer.
MAX_URL: Final = 2048


class RefusedUrl(ValueError):  # noqa: N818  it says what became of it
    """The URL is none that is ever fetched. The message says why and holds nothing of it."""


class Target(Struct, frozen=True):
    """A URL taken apart, once.

    Attributes:
        scheme: ``https``, or ``http`` where that is allowed.
        host: a name or an address in lower case; IPv6 in brackets.
        port: the port, stated or the scheme's own.
        path: path and query as they were written; never empty.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header: the port only where it is not the scheme's own."""
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"


_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_PATH: Final = re.compile(
    r"(?:/(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?"
    r"(?:\?(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?",
    re.ASCII,
)


def check_url(url: str, *, loopback_http: bool = False) -> Target:
    """Take a URL apart, or say why it will never be fetched. Nothing is resolved.

    What two parsers could read in two ways is refused (JWKS-05): only RFC 3986's own characters, no
    userinfo, no fragment, and an address in one form.

    Parameters:
        url: an absolute URL.
        loopback_http: whether ``http`` is allowed; whoever fetches it then sees to it that it goes
            to this machine.

    Raises:
        RefusedUrl: if it is none that may be fetched. The reason holds nothing of the URL.
    """
    if len(url) > MAX_URL:
        raise RefusedUrl(f"the URL is longer than {MAX_URL} characters")
    if _UNPRINTABLE.search(url):
        raise RefusedUrl("the URL holds a space or a control character")
    scheme, _, rest = url.partition(":")
    scheme = scheme.lower()
    if scheme != "https" and not (scheme == "http" and loopback_http):
        raise RefusedUrl("the URL is not https")
    if "#" in rest:
        raise RefusedUrl("the URL has a fragment")
    if not rest.startswith("//"):
        raise RefusedUrl("the URL has no host")
    authority = re.split("[/?]", rest[2:], maxsplit=1)[0]
    if "@" in authority:
        raise RefusedUrl("the URL has a user name or a password")
    path = rest[2 + len(authority) :]
    found = _AUTHORITY.fullmatch(authority)
    if found is None or not _PATH.fullmatch(path):
        raise RefusedUrl("the URL holds a character that does not belong there")
    host, port = found[1], int(found[2] or DEFAULT_PORTS[scheme])
    address = literal(host)  # Before the lower case, in which the Kelvin sign is a k.
    if scheme == "http" and address is not None and not address.is_loopback:
        raise RefusedUrl("http is allowed to loopback addresses only")
    if not 0 < port < 65536:
        raise RefusedUrl("the port of the URL is out of range")
    return Target(scheme, host.lower(), port, path if path.startswith("/") else f"/{path}")


_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")

#: A last label like this makes a host a number to inet_aton, and so to getaddrinfo: 127.1,
#: 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1 there.
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def literal(host: str) -> IpAddress | None:
    """Return the address that the host of a URL states, or None if it is a name.

    One address has one form: four decimal numbers, or IPv6 in brackets and without a zone. All
    others that a resolver would understand are refused, not read: whoever writes them hides
    something (JWKS-05).

    Parameters:
        host: as it stands in a URL, IPv6 in brackets.

    Raises:
        RefusedUrl: if it is neither an address nor a name of at most 253 letters, digits, hyphens
            and underscores, in labels of 1 to 63.
    """
    if host.startswith("["):
        address = parse_address(host[1:-1])
        if host.endswith("]") and isinstance(address, IPv6Address) and address.scope_id is None:
            return address
        raise RefusedUrl("the brackets of the host hold no IPv6 address")
    if not host.isascii():
        raise RefusedUrl("the host is not ASCII: write it in punycode, as xn--…")
    if host.endswith("."):
        raise RefusedUrl("the host ends in a dot: leave it out")
    labels = host.split(".")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise RefusedUrl("the host is neither a name nor an address")
    if not _NUMBER.fullmatch(labels[-1]):
        return None
    address = parse_address(host)
    if address is None:
        raise RefusedUrl("the host is a number: write an address as four decimal numbers")
    return address


def parse_address(text: str) -> IpAddress | None:
    """Return the address that a text is in its one form, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def path_of(url: str) -> str:
    """Return the path of an absolute URL or a request target, as written (RFC 9112 section 3.2)."""
    target = url.partition("?")[0]
    if target[:1] == "/":
        return target
    _, authority, rest = target.partition("://")
    slash = rest.find("/")
    if not authority:
        return target  # Neither form, like the * of OPTIONS: it equals no rule.
    return rest[slash:] if slash >= 0 else "/"
