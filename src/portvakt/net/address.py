"""Where may be dialled: a URL taken apart once, and each address that its host resolves to judged.

A URL in a policy is trusted; what its name resolves to is the word of a name server. So not the
name is judged but each address, at the time of the fetch, and exactly the judged address is dialled
(RFC 8725bis section 3.10, JWKS-04). A name whose next answer is another address gains nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Protocol

from msgspec import Struct

from portvakt.http.url import RefusedUrl, literal, parse_address

__all__ = [
    "Addresses",
    "CheckedAddresses",
    "FetchError",
    "Reach",
    "is_loopback",
    "objection",
]

IpAddress = IPv4Address | IPv6Address

#: Names resolved: the host and the port in, the addresses out, as text.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

#: How many addresses of one name are tried. Nobody publishes more and means it.
MAX_ADDRESSES: Final = 8


class FetchError(Exception):
    """Nothing was fetched, and why; the only error with which going out fails.

    Attributes:
        reason: one sentence of ours for the operator's log. It holds nothing that the other side
            sent but a status code, and of the URL no query and no userinfo.
        retry_after: in how many seconds the other side wants to be asked again (RFC 9110 section
            10.2.3); None when it did not say.
    """

    reason: Final[str]
    retry_after: Final[float | None]

    def __init__(self, reason: str, *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(reason)


class Reach(Struct, frozen=True):
    """How far inwards may be dialled, beside the public internet.

    Attributes:
        private: RFC 1918, unique local (RFC 4193) and shared addresses (RFC 6598) too.
        loopback: this machine too.
    """

    private: bool = False
    loopback: bool = False


_PRIVATE: Final = "a private address"
_LOOPBACK: Final = "a loopback address"
_METADATA: Final = "a cloud's metadata service"
_DOCUMENTATION: Final = "an address for documentation"
_RESERVED: Final = "a reserved address"

# The first network that an address lies in decides, so what is never dialled stands before the
# private network around it. The lists of the ipaddress module are not used: they changed between
# patch releases of Python. Sources: the IANA special-purpose address registries (RFC 6890), and
# the clouds' own documents for their metadata services.
_V4: Final[tuple[tuple[IPv4Network, str], ...]] = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("100.100.100.200/32", _METADATA),  # Alibaba
        ("168.63.129.16/32", _METADATA),  # Azure; a public address, routed nowhere else
        ("192.0.0.192/32", _METADATA),  # Oracle
        ("0.0.0.0/8", "an unspecified address"),
        ("10.0.0.0/8", _PRIVATE),
        ("100.64.0.0/10", _PRIVATE),
        ("127.0.0.0/8", _LOOPBACK),
        ("169.254.0.0/16", "a link-local address"),  # Metadata of AWS, Azure, Google and others.
        ("172.16.0.0/12", _PRIVATE),
        ("192.0.0.0/24", _RESERVED),
        ("192.0.2.0/24", _DOCUMENTATION),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", _PRIVATE),
        ("198.18.0.0/15", "an address for benchmarks"),
        ("198.51.100.0/24", _DOCUMENTATION),
        ("203.0.113.0/24", _DOCUMENTATION),
        ("224.0.0.0/4", "a multicast address"),
        ("255.255.255.255/32", "the broadcast address"),
        ("240.0.0.0/4", _RESERVED),
    )
)
_V6: Final[tuple[tuple[IPv6Network, str], ...]] = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("fd00:ec2::/32", _METADATA),  # AWS
        ("fd20:ce::254/128", _METADATA),  # Google
        ("fd00:c1::a9fe:a9fe/128", _METADATA),  # Oracle
        ("fd00:42::42/128", _METADATA),  # Scaleway
        ("fd00:a9fe:a9fe::1/128", _METADATA),  # Akamai
        ("fd00:100::100:200/128", _METADATA),  # Alibaba
        ("::/128", "an unspecified address"),
        ("::1/128", _LOOPBACK),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b:1::/48", "a NAT64 address of local use"),
        ("fc00::/7", _PRIVATE),
        ("fe80::/10", "a link-local address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
        ("2001::/32", "a Teredo address"),
        ("2001::/23", _RESERVED),
        ("2001:db8::/32", _DOCUMENTATION),
        ("2002::/16", "a 6to4 address"),
        ("3fff::/20", _DOCUMENTATION),
        ("2000::/3", ""),  # All that is public.
        ("::/0", _RESERVED),
    )
)
_NAT64: Final = IPv6Network("64:ff9b::/96")
_PUBLIC: Final = Reach()


def objection(address: IpAddress, reach: Reach) -> str | None:
    """Say why an address may not be dialled, or None if it may.

    An IPv4 address inside an IPv6 address is judged as what it is: IPv4-mapped (RFC 4291 section
    2.5.5.2) like the IPv4 address itself, behind NAT64 (64:ff9b::/96, RFC 6052 section 3.1) if it
    is public. Forms in which no issuer can be reached are refused whatever they hold: 6to4 (RFC
    7526), Teredo, IPv4-compatible, and NAT64 of local use (RFC 8215), where only its operator knows
    which of the bits are the IPv4 address.

    Does not check: whether anything answers there, and where the networks between here and there
    take a packet.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "an address with a scope"
        if address in _NAT64:
            return objection(IPv4Address(int(address) & 0xFFFF_FFFF), _PUBLIC)
        if address.ipv4_mapped is None:
            return _judged(next(why for network, why in _V6 if address in network), reach)
        address = address.ipv4_mapped
    return _judged(next((why for network, why in _V4 if address in network), ""), reach)


