"""A policy file, or data of its shape → a guard that has passed its own test."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from portvakt.clock import Clock
from portvakt.config.compile import compile_policy
from portvakt.config.load import Draft, read_data, read_file
from portvakt.errors import ConfigurationError
from portvakt.net.keys import FixedKeys
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
) -> G:
    """Make a guard of a policy file and what the environment overrides.

    Parameters:
        cls: the class of the guard.
        path: the policy file.
        clock: what time it is; None for the system's.
        observers: who is told of every decision.

    Raises:
        ConfigurationError: with everything that is wrong; or if a forged token would get in.
    """
    return _assemble(cls, read_file(path, os.environ), clock, observers)


def assemble_config(
    cls: Callable[..., G],
    config: Mapping[str, Any],
    *,
    clock: Clock | None,
    observers: Iterable[Observer],
) -> G:
    """Make a guard of data, which is copied; the environment is not read.

    Parameters and Raises as for :func:`assemble_file`.
    """
    return _assemble(cls, read_data(config), clock, observers)


def _assemble(
    cls: Callable[..., G], draft: Draft, clock: Clock | None, observers: Iterable[Observer]
) -> G:
    policy = compile_policy(draft)
    guard = cls(
        issuers=policy.issuers,
        keys=FixedKeys(policy.keys),
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
