"""A flood of proofs, no two alike, against each kind of store: what is kept, and who is served.

Whoever has a key and a token can make proofs as fast as a processor signs, and each that is used
has to be remembered. So one key after the other does that, within the time in which all of them are
live. In memory every proof goes through a guard; where a server keeps them there are a tenth as
many, and they go to the store itself. It must hold that

- one key fills no more than its share, and meanwhile every use of another key is served;
- when there is no room left everybody is refused, and nothing is given up for it: of a thousand
  uses from the whole flood none is admitted a second time, also after it;
- memory is bounded by what the policy lets be kept, however many are attempted;
- when it is over and the uses have expired, everybody is served again.

    python bench/replay_flood.py [--proofs N] [KIND …]
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from stores import KINDS, Kinds

from portvakt import Code
from portvakt.stores.base import Store, StoreError
from portvakt.testing import FakeClient, FakeIssuer

#: Uses that are looked at again after the flood.
SAMPLE = 1000

#: Attempts that are under way at the same time, where a server answers.
AT_ONCE = 50

#: Octets of this process that one use in memory may take, with all that belongs to it.
OCTETS = 400.0

#: Keys of the second half of the flood, which fill the store together.
MANY = 8

HONEST, GREEDY = "honest", "greedy"

#: Says of a use by its owner and its number what became of it: "fresh", "used" or "no room".
Attempt = Callable[[str, int], Awaitable[str]]


class Bounds(NamedTuple):
    """How many uses are remembered: in all, and of one owner."""

    capacity: int
    per_owner: int


class Flood:
    """One flood: what was attempted, and what became of it.

    Parameters:
        attempt: uses something.
        proofs: how many there are.
        bounds: of the store.
    """

    def __init__(self, attempt: Attempt, proofs: int, bounds: Bounds) -> None:
        self._attempt, self._proofs, self.bounds = attempt, proofs, bounds
        self.fresh: list[tuple[str, int]] = []
        self.answers: dict[str, Counter[str]] = {}
        self.failed: list[str] = []

    def expect(self, what: str, *, holds: bool) -> None:
        """Note what does not hold."""
        if not holds:
            self.failed.append(what)

    async def use(self, owner: str, item: int) -> str:
        """Attempt one use."""
        answer = await self._attempt(owner, item)
        self.answers.setdefault(owner, Counter())[answer] += 1
        if answer == "fresh":
            self.fresh.append((owner, item))
        return answer

    async def by_one_key(self) -> None:
        """Let one key use half of all proofs, and another a few in between."""
        for start in range(0, self._proofs // 2, AT_ONCE):
            items = range(start, min(start + AT_ONCE, self._proofs // 2))
            await asyncio.gather(*(self.use(GREEDY, item) for item in items))
            if start % (10 * AT_ONCE) == 0:
                await self.use(HONEST, start)
        got, others = self.answers[GREEDY], self.answers[HONEST]
        self.expect("one key has its share, and no more", holds=got["fresh"] == self.bounds[1])
        self.expect("the rest had no room", holds=got["no room"] == got.total() - got["fresh"])
        self.expect("another key was served always", holds=others["fresh"] == others.total())

    async def by_many_keys(self) -> None:
        """Let many keys use the other half: together they fill it."""
        owners = [f"many-{number}" for number in range(MANY)]
        for item in range(self._proofs // 2 // MANY):
            await asyncio.gather(*(self.use(owner, item) for owner in owners))
        self.expect("it is full", holds=len(self.fresh) == self.bounds.capacity)
        self.expect("nobody is admitted when full", holds=await self.use(HONEST, -1) == "no room")

    async def again(self, attempt: Attempt | None) -> None:
        """Attempt a sample of what was used once more.

        Parameters:
            attempt: where there is room, so that it is not refused for that; None: as before.
        """
        step = max(1, len(self.fresh) // SAMPLE)
        sample = self.fresh[::step]
        found = Counter([await (attempt or self._attempt)(*one) for one in sample])
        print(f"    used again: {len(sample)} of the whole flood: {dict(found)}")
        known = found["used"] == len(sample)
        self.expect("what is live is known to be used, all of it", holds=known)


def resident() -> float:
    """Return the octets of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


