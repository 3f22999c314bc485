"""A store's server that is killed, and a guard that is killed: nothing that was said is lost."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from figures import KILLS, figure
from guards_at_work import (
    DEADLINE,
    PATIENCE,
    STALENESS,
    TIMEOUT,
    all_admitted,
    going_on,
    in_turn,
    only_in_long,
    served,
    serves,
    verdict_is,
)
from two_guards import Account, Died, GuardProcess, Party, guards, until

if TYPE_CHECKING:
    from real_places import RealPlace


@pytest.mark.attack("RPL-04", "RPL-06", "CACHE-07")
def test_a_store_that_is_killed_under_load_loses_nothing(place: RealPlace) -> None:
    served(place)
    # In a cluster memory begins anew each time.
    only_in_long(place.anew)
    # Where each end of a server costs a pause, there are fewer.
    kills = max(1, KILLS // 5) if place.anew else KILLS
    chance = random.Random(5)  # noqa: S311  the same in every run

    async def test() -> None:
        party = Party(place)
        account = Account(party)
        slow: list[float] = []
        policy = party.policy(staleness=STALENESS, timeout=TIMEOUT)
        async with guards(GuardProcess(policy), GuardProcess(policy, threads=True)) as both:
            one, other = both
            for guard in both:
                await serves(account, guard)
            for number in range(kills):
                async with going_on(
                    *(lambda: account.spend(one), lambda: account.spend(other)),
                    *(lambda: account.present(one), lambda: account.present(other)),
                    lambda: account.revoke(one if len(account.revoked) % 2 else other),
                    # It all has to be used again.
                    pause=0.05 if place.anew else 0.02,
                ):
                    await asyncio.sleep(chance.uniform(0.05, 0.5))
                    await in_turn(place.parts[number % len(place.parts)].kill)
                    await in_turn(place.parts[number % len(place.parts)].start)
                    began = time.monotonic()
                    for guard in both:
                        await until(lambda guard=guard: all_admitted(account, guard))
                        await until(lambda guard=guard: verdict_is("admitted", account, guard))
                    slow.append(time.monotonic() - began)
                # All at both: who let it in, and who did not.
                for guard in both:
                    await account.replay(guard)
            async with guards(GuardProcess(policy)) as (fresh,):
                for guard in (*both, fresh):
                    await account.verify_revoked(guard)
        assert account.slowest < DEADLINE + PATIENCE
        figure(
            f"the store's server is killed under load; deadline of a request {DEADLINE:g} s",
            place.name,
            f"{kills} kills",
            f"{len(account.admitted)} proofs admitted, {account.replayed} replays, none admitted",
            f"{len(account.revoked)} revocations, all hold at three guards",
            f"slowest of {len(account.answers)} answers {account.slowest:.3f} s",
            f"serves again after {max(slow):.2f} s at most",
        )

    asyncio.run(test())


@pytest.mark.attack("RPL-04", "CACHE-07")
def test_a_guard_that_is_killed_at_any_moment_takes_nothing_with_it(place: RealPlace) -> None:
    only_in_long(place.name == "redis-cluster")
    chance = random.Random(5)  # noqa: S311  the same in every run

    async def test() -> None:
        party = Party(place)
        account = Account(party)
        policy = party.policy(staleness=STALENESS, timeout=10.0)
        async with AsyncExitStack() as stack:
            (survivor,) = await stack.enter_async_context(guards(GuardProcess(policy)))
            await serves(account, survivor)
            following = asyncio.create_task(GuardProcess(policy).start())
            for _ in range(KILLS):
                victim = await following
                following = asyncio.create_task(GuardProcess(policy).start())
                async with going_on(
                    *(lambda victim=victim: spend_at(victim, account) for _ in range(4)),
                    *(lambda victim=victim: revoke_at(victim, account) for _ in range(2)),
                    lambda: account.spend(survivor),
                ):
                    await asyncio.sleep(chance.uniform(0.0, 0.6))
                    await victim.kill()
                    killed = time.monotonic()
                await survivor.caught_up(killed)
                await account.replay(survivor)
            last = await following
            stack.push_async_callback(last.close)
            for guard in (survivor, last):
                await account.verify_revoked(guard)
            await account.replay(last)
        if place.path is not None:
            with sqlite3.connect(place.path) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()
        figure(
            "a guard is killed at any moment, under load",
            place.name,
            f"{KILLS} kills",
            f"{account.were_unknown} requests died with it",
            f"{len(account.admitted)} proofs admitted, {account.replayed} replays, none admitted",
            f"{len(account.revoked)} revocations, all hold at the others",
            f"slowest of {len(account.answers)} answers {account.slowest:.3f} s",
        )

    asyncio.run(test())


async def spend_at(guard: GuardProcess, account: Account) -> None:
    try:
        await account.spend(guard)
    except Died:
        await asyncio.sleep(0.01)


async def revoke_at(guard: GuardProcess, account: Account) -> None:
    try:
        await account.revoke(guard)
    except Died:
        await asyncio.sleep(0.01)
