"""How current all is that decisions rest on, and how to make it so before the first request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from portvakt.errors import Unavailable
from portvakt.net.keys import KeysHealth
from portvakt.refusal import Code
from portvakt.registers.base import RegisterHealth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt.net.keys import KeySource
    from portvakt.policy.issuer import TrustedIssuer

__all__ = ["Health", "warm"]


class Health(Struct, frozen=True):
    """How a guard is, at one moment.

    Attributes:
        keys: of each issuer, how its keys are.
        registers: of each register, how it is.
    """

    keys: tuple[KeysHealth, ...]
    registers: tuple[RegisterHealth, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether there are keys to use for every issuer."""
        return all(keys.keys is not None for keys in self.keys)


async def warm(issuers: Iterable[TrustedIssuer], keys: KeySource) -> None:
    """Get the keys of every issuer, all at once; runs at home.

    Raises:
        Unavailable: naming each issuer whose keys cannot be had, and why.
    """
    listed = tuple(issuers)
    answers = await asyncio.gather(
        *(keys.fetch(issuer) for issuer in listed), return_exceptions=True
    )
    flaws = []
    for issuer, answer in zip(listed, answers, strict=True):
        if isinstance(answer, Unavailable):
            flaws.append(f"{issuer.issuer}: {answer.refusal.detail}")
        elif isinstance(answer, BaseException):
            raise answer
    if flaws:
        raise Unavailable(Code.KEYS_UNAVAILABLE, "; ".join(flaws))
