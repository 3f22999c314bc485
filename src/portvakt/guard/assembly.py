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
    from portvakt.config.schema import IssuerTable
    from portvakt.net.address import Addresses
    from portvakt.net.discovery import Discovery
    from portvakt.net.remote_keys import KeyEndpoint
    from portvakt.policy.decision import Observer

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
    addresses: Addresses | None = None,
) -> G:
    """Make a guard of a policy file and what the environment overrides.

    Parameters:
        cls: the class of the guard.
        path: the policy file.
        clock: what time it is; None for the system's.
        observers: who is told of every decision.
        addresses: what each host is dialled at, for tests; None: what its name resolves to, each
            address checked.

    Raises:
        ConfigurationError: with everything that is wrong; or if a forged token would get in.
    """
    return _assemble(cls, read_file(path, os.environ), clock, observers, addresses)


def assemble_config(
    cls: Callable[..., G],
    config: Mapping[str, Any],
    *,
    clock: Clock | None,
    observers: Iterable[Observer],
    addresses: Addresses | None = None,
) -> G:
    """Make a guard of data, which is copied; the environment is not read.

    Parameters and Raises as for :func:`assemble_file`.
    """
    return _assemble(cls, read_data(config), clock, observers, addresses)


def _assemble(
    cls: Callable[..., G],
    draft: Draft,
    clock: Clock | None,
    observers: Iterable[Observer],
    addresses: Addresses | None,
) -> G:
    policy = compile_policy(draft)
    try:
        keys = _key_source(policy, addresses)
    except ConfigurationError as error:
        raise draft.problems.placed(error, "network") from None
    guard = cls(
        issuers=policy.issuers,
        keys=keys,
        routes=policy.routes,
        realm=policy.realm,
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
    from portvakt.net.address import CheckedAddresses, Reach
    from portvakt.net.cache import Schedule
    from portvakt.net.discovery import Discovery
    from portvakt.net.fetch import Fetch
    from portvakt.net.key_files import KeyFile
    from portvakt.net.remote_keys import KeyEndpoint

    network, folder = policy.network, policy.directory
    loopback = table.unsafe_loopback
    reach = Reach(private=table.private, loopback=loopback)
    proxy = None if network.proxy is UNSET or table.private or loopback else network.proxy
    fetch = Fetch(
        CheckedAddresses(reach) if addresses is None else addresses,
        ca_file=None if network.ca_file is UNSET else folder / network.ca_file,
        proxy=proxy,
        loopback_http=loopback,
        timeout=network.timeout,
    )
    where: str | Discovery
    if table.jwks_uri is not UNSET:
        where = table.jwks_uri
    else:
        where = Discovery(
            table.issuer,
            fetch,
            metadata_uri=None if table.metadata_uri is UNSET else table.metadata_uri,
            jwks_hosts=table.jwks_hosts,
            loopback_http=loopback,
        )
    cache_dir = network.cache_dir
    return KeyEndpoint(
        where=where,
        fetch=fetch,
        pinned=frozenset(table.pin),
        schedule=Schedule(hard_limit=table.keys_max_age),
        file=None if cache_dir is UNSET else KeyFile(folder / cache_dir, table.issuer),
    )
