"""Events that an issuer is asked for (RFC 8936), again and again, and how long ago that was.

A poll is complete when the issuer has nothing more to send: what it has sent before is recorded by
then, here or by another process that acknowledged it. So the age of what is known counts from the
beginning of the last complete poll.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from portvakt.errors import Unavailable
from portvakt.net.address import FetchError
from portvakt.net.cache import Budget, Kept, NotLoaded, Schedule
from portvakt.net.event_stream import UnacceptableEvent
from portvakt.oauth.event_delivery import MalformedPoll, PollAnswer, poll_request, read_poll
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portvakt.net.event_stream import EventTaker, Polling
    from portvakt.oauth.security_event import SecurityEvent

__all__ = ["EventPoll"]

#: Answers that are asked for in one poll at most: as many times a hundred events.
_MAX_ROUNDS: Final = 10

#: Seconds that a request waits for a poll at most, if the last one is too long ago.
_PATIENCE: Final = 10.0


class EventPoll:
    """Polls one issuer.

    Parameters:
        polling: where, and how often.
        taker: takes the events.
        clock: an age, in seconds.

    Attributes:
        kept: True, as fresh as the last complete poll.
    """

    __slots__ = ("_clock", "_polling", "_taker", "kept")

    def __init__(self, polling: Polling, taker: EventTaker, clock: Callable[[], float]) -> None:
        self._polling = polling
        self._taker = taker
        self._clock = clock
        self.kept: Kept[bool] = Kept(
            self._poll,
            Schedule(
                floor=polling.interval,
                ceiling=polling.interval,
                hard_limit=polling.max_staleness,
                last_retry=min(30.0, polling.max_staleness / 2),
            ),
            unavailable=Code.REVOCATION_UNAVAILABLE,
            budget=Budget(clock=clock),
            clock=clock,
        )

    def is_current(self) -> bool:
        """Whether the last complete poll is recent enough. Never waits."""
        return self.kept.current() is not None

    async def catch_up(self) -> None:
        """Poll if it is time to; wait for it only if the last one is too long ago."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.kept.get()

    def unavailable(self) -> Unavailable:
        """Return what to raise if the last complete poll is too long ago."""
        due = self.kept.next_at
        return Unavailable(
            Code.REVOCATION_UNAVAILABLE,
            "the issuer was not asked for security events for too long",
            retry_after=1 if due is None else max(1, math.ceil(due - self._clock())),
        )

    async def _poll(self, _: bool | None, /) -> tuple[bool, float | None]:  # noqa: FBT001  the port
        """Ask until there is nothing more, each time acknowledging what was just recorded."""
        taken: Sequence[str] = ()
        refused: Mapping[str, tuple[str, str]] = {}
        for _round in range(_MAX_ROUNDS):
            answer = await self._ask(taken, refused)
            events, refused, undecided = await self._verify(answer)
            if events:
                try:
                    await self._taker.record(tuple(events.values()))
                except Unavailable as error:
                    raise NotLoaded(_reason(error), error.retry_after) from None
            taken = list(events)
            if taken or refused:
                continue
            if undecided is not None:
                raise undecided
            if answer.more:
                raise NotLoaded("the issuer says that there are more events, and sends none")
            return True, None
        raise NotLoaded("the issuer sends too many events at once, or always the same")

    async def _ask(
        self, taken: Sequence[str], refused: Mapping[str, tuple[str, str]]
    ) -> PollAnswer:
        polling = self._polling
        headers = [("Content-Type", "application/json")]
        if polling.token is not None:
            headers.append(("Authorization", f"Bearer {polling.token}"))
        try:
            answer = await polling.fetch.send(
                "POST",
                polling.uri,
                accept="application/json",
                headers=headers,
                content=poll_request(taken, refused),
            )
        except FetchError as error:
            raise NotLoaded(error.reason, error.retry_after) from None
        try:
            return read_poll(answer.body)
        except MalformedPoll as flaw:
            raise NotLoaded(str(flaw)) from None

    async def _verify(
        self, answer: PollAnswer
    ) -> tuple[dict[str, SecurityEvent], dict[str, tuple[str, str]], NotLoaded | None]:
        """Return the good events, why others are not, and why there may be more that are good."""
        events: dict[str, SecurityEvent] = {}
        refused: dict[str, tuple[str, str]] = {}
        undecided = None
        for token_id, token in answer.events.items():
            await asyncio.sleep(0)  # A hundred signatures must not hold up the loop.
            try:
                event = await self._taker.verified(token.encode("utf-8"))
                if event.token_id != token_id:
                    why = "jti is not the name under which it was sent"
                    raise self._taker.unacceptable("invalid_request", why)
            except UnacceptableEvent as flaw:
                refused[token_id] = (flaw.err, flaw.why)
            except Unavailable as error:
                # Neither taken nor refused: it is sent again.
                away = error.refusal.code is Code.KEYS_UNAVAILABLE
                why = f"the keys are unavailable: {_reason(error)}" if away else _reason(error)
                undecided = NotLoaded(why, error.retry_after)
            else:
                events[token_id] = event
        return events, refused, undecided


def _reason(error: Unavailable) -> str:
    return error.refusal.detail or error.refusal.code.value
