"""Which addresses are dialled."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.net.address import CheckedAddresses, FetchError, Reach, is_loopback, objection

IpAddress = IPv4Address | IPv6Address

PUBLIC: Final = Reach()
INWARDS: Final = Reach(private=True)
HERE: Final = Reach(loopback=True)
EVERYWHERE: Final = Reach(private=True, loopback=True)

PUBLIC_ADDRESSES: Final = [
    "1.1.1.1",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2606:4700::1111",
    "2001:200::1",
    "2a00:1450:400f::1",
    "::ffff:93.184.216.34",
    "64:ff9b::93.184.216.34",
]
PRIVATE_ADDRESSES: Final = [
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.0.1",
    "fc00::1",
    "fd12:3456:789a::1",
    "::ffff:10.0.0.1",
]
LOOPBACK_ADDRESSES: Final = ["127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1"]
NEVER: Final = {
    "0.0.0.0": "unspecified",  # noqa: S104  looked at, not bound
    "0.1.2.3": "unspecified",
    "::": "unspecified",
    "169.254.169.254": "link-local",
    "169.254.0.1": "link-local",
    "fe80::1": "link-local",
    "fe80::a9fe:a9fe": "link-local",
    "fe80::1%eth0": "scope",
    "fd12::1%eth0": "scope",
    "2606:4700::1111%1": "scope",
    "100.100.100.200": "metadata",
    "168.63.129.16": "metadata",
    "192.0.0.192": "metadata",
    "fd00:ec2::254": "metadata",
    "fd00:ec2::23": "metadata",
    "fd20:ce::254": "metadata",
    "fd00:c1::a9fe:a9fe": "metadata",
    "fd00:42::42": "metadata",
    "fd00:a9fe:a9fe::1": "metadata",
    "fd00:100::100:200": "metadata",
    "192.0.0.8": "reserved",
    "192.0.2.1": "documentation",
    "198.51.100.1": "documentation",
    "203.0.113.1": "documentation",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "198.18.0.1": "benchmarks",
    "192.88.99.1": "6to4 relay",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "ff02::1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "fec0::1": "site-local",
    "100::1": "reserved",
    "4000::1": "reserved",
    "5f00::1": "reserved",
    "2001:2::1": "reserved",
    # An IPv4 address inside: mapped, translated, compatible, NAT64, 6to4, Teredo.
    "::ffff:169.254.169.254": "link-local",
    "::ffff:0:169.254.169.254": "reserved",
    "::169.254.169.254": "IPv4-compatible",
    "::127.0.0.1": "IPv4-compatible",
    "::8.8.8.8": "IPv4-compatible",
    "64:ff9b::169.254.169.254": "link-local",
    "64:ff9b::127.0.0.1": "loopback",
    "64:ff9b::10.0.0.1": "private",
    "64:ff9b:1::8.8.8.8": "local use",
    "2002:7f00:1::": "6to4",
    "2002:808:808::1": "6to4",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2": "Teredo",
}


@pytest.mark.parametrize("text", PUBLIC_ADDRESSES)
@pytest.mark.parametrize("reach", [PUBLIC, INWARDS, HERE, EVERYWHERE])
def test_a_public_address_may_always_be_dialled(text: str, reach: Reach) -> None:
    assert objection(ip_address(text), reach) is None


@pytest.mark.parametrize("text", PRIVATE_ADDRESSES)
def test_a_private_address_may_be_dialled_where_it_is_allowed(text: str) -> None:
    for reach in (PUBLIC, HERE):
        assert objection(ip_address(text), reach) == "a private address"
    for reach in (INWARDS, EVERYWHERE):
        assert objection(ip_address(text), reach) is None


@pytest.mark.parametrize("text", LOOPBACK_ADDRESSES)
def test_this_machine_may_be_dialled_where_it_is_allowed(text: str) -> None:
    for reach in (PUBLIC, INWARDS):
        assert objection(ip_address(text), reach) == "a loopback address"
    for reach in (HERE, EVERYWHERE):
        assert objection(ip_address(text), reach) is None


@pytest.mark.parametrize(("text", "why"), NEVER.items())
@pytest.mark.parametrize("reach", [PUBLIC, INWARDS, HERE, EVERYWHERE])
def test_other_addresses_are_never_dialled(text: str, why: str, reach: Reach) -> None:
    assert why in (objection(ip_address(text), reach) or "")


@given(st.ip_addresses())
def test_what_the_standard_library_calls_special_is_not_public(address: IpAddress) -> None:
    # What is mapped is judged as the IPv4 address that it is.
    if not address.is_global and getattr(address, "ipv4_mapped", None) is None:
        assert objection(address, PUBLIC) is not None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False), ("a", False)],
)
def test_loopback_is_recognised(text: str, expected: bool) -> None:
    assert is_loopback(text) is expected


def checked(
    answers: Sequence[str], reach: Reach = PUBLIC, host: str = "issuer.test"
) -> Sequence[tuple[str, int]]:
    async def lookup(name: str, port: int) -> Sequence[str]:
        assert (name, port) == (host, 443)
        return answers

    return asyncio.run(_gather(CheckedAddresses(reach, lookup), host))


async def _gather(addresses: CheckedAddresses, host: str) -> Sequence[tuple[str, int]]:
    return await addresses(host, 443)


def test_what_a_name_resolves_to_is_handed_out_in_order() -> None:
    answers = ["2606:4700::1111", "1.1.1.1", "1.0.0.1", "1.1.1.1"]
    expected = [("2606:4700::1111", 443), ("1.1.1.1", 443), ("1.0.0.1", 443)]
    assert checked(answers) == expected


def test_of_a_mixed_answer_only_what_may_be_dialled_is_handed_out() -> None:
    answers = ["127.0.0.1", "1.1.1.1", "169.254.169.254", "fe80::1%2", "10.0.0.1"]
    assert checked(answers) == [("1.1.1.1", 443)]
    assert checked(answers, INWARDS) == [("1.1.1.1", 443), ("10.0.0.1", 443)]


def test_of_very_many_addresses_only_some_are_handed_out() -> None:
    assert len(checked([f"1.1.1.{last}" for last in range(256)])) == 8


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([], "no address"),
        (["issuer.test", "", "1.2.3"], "no address"),
        (["127.0.0.1"], "127.0.0.1, a loopback address"),
        (["10.0.0.1", "127.0.0.1"], "10.0.0.1, a private address"),
    ],
)
def test_an_answer_without_an_address_to_dial_is_an_error(answers: list[str], why: str) -> None:
    with pytest.raises(FetchError, match=why):
        checked(answers)


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "x"), UnicodeError("x"), TimeoutError()])
def test_a_resolver_that_fails_is_an_error(failure: Exception) -> None:
    async def lookup(*_: object) -> Sequence[str]:
        raise failure

    with pytest.raises(FetchError, match="cannot be resolved"):
        asyncio.run(_gather(CheckedAddresses(PUBLIC, lookup), "issuer.test"))


def test_an_address_is_judged_without_a_resolver() -> None:
    async def lookup(*asked: object) -> Sequence[str]:
        raise AssertionError(asked)

    addresses = CheckedAddresses(PUBLIC, lookup)
    assert asyncio.run(_gather(addresses, "1.1.1.1")) == [("1.1.1.1", 443)]
    assert asyncio.run(_gather(addresses, "[2606:4700::1111]")) == [("2606:4700::1111", 443)]
    for host in ("127.0.0.1", "[::1]", "169.254.169.254", "[fd00:ec2::254]", "127.1", "a..b"):
        with pytest.raises(FetchError):
            asyncio.run(_gather(addresses, host))


def test_the_resolver_of_the_system_is_asked_by_default() -> None:
    # localhost is in the hosts file, and getaddrinfo asks nobody else for it.
    with pytest.raises(FetchError, match="a loopback address"):
        asyncio.run(_gather(CheckedAddresses(PUBLIC), "localhost"))
    found = asyncio.run(_gather(CheckedAddresses(HERE), "localhost"))
    assert all(is_loopback(address) for address, _ in found)
    assert {port for _, port in found} == {443}