async def run(
    flood: Flood, passes: Callable[[], Awaitable[None]], roomy: Attempt | None = None
) -> None:
    """Let it come and go, and print what it met with.

    Parameters:
        flood: what comes.
        passes: lets everything expire.
        roomy: uses something of the same store where there is room for more; None: it is all in
            the memory of this process.
    """
    gc.collect()
    before, started = resident(), time.perf_counter()
    await flood.by_one_key()
    await flood.by_many_keys()
    gc.collect()
    grown, took = resident() - before, time.perf_counter() - started
    await flood.again(roomy)
    await passes()
    flood.expect("afterwards everybody is served", holds=await flood.use(GREEDY, -2) == "fresh")
    flood.expect("afterwards everybody is served", holds=await flood.use(HONEST, -2) == "fresh")
    attempts = sum(one.total() for one in flood.answers.values())
    room, share = flood.bounds
    print(f"    {attempts} proofs in {took:.0f} s; room for {room}, and {share} of one key")
    one, other = (dict(flood.answers[owner]) for owner in (GREEDY, HONEST))
    print(f"    the first key {one}, the honest one {other}")
    print(f"    this process grew by {grown / 2**20:.1f} MiB", end="")
    if roomy is None:
        each = grown / flood.bounds.capacity
        print(f": {each:.0f} octets for each that is kept, {OCTETS:g} are allowed", end="")
        # What a short run takes is mostly the interpreter's own.
        flood.expect("memory is bounded", holds=each <= OCTETS or grown < 16 * 2**20)
    print()


def through_a_guard(proofs: int) -> Flood:
    """Send every proof to a guard with its store in memory."""
    issuer = FakeIssuer()
    bounds = Bounds(proofs // 2, proofs // 4)
    store = {"url": "memory://", "replay_capacity": bounds[0], "replay_per_key": bounds[1]}
    guard = issuer.guard(
        api={"audience": "test-api", "origin": "https://api.test", "sender_constraint": "dpop"},
        store=store,
    )
    clients: dict[str, tuple[FakeClient, str]] = {}
    meanings = {Code.PROOF_REPLAYED: "used", Code.REPLAY_UNAVAILABLE: "no room"}

    async def attempt(owner: str, item: int) -> str:
        if owner not in clients:
            client = FakeClient(issuer)
            clients[owner] = client, client.token()
        client, token = clients[owner]
        proof = client.proof(token).claims(jti=str(item)).build()
        refusal = guard.check_blocking(client.request(token, proof=proof)).refusal
        return "fresh" if refusal is None else meanings.get(refusal.code, refusal.code.value)

    async def passes() -> None:
        issuer.clock.advance(120)

    flood = Flood(attempt, proofs, bounds)
    asyncio.run(run(flood, passes))
    guard.home.leave()
    return flood


def of_a_store(name: str, proofs: int, kinds: Kinds) -> Flood | None:
    """Have a store remember every use."""
    with kinds.made(name) as kind:
        if kind is None:
            return None
        bounds = Bounds(proofs // 2, proofs // 4)

        def on(store: Store) -> Attempt:
            async def attempt(owner: str, item: int) -> str:
                try:
                    return "fresh" if await store.use(kind.use(str(item), owner)) else "used"
                except StoreError as error:
                    return "no room" if "room" in error.reason else error.reason

            return attempt

        async def passes() -> None:
            await kind.passes(70 + kind.kept)
            await store.prune(kind.clock())

        async def whole() -> None:
            await run(flood, passes, on(roomy))
            await store.close()
            await roomy.close()

        store = kind.open(capacity=bounds.capacity, per_owner=bounds.per_owner)
        roomy = kind.open(capacity=10 * proofs, per_owner=10 * proofs)
        flood = Flood(on(store), proofs, bounds)
        asyncio.run(whole())
        return flood


def main() -> int:
    """Run it; 1 if something does not hold."""
    parser = argparse.ArgumentParser(description="A flood of proofs against each kind of store.")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--proofs", type=int, default=100_000)
    arguments = parser.parse_args()
    failed = []
    with Kinds() as kinds:
        for name in arguments.kinds or KINDS:
            print(f"  {name}")
            if name == "memory":
                flood: Flood | None = through_a_guard(arguments.proofs)
            else:
                flood = of_a_store(name, arguments.proofs // 10, kinds)
            if flood is not None:
                failed += [f"{name}: {what}" for what in flood.failed]
    for what in failed:
        print(f"  DOES NOT HOLD  {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
