"""A register that does as it is told, and units as Enhetsregisteret writes them."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from portvakt.registers.base import Answer, Question, Reason, Register, Subject

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

YES = Answer(known=True)
NO = Answer(known=False, reason=Reason.UNKNOWN)

ORGANISATION = "974589095"
CHILD = "873255102"
OTHER = "983658776"


def organisation(value: str = ORGANISATION, child: str | None = None) -> Question:
    return Question(Subject.ORGANISATION, value, child)


def hpr(value: str = "9144900") -> Question:
    return Question(Subject.HPR_NUMBER, value)


class Stub(Register):
    """Answers with what it is given: an answer, an error, or a coroutine function."""

    def __init__(
        self,
        reply: Answer | Exception | Callable[[Question], Awaitable[Answer]] = YES,
        *,
        name: str = "stub",
        subjects: frozenset[Subject] = frozenset(Subject),
        known: Mapping[Question, Answer] | None = None,
    ) -> None:
        self.name = name
        self.subjects = subjects
        self.reply = reply
        self.known = dict(known or {})
        self.asked: list[Question] = []
        self.opened = self.closed = 0

    def current(self, question: Question) -> Answer | None:
        return self.known.get(question)

    async def fetch(self, question: Question) -> Answer:
        self.asked.append(question)
        if isinstance(self.reply, Answer):
            return self.reply
        if isinstance(self.reply, Exception):
            raise self.reply
        return await self.reply(question)

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.closed += 1


async def never(question: Question) -> Answer:
    await asyncio.Event().wait()
    return YES


async def stubborn(question: Question) -> Answer:
    """Resist being cancelled, once."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.02)
    return YES


def main_unit(number: str = ORGANISATION, **members: Any) -> bytes:
    unit = {
        "organisasjonsnummer": number,
        "navn": 'SYKEHUSET {I ØST} ["HF"] \\',
        "organisasjonsform": {"kode": "ORGL", "_links": {"self": {"href": "https://x.test/"}}},
        "postadresse": {"adresse": ["Storgata 1", "]}"], "land": "Norge"},
        "konkurs": False,
        "underAvvikling": False,
        "underTvangsavviklingEllerTvangsopplosning": False,
        **members,
    }
    return json.dumps({name: value for name, value in unit.items() if value != ...}).encode()


def sub_unit(number: str = CHILD, parent: str | None = ORGANISATION, **members: Any) -> bytes:
    unit = {
        "organisasjonsnummer": number,
        "navn": "AVDELING",
        "overordnetEnhet": parent,
        **members,
    }
    return json.dumps(unit).encode()
