"""A policy file, or data of its shape → a guard that has passed its own test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from portvakt.clock import SystemClock
from portvakt.config.compile import compile_policy
from portvakt.config.load import Draft, read_data, read_file
from portvakt.errors import ConfigurationError
from portvakt.guard.fitting import fitted
from portvakt.guard.outward import Outward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from portvakt.clock import Clock
    from portvakt.config.compile import Policy
    from portvakt.net.address import Addresses
    from portvakt.policy.decision import Observer
    from portvakt.registers.base import Register
    from portvakt.stores.base import Store

__all__ = ["SelfTesting", "assemble_config", "assemble_file", "assemble_policy"]


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
    rehearsal: bool = False,
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
        rehearsal: whether no proof is used up: to explain a request, not to serve it.

    Raises:
        ConfigurationError: with everything that is wrong; or if a forged token would get in.
    """
    draft = read_file(path, os.environ)
    return _assemble(cls, draft, clock, observers, tuple(registers), addresses, rehearsal=rehearsal)


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
    draft = read_data(config)
    return _assemble(cls, draft, clock, observers, tuple(registers), addresses, rehearsal=False)


def _assemble(
    cls: Callable[..., G],
    draft: Draft,
    clock: Clock | None,
    observers: Iterable[Observer],
    registers: tuple[Register, ...],
    addresses: Addresses | None,
    *,
    rehearsal: bool,
) -> G:
    policy = compile_policy(draft, frozenset(register.name for register in registers))
    return assemble_policy(
        cls, draft, policy, clock, observers, registers, addresses, rehearsal=rehearsal
    )


def assemble_policy(  # noqa: PLR0913  all that a guard is made of
    cls: Callable[..., G],
    draft: Draft,
    policy: Policy,
    clock: Clock | None = None,
    observers: Iterable[Observer] = (),
    registers: tuple[Register, ...] = (),
    addresses: Addresses | None = None,
    *,
    store: Store | None = None,
    rehearsal: bool = False,
) -> G:
    """Make a guard of a policy that was compiled.

    Parameters as for :func:`assemble_file`, and:
        draft: what the policy was compiled of.
        policy: the policy.
        store: what goes on being its store: what a process remembers alone is lost with it.

    Raises:
        ConfigurationError: as :func:`assemble_file`.
    """
    clock = SystemClock() if clock is None else clock
    outward = Outward(policy, addresses, clock)
    try:
        keys = outward.key_source()
        asked = outward.registers(registers)
    except ConfigurationError as error:
        raise draft.problems.placed(error, "network") from None
    try:
        guard = cls(
            issuers=policy.issuers,
            keys=keys,
            parts=fitted(
                policy, outward, keys, asked, clock=clock, store=store, rehearsal=rehearsal
            ),
            routes=policy.routes,
            realm=policy.realm,
            disclose=policy.disclose,
            clock=clock,
            observers=observers,
        )
        guard.self_test()
    except ConfigurationError as error:
        raise draft.problems.placed(error) from None
    return guard