def _judged(why: str, reach: Reach) -> str | None:
    if (why == _PRIVATE and reach.private) or (why == _LOOPBACK and reach.loopback):
        return None
    return why or None


def is_loopback(address: str) -> bool:
    """Say whether a text is an address of this machine (RFC 1122 section 3.2.1.3, RFC 4291)."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback


class Addresses(Protocol):
    """Says where a host may be dialled. A port, so that tests can bring a resolver of their own."""

    async def __call__(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        """Return address and port of each place to dial, in order, all of them approved.

        Parameters:
            host: as it stands in a URL, IPv6 in brackets.
            port: the port of the URL.

        Raises:
            FetchError: if there is none.
        """
        ...


class CheckedAddresses:
    """Resolves a host, and hands out only addresses to which there is no objection.

    Of an answer with good and bad addresses the good ones are used: the bad are not dialled, and
    that is all that matters.

    Does not check: who answers for the name. DNS is not believed here, so TLS has to tell.

    Parameters:
        reach: how far inwards may be dialled.
        lookup: the resolver; the running loop's ``getaddrinfo`` unless told otherwise. What it
            returns is checked, whoever it is. It is cancelled at the end of the deadline;
            ``getaddrinfo`` then ends unheard, on a thread of the loop's pool.
    """

    __slots__ = ("_lookup", "_reach")

    def __init__(self, reach: Reach, lookup: Lookup | None = None) -> None:
        self._reach = reach
        self._lookup = _system_lookup if lookup is None else lookup

    async def __call__(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        """Return the approved addresses, at most eight, each once.

        Parameters and Raises as for :class:`Addresses`.
        """
        try:
            address = literal(host)
        except RefusedUrl as flaw:
            raise FetchError(str(flaw)) from None
        found = await self._resolved(host, port) if address is None else [address]
        objections = {one: objection(one, self._reach) for one in found}
        approved = [(str(one), port) for one, why in objections.items() if why is None]
        if not approved:
            one, why = next(iter(objections.items()))
            raise FetchError(f"the host is {one}, {why}, and such are not dialled")
        return approved[:MAX_ADDRESSES]

    async def _resolved(self, host: str, port: int) -> list[IpAddress]:
        try:
            answers = await self._lookup(host, port)
        except (OSError, UnicodeError):
            raise FetchError("the name of the host cannot be resolved") from None
        found = [one for text in answers if (one := parse_address(text)) is not None]
        if not found:
            raise FetchError("the name of the host has no address")
        return found


async def _system_lookup(host: str, port: int) -> Sequence[str]:
    import asyncio
    import socket

    loop = asyncio.get_running_loop()
    answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in answers]
