"""A policy file, or data of its shape → a guard that has passed its own test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from msgspec import UNSET

from portvakt.config.compile import Policy, compile_policy
from portvakt.config.load import Draft, read_data, read_file
from portvakt.errors import ConfigurationError
from portvakt.net.keys import FixedKeys, KeySource, KeySources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from portvakt.clock import Clock
    from portvakt.config.register_schema import RegisterTable
    from portvakt.config.schema import IssuerTable
    from portvakt.net.address import Addresses, Reach
    from portvakt.net.discovery import Discovery
    from portvakt.net.fetch import Fetch
    from portvakt.net.remote_keys import KeyEndpoint
    from portvakt.policy.decision import Observer
    from portvakt.registers.base import Register
    from portvakt.registers.remembered import Memory
    from portvakt.registers.verify import Registers

__all__ = ["SelfTesting", "assemble_config", "assemble_file"]


class SelfTesting(Protocol):
    """A guard, as far as this file has to know it: :mod:`portvakt.guard.guard` imports this one."""

    def self_test(self) -> None:
        """Raise ConfigurationError if a forged token gets in."""
        ...


G = TypeVar("G", bound=SelfTesting)


def assemble_file(
    cls: Callable[..., G],
    path: str | os.PathLike[str],
    *,
    clock: Clock | None,
    observers: Iterable[Observer],
    registers: Iterable[Register] = (),
    addresses: Addresses | None = None,
) -> G:
    """Make a guard of a policy file and what the environment overrides.

    Parameters:
        cls: the class of the guard.
        path: the policy file.
        clock: what time it is; None for the system's.
        observers: who is told of every decision.
        registers: registers of one's own, that routes of the policy name.
        addresses: what each host is dialled at, for tests; None: what its name resolves to, each
            address checked.

    Raises:
        ConfigurationError: with everything that is wrong; or if a forged token would get in.
    """
    return _assemble(
        cls, read_file(path, os.environ), clock, observers, tuple(registers), addresses
    )


def assemble_config(
    cls: Callable[..., G],
    config: Mapping[str, Any],
    *,
    clock: Clock | None,
    observers: Iterable[Observer],
    registers: Iterable[Register] = (),
    addresses: Addresses | None = None,
) -> G:
    """Make a guard of data, which is copied; the environment is not read.

    Parameters and Raises as for :func:`assemble_file`.
    """
    return _assemble(cls, read_data(config), clock, observers, tuple(registers), addresses)


def _assemble(
    cls: Callable[..., G],
    draft: Draft,
    clock: Clock | None,
    observers: Iterable[Observer],
    registers: tuple[Register, ...],
    addresses: Addresses | None,
) -> G:
    policy = compile_policy(draft, frozenset(register.name for register in registers))
    try:
        keys = _key_source(policy, addresses)
        asked = _registers(policy, registers, addresses)
    except ConfigurationError as error:
        raise draft.problems.placed(error, "network") from None
    guard = cls(
        issuers=policy.issuers,
        keys=keys,
        registers=asked,
        routes=policy.routes,
        realm=policy.realm,
        disclose=policy.disclose,
        clock=clock,
        observers=observers,
    )
    try:
        guard.self_test()
    except ConfigurationError as error:
        raise draft.problems.placed(error) from None
    return guard


def _key_source(policy: Policy, addresses: Addresses | None) -> KeySource:
    """Return where the keys of each issuer come from; nothing is fetched yet."""
    fixed = FixedKeys(policy.keys)
    if not policy.published:
        return fixed
    # What goes out is imported where something has to: it costs more than the whole guard.
    from portvakt.net.cache import Budget
    from portvakt.net.remote_keys import RemoteKeys

    budget = Budget()
    sources: dict[str, KeySource] = dict.fromkeys(policy.keys, fixed)
    for issuer in policy.issuers:
        table = policy.published.get(issuer.issuer)
        if table is not None:
            endpoint = _endpoint(table, policy, addresses)
            sources[issuer.issuer] = RemoteKeys(issuer, endpoint, budget=budget)
    return KeySources(sources)


def _endpoint(table: IssuerTable, policy: Policy, addresses: Addresses | None) -> KeyEndpoint:
    from portvakt.net.address import Reach
    from portvakt.net.cache import Schedule
    from portvakt.net.discovery import Discovery
    from portvakt.net.key_files import KeyFile
    from portvakt.net.remote_keys import KeyEndpoint

    loopback = table.unsafe_loopback
    reach = Reach(private=table.private, loopback=loopback)
    fetch = _fetch(policy, addresses, reach)
    name = str(table.issuer)
    where: str | Discovery
    if table.jwks_uri is not UNSET:
        where = table.jwks_uri
    else:
        where = Discovery(
            name,
            fetch,
            metadata_uri=None if table.metadata_uri is UNSET else table.metadata_uri,
            jwks_hosts=table.jwks_hosts,
            loopback_http=loopback,
        )
    cache_dir = policy.network.cache_dir
    return KeyEndpoint(
        where=where,
        fetch=fetch,
        pinned=frozenset(table.pin),
        schedule=Schedule(hard_limit=table.keys_max_age),
        file=None if cache_dir is UNSET else KeyFile(policy.directory / cache_dir, name),
    )


def _fetch(policy: Policy, addresses: Addresses | None, reach: Reach) -> Fetch:
    """Return how something is asked that is within *reach*; inwards never through the proxy."""
    from portvakt.net.address import CheckedAddresses
    from portvakt.net.fetch import Fetch

    network = policy.network
    inwards = reach.private or reach.loopback
    return Fetch(
        CheckedAddresses(reach) if addresses is None else addresses,
        ca_file=None if network.ca_file is UNSET else policy.directory / network.ca_file,
        proxy=None if inwards or network.proxy is UNSET else network.proxy,
        loopback_http=reach.loopback,
        timeout=network.timeout,
    )


def _registers(
    policy: Policy, own: tuple[Register, ...], addresses: Addresses | None
) -> Registers | None:
    """Return the registers that routes may ask; None if there are none."""
    if not policy.registers and not own:
        return None
    from portvakt.registers.verify import Registers

    made = (_register(table, policy, addresses) for table in policy.registers)
    return Registers((*made, *own), deadline=policy.network.register_deadline)


def _register(table: RegisterTable, policy: Policy, addresses: Addresses | None) -> Register:
    from portvakt.net.address import Reach
    from portvakt.registers.base import Subject
    from portvakt.registers.enhetsregisteret import OPEN_API, Enhetsregisteret
    from portvakt.registers.list_file import ListForm
    from portvakt.registers.lists import ListRegister
    from portvakt.registers.remembered import Remembered
    from portvakt.registers.snapshot import SnapshotRegister

    if table.kind == "enhetsregisteret":
        url = OPEN_API if table.base_url is UNSET else table.base_url
        # A URL on this machine is a stand-in's, written down as such.
        loopback = url.startswith("http://")
        fetch = _fetch(policy, addresses, Reach(loopback=loopback))
        register = Enhetsregisteret(
            fetch,
            base_url=url,
            name=table.name,
            tolerate=table.tolerate,
            loopback_http=loopback,
        )
        return Remembered(register, _memory(table))
    path = policy.directory / str(table.file)
    if table.kind == "snapshot":
        stale = 48 * 3600.0 if table.max_staleness is UNSET else table.max_staleness
        return SnapshotRegister(path, name=table.name, tolerate=table.tolerate, max_staleness=stale)
    form = ListForm(
        subject=Subject(table.subject),
        column=str(table.column),
        table=None if table.table is UNSET else table.table,
        delimiter="," if table.delimiter is UNSET else table.delimiter,
    )
    stale = 24 * 3600.0 if table.max_staleness is UNSET else table.max_staleness
    return ListRegister(table.name, path, form, max_staleness=stale)


def _memory(table: RegisterTable) -> Memory:
    """Return for how long answers of the open API serve; no fresher than they may be stale."""
    from portvakt.registers.remembered import Memory

    if table.max_staleness is UNSET:
        return Memory()
    most = table.max_staleness
    return Memory(max_staleness=most, fresh=min(600.0, most), fresh_denial=min(60.0, most))
