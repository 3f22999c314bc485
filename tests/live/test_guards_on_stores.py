"""Two guards in two processes on each shared store: one memory, whichever of them is asked.

The guards are as any API makes them, at real time; stores are real servers. `make stores` runs this
and its two neighbours for minutes and prints what they measured. What is asserted is what is
promised, never how quick a machine is: bounds that a guard states of itself, and who was let in
when.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from cut import wires
from figures import REVOCATIONS, figure, spread
from guards_at_work import STALENESS, attached, only_in_long, verdict_is
from servers import ROUNDS
from two_guards import CLIENTS, Account, GuardProcess, Party, guards, until

if TYPE_CHECKING:
    from pathlib import Path

    from real_places import RealPlace

#: Proofs of one batch: they are used within seconds, and may be thirty seconds old.
BATCH: Final = 250


@pytest.mark.attack("DPOP-16", "RPL-04")
def test_a_proof_used_at_two_guards_at_once_is_admitted_exactly_once(
    place: RealPlace, tmp_path: Path
) -> None:
    async def test() -> None:
        party = Party(place)
        # Nobody's answer is late here: it is counted who was let in.
        policy = party.policy(staleness=30.0, timeout=10.0)
        barrier = tmp_path / "barrier"
        met, first = 0, 0
        began = time.monotonic()
        async with guards(GuardProcess(policy), GuardProcess(policy, threads=True)) as both:
            for start in range(0, ROUNDS, BATCH):
                client = start // BATCH % CLIENTS
                token = party.token(client)
                proofs = [party.proof(client, token) for _ in range(min(BATCH, ROUNDS - start))]
                barrier.write_bytes(bytes(16))
                told, times = await rounds(both, str(barrier), token, proofs)
                for pair in zip(*told, strict=True):
                    assert sorted(pair) == ["admitted", "proof_replayed"]
                first += sum(one == "admitted" for one in told[0])
                met += sum(a[0] < b[1] and b[0] < a[1] for a, b in zip(*times, strict=True))
        # They did meet: neither had always ended before the other began.
        assert met
        figure(
            "a proof at two guards at once: admitted exactly once",
            place.name,
            f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s",
            f"under way at the same time in {met}",
            f"the first guard was first in {first}",
        )

    asyncio.run(test())


async def rounds(
    both: tuple[GuardProcess, ...], barrier: str, token: str, proofs: list[str]
) -> tuple[list[list[str]], list[list[Any]]]:
    """Have both use each proof at the same moment; return what each was told, and when."""
    answers = await asyncio.gather(
        *(
            guard.ask(
                "rounds", barrier=barrier, slot=slot, url="/bound", token=token, proofs=proofs
            )
            for slot, guard in enumerate(both)
        )
    )
    return [one["told"] for one in answers], [one["times"] for one in answers]


@pytest.mark.attack("CACHE-07")
@pytest.mark.parametrize("pushed", [True, False], ids=["pushed", "push-lost"])
def test_a_revocation_at_one_guard_holds_at_the_other_within_the_bound(
    place: RealPlace, pushed: bool
) -> None:
    if not pushed and not place.pushes:
        pytest.skip("nothing is pushed")
    only_in_long(place.name == "redis" and not pushed)
    ways = {} if pushed else {attached(place): 0}

    async def test() -> None:
        party = Party(place)
        times: list[float] = []
        async with wires(ways) as opened:
            url = None
            for way in opened:
                way.hushed = True
                url = place.by(way.port)
            one = GuardProcess(party.policy(staleness=STALENESS, timeout=10.0))
            other = GuardProcess(party.policy(staleness=STALENESS, timeout=10.0, url=url))
            async with guards(one, other):
                await asyncio.gather(one.caught_up(), other.caught_up())
                if pushed:
                    await until(lambda: pushing(other))
                for number in range(REVOCATIONS):
                    times.append(await revoked_at(one, other, party))
                    # At another point between two questions each time: by the golden ratio.
                    await asyncio.sleep(STALENESS / 3 * (0.618 * number % 1))
                assert (await other.ask("health"))["push"] == pushed
        how = "pushed" if pushed else "push lost"
        figure(
            f"from `revoke` to the first refusal at the other guard; max_staleness {STALENESS:g} s",
            place.name,
            f"{how if place.pushes else 'looked every 0.2 s'}: {len(times)} revocations",
            spread(times),
        )

    asyncio.run(test())


async def is_admitted(guard: GuardProcess, token: str) -> bool:
    return (await guard.check("/plain", token)).verdict == "admitted"


async def pushing(guard: GuardProcess) -> bool:
    return bool((await guard.ask("health"))["push"])


async def revoked_at(one: GuardProcess, other: GuardProcess, party: Party) -> float:
    """Revoke a token at one guard, and return how long it took until the other one refused it."""
    name = party.name()
    token = party.named(name)
    for guard in (one, other):
        await until(lambda guard=guard: is_admitted(guard, token))
    watching = asyncio.create_task(
        other.ask("watch", url="/plain", token=token, until="token_revoked", patience=20.0)
    )
    told = await party.revoke(one, name)
    assert told["verdict"] == "revoked"
    assert (await one.check("/plain", token)).verdict == "token_revoked"
    seen = await watching
    assert seen["verdict"] == "token_revoked"
    # The promise: nobody gets in any more who comes later than that.
    assert seen["last_admitted"] <= told["at"] + STALENESS
    return float(seen["at"] - told["started"])


@pytest.mark.attack("CACHE-07")
def test_a_guard_that_was_frozen_for_too_long_admits_nobody_before_it_has_caught_up(
    place: RealPlace,
) -> None:
    only_in_long(place.path is None)

    async def test() -> None:
        party = Party(place)
        account = Account(party)
        policy = party.policy(staleness=STALENESS, timeout=10.0)
        async with guards(GuardProcess(policy), GuardProcess(policy)) as (one, other):
            await asyncio.gather(one.caught_up(), other.caught_up())
            name = party.name()
            assert (await other.check("/plain", party.named(name))).verdict == "admitted"
            other.signal(signal.SIGSTOP)
            told = await party.revoke(one, name)
            assert told["verdict"] == "revoked"
            # Requests pile up meanwhile, and all are judged when it goes on.
            pile = [asyncio.create_task(other.check("/plain", party.named(name))) for _ in "12345"]
            await asyncio.sleep(max(0.0, told["at"] + STALENESS - time.monotonic()))
            other.signal(signal.SIGCONT)
            for answer in await asyncio.gather(*pile):
                assert answer.verdict in {"token_revoked", "revocation_unavailable"}
            await until(lambda: verdict_is("admitted", account, other))
            assert (await other.check("/plain", party.named(name))).verdict == "token_revoked"

    asyncio.run(test())
