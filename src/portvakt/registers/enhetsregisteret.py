"""Enhetsregisteret's open API: whether an organisation is there, and what it is a part of.

https://data.brreg.no/enhetsregisteret/api/dokumentasjon/no/index.html; no key or agreement is
needed. Each answer takes one to six exchanges, so this register belongs behind
:class:`~portvakt.registers.remembered.Remembered`; where requests must not wait for the internet at
all, a :class:`~portvakt.registers.snapshot.SnapshotRegister` answers the same questions.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from portvakt.errors import ConfigurationError, Problem
from portvakt.http.url import RefusedUrl, check_url
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.net.address import FetchError
from portvakt.registers.base import Answer, Question, Reason, Register, RegisterHealth, unavailable
from portvakt.registers.unit_json import MalformedUnit, read_main, read_sub
from portvakt.registers.units import ABOUT, Contradiction, Unit, Wanted, check_tolerated, judge

if TYPE_CHECKING:
    from collections.abc import Collection

    from portvakt.net.fetch import Fetch

__all__ = ["OPEN_API", "Enhetsregisteret"]

#: Where the open API is.
OPEN_API: Final = "https://data.brreg.no/enhetsregisteret/api"

_MAIN_TYPE: Final = "application/vnd.brreg.enhetsregisteret.enhet.v1+json, application/json;q=0.9"
_SUB_TYPE: Final = (
    "application/vnd.brreg.enhetsregisteret.underenhet.v1+json, application/json;q=0.9"
)

_FOUND: Final = 200
_NOT_FOUND: Final = 404
_GONE: Final = 410


class Enhetsregisteret(Register):
    """Asks the open API, one exchange for each unit.

    A unit that does not exist, was deleted, is bankrupt or is being wound up is not known; nor is a
    child that does not lead up to its organisation in at most five steps. Whatever is not an
    answer to just what was asked is a failure and never a verdict: another unit than the one
    asked for, a member that is missing or of the wrong type, a page for people.

    Does not check: check digits; when a sub-unit closes (``nedleggelsesdato``) before it is
    deleted; ``Cache-Control``, with which the API forbids to keep anything at all: how long an
    answer is remembered is the policy's to say. A status of 404 is believed as it is.

    Parameters:
        fetch: how it is asked. An answer is a few thousand octets, so 64 KiB is plenty.
        base_url: where the API is, without a slash at its end.
        name: its name in the policy.
        tolerate: what does not count against a unit: ``bankrupt``, ``winding_up``,
            ``forced_winding_up``.
        loopback_http: allow a *base_url* of ``http``; *fetch* dials it on this machine only.

    Raises:
        ConfigurationError: if *base_url* is no URL that may be fetched, or *tolerate* names
            something else.
    """

    subjects = ABOUT

    def __init__(
        self,
        fetch: Fetch,
        *,
        base_url: str = OPEN_API,
        name: str = "enhetsregisteret",
        tolerate: Collection[str] = (),
        loopback_http: bool = False,
    ) -> None:
        try:
            check_url(base_url, loopback_http=loopback_http)
        except RefusedUrl as flaw:
            raise ConfigurationError([Problem("base_url", str(flaw))]) from None
        if base_url.endswith("/") or "?" in base_url:
            raise ConfigurationError(
                [Problem("base_url", "must have no query, and no slash at its end")]
            )
        self.name = name
        self._fetch = fetch
        self._base_url = base_url
        self._tolerated = check_tolerated(tolerate)

    def current(self, question: Question) -> Answer | None:  # noqa: ARG002  the port
        """Return None: nothing is remembered here."""
        return None

    async def fetch(self, question: Question) -> Answer:
        """Ask for every unit that the answer depends on."""
        try:
            procedure = judge(question, self._tolerated)
            wanted = next(procedure)
            while True:
                wanted = procedure.send(await self._units(wanted))
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        except FetchError as error:
            wait = 1 if error.retry_after is None else math.ceil(error.retry_after)
            raise unavailable(error.reason, max(1, wait)) from None
        except (MalformedUnit, NotCanonical, Contradiction) as flaw:
            raise unavailable(str(flaw)) from None

    def health(self) -> RegisterHealth:
        """Say where it is."""
        return RegisterHealth(name=self.name, source=self._base_url)

    async def _units(self, wanted: tuple[Wanted, ...]) -> tuple[Unit | None, ...]:
        """Get the units of one turn, at the same time."""
        tasks = [asyncio.ensure_future(self._unit(one)) for one in wanted]
        try:
            return tuple(await asyncio.gather(*tasks))
        finally:
            # One has failed, or nobody waits any longer: the others end too.
            for task in tasks:
                task.cancel()

    async def _unit(self, wanted: Wanted) -> Unit | None:
        if wanted.sub:
            unit = await self._get("underenheter", wanted.number)
            if unit is not None:
                return unit
        return await self._get("enheter", wanted.number)

    async def _get(self, kind: str, number: str) -> Unit | None:
        sub = kind == "underenheter"
        # The number is nine digits: it cannot lead anywhere else.
        answer = await self._fetch.send(
            "GET",
            f"{self._base_url}/{kind}/{number}",
            accept=_SUB_TYPE if sub else _MAIN_TYPE,
            accepted={_FOUND, _NOT_FOUND, _GONE},
        )
        # A proxy or a maintenance page speaks for itself, not for the register.
        if answer.media_type == "text/html":
            raise MalformedUnit(f"the answer ({answer.status}) is a page of HTML")
        if answer.status == _NOT_FOUND:
            return None
        if answer.status == _GONE:
            return Unit(number, None, (Reason.DELETED,))
        decode_object(answer.body)  # One object, and no name twice.
        unit = read_sub(answer.body) if sub else read_main(answer.body)
        if unit.number != number:
            raise MalformedUnit("the answer is about another unit than the one asked for")
        return unit
