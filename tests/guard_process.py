"""One guard in a process of its own, made of a policy as any API makes it; its parent asks it.

Run as a program. The first line of standard input is the policy, every further one a question; each
is answered by one line, in whatever order they are ready. An answer is in the pipe before anything
else happens, so that not even a SIGKILL takes back what this process has let in.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from portvakt import Guard, HttpRequest
from portvakt.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from portvakt.policy.decision import Decision

#: Seconds that one waits for the other at a barrier.
_PATIENCE: Final = 30.0


def request(question: dict[str, Any]) -> HttpRequest:
    """Return the request that a question describes."""
    token, proof = question["token"], question.get("proof")
    if proof is None:
        headers: tuple[tuple[str, str], ...] = (("Authorization", f"Bearer {token}"),)
    else:
        headers = (("Authorization", f"DPoP {token}"), ("DPoP", proof))
    return HttpRequest(method="GET", url=question["url"], headers=headers)


def verdict(decision: Decision) -> str:
    """Return what became of a request in one word."""
    return "admitted" if decision.refusal is None else decision.refusal.code.value


class Barrier:
    """Where two processes wait for each other: a file in which each writes how far it is.

    Nobody is asked to let them go: each goes on as soon as it sees that the other is there.
    """

    def __init__(self, path: str, slot: int) -> None:
        with Path(path).open("r+b") as file:
            self._places = memoryview(mmap.mmap(file.fileno(), 16)).cast("q")
        self._slot = slot

    def meet(self, number: int) -> None:
        """Wait until the other is as far."""
        places, other = self._places, 1 - self._slot
        places[self._slot] = number
        end = time.monotonic() + _PATIENCE
        while places[other] < number:
            if time.monotonic() > end:
                raise TimeoutError("the other process did not come")
            os.sched_yield()


class Worker:
    """Answers questions about one guard.

    Parameters:
        guard: the guard.
        threads: whether it is asked from threads, as WSGI servers do; else on the loop.
    """

    def __init__(self, guard: Guard, *, threads: bool) -> None:
        self._guard = guard
        self._threads = threads

    async def check(self, question: dict[str, Any]) -> str:
        """Judge one request."""
        if self._threads:
            return verdict(await asyncio.to_thread(self._guard.check_blocking, request(question)))
        return verdict(await self._guard.check(request(question)))

    async def ask_check(self, question: dict[str, Any]) -> dict[str, Any]:
        """Judge one request, and say how long that took and how old the mirror was."""
        before, started = self._age(), time.monotonic()
        found = await self.check(question)
        seconds = time.monotonic() - started
        ages = (before, self._age())
        return {"verdict": found, "started": started, "seconds": seconds, "ages": ages}

    async def ask_rounds(self, question: dict[str, Any]) -> dict[str, Any]:
        """Use one proof after the other, each at the moment at which another process does."""
        barrier = Barrier(question["barrier"], question["slot"])
        told, times = [], []
        for number, proof in enumerate(question["proofs"], 1):
            one = {**question, "proof": proof}
            barrier.meet(number)
            started = time.monotonic()
            told.append(await self.check(one))
            times.append((started, time.monotonic()))
        return {"told": told, "times": times}

    def _age(self) -> float | None:
        health = self._guard.health().revocation
        return None if health is None else health.age

    async def ask_watch(self, question: dict[str, Any]) -> dict[str, Any]:
        """Judge the same request again and again, until the verdict is what is waited for."""
        end = time.monotonic() + question["patience"]
        last = 0.0
        while True:
            started = time.monotonic()
            found = await self.check(question)
            if found == question["until"] or time.monotonic() > end:
                return {"verdict": found, "at": time.monotonic(), "last_admitted": last}
            if found == "admitted":
                last = started
            await asyncio.sleep(0.001)

    async def ask_revoke(self, question: dict[str, Any]) -> dict[str, Any]:
        """Revoke something, and say whether that is certain."""
        started = time.monotonic()
        try:
            await self._guard.revoke(question["issuer"], question["kind"], question["value"])
        except Unavailable as error:
            told = error.refusal.code.value
        else:
            told = "revoked"
        return {"verdict": told, "started": started, "at": time.monotonic()}

    async def ask_health(self, question: dict[str, Any]) -> dict[str, Any]:
        """Say how it is."""
        health = self._guard.health().revocation
        assert health is not None
        return {
            "age": health.age,
            "stale": health.stale,
            "entries": health.entries,
            "push": health.push,
            "at": time.monotonic(),
        }


def say(answer: dict[str, Any]) -> None:
    """Put an answer into the pipe, whole and now."""
    os.write(1, json.dumps(answer).encode() + b"\n")


async def answer(
    number: int,
    work: Callable[[dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]],
    question: dict[str, Any],
) -> None:
    """Answer one question; a fault of the test is an answer too."""
    try:
        found = await work(question)
    except Exception as error:  # noqa: BLE001  whatever it is, the parent has to know
        found = {"error": repr(error)}
    say({"number": number, **found})


async def main() -> None:
    """Answer until the parent has no more questions."""
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    order = json.loads(await reader.readline())
    guard = Guard.from_config(order["policy"])
    async with AsyncExitStack() as stack:
        if order["threads"]:
            await asyncio.to_thread(guard.warm_blocking)
        else:
            await stack.enter_async_context(guard)
        worker = Worker(guard, threads=order["threads"])
        say({"number": 0})
        async with asyncio.TaskGroup() as tasks:
            while line := await reader.readline():
                question = json.loads(line)
                work = getattr(worker, f"ask_{question.pop('ask')}")
                tasks.create_task(answer(question.pop("number"), work, question))


if __name__ == "__main__":
    asyncio.run(main())
