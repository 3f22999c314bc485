"""A guard that is cut off from its store: it refuses when it has to, not before, and recovers."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import pytest

from cut import Cut, wires
from figures import figure
from guards_at_work import (
    DEADLINE,
    PATIENCE,
    STALENESS,
    TIMEOUT,
    all_admitted,
    attached,
    going_on,
    in_turn,
    only_in_long,
    served,
    serves,
    verdict_is,
)
from two_guards import Account, Answer, GuardProcess, Party, guards, until

if TYPE_CHECKING:
    from real_places import RealPlace
    from store_servers import Server


@pytest.mark.attack("CACHE-07", "RPL-06", "DOS-10")
@pytest.mark.parametrize("trouble", ["cut", "swallowed", "stopped"])
def test_a_guard_without_its_store_refuses_once_stale_and_recovers_by_itself(
    place: RealPlace, trouble: str
) -> None:
    ways = {} if trouble == "stopped" else {attached(place): 0}
    server = served(place)
    only_in_long(
        place.anew or (place.name, trouble) in {("postgresql", "cut"), ("redis", "swallowed")}
    )

    async def test() -> None:
        party = Party(place)
        account, lonely = Account(party), Account(party)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(wires(ways))
            url = place.by(opened[0].port) if opened else None
            one = GuardProcess(party.policy(staleness=STALENESS, timeout=TIMEOUT))
            other = GuardProcess(party.policy(staleness=STALENESS, timeout=TIMEOUT, url=url))
            await stack.enter_async_context(guards(one, other))
            await serves(account, one)
            await serves(lonely, other)
            before = await account.revoke(one)
            assert before is not None
            # Both are asked all the time, by two clients with and two without a proof.
            load = going_on(
                lambda: account.spend(one),
                *(lambda: lonely.spend(other), lambda: lonely.spend(other)),
                *(lambda: lonely.present(other), lambda: lonely.present(other)),
            )
            await stack.enter_async_context(load)
            during = None
            troubled = await make(trouble, opened, server)
            if opened:
                # Who is not cut off revokes, and does not notice.
                during = await account.revoke(one)
                assert during is not None
            await until(lambda: verdict_is("revocation_unavailable", lonely, other))
            # It stays so: nothing but the store ends it.
            end = time.monotonic() + STALENESS
            while time.monotonic() < end:
                assert await verdict_is("revocation_unavailable", lonely, other)
            healed = await end_of(trouble, opened, server)
            recovery = await until(lambda: verdict_is("admitted", lonely, other))
            proofs = await until(lambda: all_admitted(lonely, other))
            for guard in (one, other):
                await account.verify_revoked(guard)
            await lonely.replay(one)
            await account.replay(other)
        judge(lonely.answers, troubled, healed)
        assert account.slowest < DEADLINE + PATIENCE
        quiet = [one.started for one in lonely.answers if one.verdict == "revocation_unavailable"]
        figure(
            f"a guard whose store is {trouble}; deadline of a request {DEADLINE:g} s",
            place.name,
            f"refuses {min(quiet) - troubled:.2f} s after (max_staleness {STALENESS:g} s)",
            f"slowest of {len(lonely.answers)} answers {lonely.slowest:.3f} s",
            f"recovered in {recovery:.2f} s, for proofs {recovery + proofs:.2f} s",
            f"{account.replayed + lonely.replayed} proofs replayed and refused",
        )

    asyncio.run(test())


async def make(trouble: str, ways: tuple[Cut, ...], server: Server) -> float:
    """Make trouble; return from when on nothing can have come through."""
    for way in ways:
        if trouble == "cut":
            await way.cut()
        else:
            way.swallow()
    if trouble == "stopped":
        await in_turn(server.stop)
    return time.monotonic()


async def end_of(trouble: str, ways: tuple[Cut, ...], server: Server) -> float:
    """End the trouble; return until when nothing can have come through."""
    now = time.monotonic()
    for way in ways:
        await way.heal()
    if trouble == "stopped":
        await in_turn(server.start)
    return now


def judge(answers: list[Answer], troubled: float, healed: float) -> None:
    """See that a guard without its store did what it promises, in every answer."""
    for one in answers:
        assert one.seconds < DEADLINE + PATIENCE, one
        cut_off = troubled < one.started and one.started + one.seconds < healed
        before, after = one.ages
        assert before is not None
        assert after is not None
        if one.verdict == "revocation_unavailable":
            # Not before it is too old, by its own account.
            assert before + one.seconds >= STALENESS, one
        elif one.verdict == "admitted" and cut_off:
            assert one.started < troubled + STALENESS, one
            assert min(before, after) < STALENESS, one
    spent = [one for one in answers if troubled < one.started < healed]
    assert {one.verdict for one in spent} >= {"replay_unavailable", "revocation_unavailable"}


HOLDING: Final = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("BEGIN IMMEDIATE")
other.execute("DELETE FROM portvakt_uses")
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.attack("RPL-06", "DOS-10")
def test_a_file_that_another_process_writes_to_without_end_refuses_proofs_and_nothing_else(
    place: RealPlace,
) -> None:
    if place.path is None:
        pytest.skip("no file")
    command = [sys.executable, "-c", HOLDING, str(place.path)]

    async def test() -> None:
        party = Party(place)
        account, held = Account(party), Account(party)
        policy = party.policy(staleness=STALENESS, timeout=TIMEOUT)
        async with guards(GuardProcess(policy), GuardProcess(policy)) as (one, other):
            await serves(account, one)
            pipe = asyncio.subprocess.PIPE
            writer = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
            assert writer.stdout is not None
            await writer.stdout.readline()
            end = time.monotonic() + 2 * STALENESS
            while time.monotonic() < end:
                # Who reads does not wait for who writes, so what is revoked stays known.
                assert await verdict_is("admitted", held, other)
                answers = await asyncio.gather(*(held.spend(other) for _ in range(4)))
                assert {answer.verdict for answer in answers} == {"replay_unavailable"}
                assert await held.revoke(other) is None
            # Its end takes back what it had begun, and nothing that others had done.
            writer.kill()
            await writer.communicate()
            recovery = await until(lambda: all_admitted(held, other))
            assert await held.revoke(other)
            await held.verify_revoked(one)
            await account.replay(other)
            await held.replay(one)
        assert held.slowest < DEADLINE + PATIENCE
        assert account.forgotten == held.forgotten == 0
        figure(
            f"a file that another process holds; deadline of a request {DEADLINE:g} s",
            place.name,
            f"slowest of {len(held.answers)} answers {held.slowest:.3f} s",
            f"recovered in {recovery:.2f} s after it was killed",
            f"{account.replayed + held.replayed} proofs replayed and refused",
        )

    asyncio.run(test())
