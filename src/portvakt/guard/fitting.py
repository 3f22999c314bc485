"""A compiled policy → the parts that only some guards have."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import UNSET

from portvakt.clock import SystemClock
from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.evidence import records_of
from portvakt.guard.parts import Parts
from portvakt.guard.telling import telling_of

if TYPE_CHECKING:
    from portvakt.clock import Clock
    from portvakt.config.compile import Policy
    from portvakt.guard.outward import Outward
    from portvakt.guard.possession import Possession
    from portvakt.guard.revocation import Mirror
    from portvakt.guard.standing import Standing
    from portvakt.jose.jwe import Decryption
    from portvakt.keystore.base import KeyStore
    from portvakt.keystore.references import Secrets
    from portvakt.net.keys import KeySource
    from portvakt.registers.verify import Registers
    from portvakt.stores.base import Replay, Store

__all__ = ["fitted", "open_store_of", "secrets_of"]


def fitted(
    policy: Policy,
    outward: Outward,
    keys: KeySource,
    registers: Registers | None,
    *,
    clock: Clock,
    store: Store | None = None,
    rehearsal: bool = False,
) -> Parts:
    """Make the parts that a policy asks for.

    Parameters:
        policy: the compiled policy.
        outward: makes what asks others.
        keys: the keys of the issuers.
        registers: those that routes may ask.
        clock: what time it is.
        store: the store, if it is open already.
        rehearsal: whether nothing is changed that others rely on: no proof is used up, no event
            taken from its issuer, nothing pruned, no store made or upgraded, nothing logged or
            recorded.

    Raises:
        ConfigurationError: with its place, if a secret, key or store cannot be had.
    """
    secrets = secrets_of(policy)
    # A rehearsal may be at any time, and a store writes down when its memory begins.
    store_clock = SystemClock() if rehearsal else clock
    if store is None:
        store = open_store_of(policy, secrets, clock=store_clock, rehearsal=rehearsal)
    mirror = _mirror(policy, store, clock, rehearsal=rehearsal)
    return Parts(
        proxies=policy.guarding.proxies,
        introspection=outward.introspection(secrets, keys, revocable=mirror is not None),
        decryption=_decryption(policy, secrets),
        possession=_possession(policy, secrets, store, rehearsal=rehearsal),
        standing=_standing(policy, outward, secrets, keys, mirror, clock, rehearsal=rehearsal),
        registers=registers,
        store=store,
        resource_metadata=policy.resource_metadata,
        records=records_of(policy, secrets, clock=clock, rehearsal=rehearsal),
        telling=telling_of(policy, clock, rehearsal=rehearsal),
    )


def secrets_of(policy: Policy) -> Secrets:
    """Return what finds the secrets that a policy refers to."""
    from portvakt.keystore.references import Secrets

    plain = Secrets(policy.directory, os.environ)
    table = policy.configuration.keystore
    if table is UNSET:
        return plain
    from portvakt.keystore.encrypted_file import EncryptedFile

    passphrase = plain.text(table.passphrase, "keystore.passphrase")
    try:
        found: KeyStore = EncryptedFile.open(policy.directory / table.file, passphrase)
    except ConfigurationError as error:
        problems = [Problem("keystore.file", one.message) for one in error.problems]
    else:
        return Secrets(policy.directory, os.environ, found)
    raise ConfigurationError(problems)


def open_store_of(
    policy: Policy, secrets: Secrets, *, clock: Clock, rehearsal: bool = False
) -> Store | None:
    """Return the store of a policy; None if it has none. No server is asked.

    Parameters:
        policy: the compiled policy.
        secrets: finds the password.
        clock: what time it is.
        rehearsal: whether a file is left as it is, and not made.

    Raises:
        ConfigurationError: if it cannot be opened.
    """
    table = policy.configuration.store
    if table is UNSET:
        return None
    from portvakt.stores.opened import open_store
    from portvakt.stores.workers import Alone

    password = None if table.password is UNSET else secrets.text(table.password, "store.password")
    try:
        return open_store(
            table.url,
            password=password,
            timeout=table.timeout,
            replay_capacity=table.replay_capacity,
            replay_per_owner=table.replay_per_key,
            clock=clock,
            directory=policy.directory,
            # Of data there is no name by which another process would know that it is the same.
            alone=None if policy.path is None else Alone(policy.path).take,
            rehearsal=rehearsal,
        )
    except ConfigurationError as error:
        problems = [Problem("store.url", one.message) for one in error.problems]
    raise ConfigurationError(problems)


def _mirror(policy: Policy, store: Store | None, clock: Clock, *, rehearsal: bool) -> Mirror | None:
    stale, table = policy.guarding.max_staleness, policy.configuration.store
    if store is None or stale is None or table is UNSET:
        return None
    from portvakt.guard.revocation import Mirror

    return Mirror(
        store,
        max_staleness=stale,
        wall_clock=clock,
        timeout=table.timeout,
        prune=None if rehearsal else store.prune,
    )


def _decryption(policy: Policy, secrets: Secrets) -> Decryption | None:
    table = policy.configuration.encryption
    if table is UNSET:
        return None
    from portvakt.jose.jwe import Decryption

    keys = secrets.decryption_keys(table.keys, "encryption.keys")
    try:
        return Decryption(keys)
    except ConfigurationError as error:
        problems = [Problem("encryption.keys", one.message) for one in error.problems]
    raise ConfigurationError(problems)


def _possession(
    policy: Policy, secrets: Secrets, store: Replay | None, *, rehearsal: bool
) -> Possession | None:
    if store is None or not policy.guarding.origins:
        return None
    from portvakt.config.dpop import dpop_rules
    from portvakt.guard.possession import NEVER_USED, Possession

    table = policy.configuration.dpop
    keys = [
        secrets.text(key, f"dpop.nonce_keys[{index}]") for index, key in enumerate(table.nonce_keys)
    ]
    try:
        rules = dpop_rules(table, policy.guarding.origins, keys)
    except ConfigurationError as error:
        problems = [Problem(f"dpop.{one.place}", one.message) for one in error.problems]
    else:
        return Possession(rules, NEVER_USED if rehearsal else store)
    raise ConfigurationError(problems)


def _standing(
    policy: Policy,
    outward: Outward,
    secrets: Secrets,
    keys: KeySource,
    mirror: Mirror | None,
    clock: Clock,
    *,
    rehearsal: bool,
) -> Standing | None:
    from portvakt.guard.standing import Standing

    lists = outward.status_lists(keys)
    events = None
    # What is taken here the issuer would not send again to whoever serves.
    if mirror is not None and not rehearsal:
        from portvakt.guard.recording import Recorder

        issuers = {issuer.issuer: issuer for issuer in policy.issuers}
        events = outward.events(secrets, keys, Recorder(issuers, mirror, clock))
    if mirror is None and lists is None:
        return None
    return Standing(mirror, lists, events)
