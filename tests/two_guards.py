"""Guards in processes of their own, and a parent who keeps account of what they let in."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from portvakt.testing import FakeClient, FakeIssuer
from servers import PASSWORD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from real_places import RealPlace

__all__ = ["CLIENTS", "Account", "Answer", "Died", "GuardProcess", "Party", "guards", "until"]

T = TypeVar("T")

_PROGRAM: Final = Path(__file__).with_name("guard_process.py")
_VARIABLE: Final = "STORE_PASSWORD"
#: How many clients there are, each with a key of its own.
CLIENTS: Final = 8
#: Questions that are asked at the same time where there are many.
_AT_ONCE: Final = 16
#: Seconds after which anything at all has failed.
_PATIENCE: Final = 60.0


class Died(Exception):  # noqa: N818  it is what happened, and no error here
    """The process ended before it answered."""


class Answer(NamedTuple):
    """What a guard made of a request, as the parent saw it.

    Attributes:
        verdict: ``admitted``, or the code of the refusal.
        started: when the guard began with it, on the clock that all processes share.
        seconds: how long the guard took.
        ages: the age of its mirror before and after; None: it was never filled.
    """

    verdict: str
    started: float
    seconds: float
    ages: tuple[float | None, float | None]


class GuardProcess:
    """A process with one guard.

    Parameters:
        policy: of the guard.
        threads: whether the guard is asked from threads.
    """

    def __init__(self, policy: dict[str, Any], *, threads: bool = False) -> None:
        self._order = {"policy": policy, "threads": threads}
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ended = False

    async def start(self) -> GuardProcess:
        """Start it, and wait until its guard is made."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-X", "faulthandler", str(_PROGRAM)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), _VARIABLE: PASSWORD},
            limit=2**26,
        )
        ready = self._expect(0)
        self._reading = asyncio.create_task(self._read())
        self._write(self._order)
        async with asyncio.timeout(_PATIENCE):
            await ready
        return self

    async def ask(self, what: str, **question: Any) -> dict[str, Any]:
        """Ask something, and wait for the answer.

        Raises:
            Died: if it ended before.
        """
        if self._ended:
            raise Died
        number = next(self._numbers)
        answer = self._expect(number)
        self._write({"ask": what, "number": number, **question})
        async with asyncio.timeout(_PATIENCE):
            found = await answer
        assert "error" not in found, found["error"]
        return found

    async def check(self, url: str, token: str, proof: str | None = None) -> Answer:
        """Have a request judged."""
        found = await self.ask("check", url=url, token=token, proof=proof)
        return Answer(**found)

    async def caught_up(self, since: float | None = None) -> None:
        """Wait until it knows what was revoked at a moment, by default the one of this call."""
        moment = time.monotonic() if since is None else since
        end = time.monotonic() + _PATIENCE
        while True:
            health = await self.ask("health")
            assert time.monotonic() < end, health
            if health["age"] is not None and health["at"] - health["age"] >= moment:
                return
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """End it at once; what it had answered is read."""
        self.signal(signal.SIGKILL)
        await self._reading

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def close(self) -> None:
        """End it in peace, or else at once."""
        self.signal(signal.SIGCONT)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await self._reading
        except TimeoutError:
            self.signal(signal.SIGKILL)
            raise

    def _expect(self, number: int) -> asyncio.Future[dict[str, Any]]:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        return future

    def _write(self, line: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")

    async def _read(self) -> None:
        """Hand out answers until the process has ended and the pipe is empty."""
        assert self._process.stdout is not None
        # A process that is killed in the middle of a line leaves no half of one: see PIPE_BUF.
        while line := await self._process.stdout.readline():
            found = json.loads(line)
            future = self._waiting.pop(found.pop("number"))
            if not future.done():
                future.set_result(found)
        self._ended = True
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Died())
        self._waiting.clear()
        await self._process.wait()


class Party:
    """An issuer and a client, and the policies of guards that trust them."""

    def __init__(self, place: RealPlace) -> None:
        self._place = place
        self.issuer = FakeIssuer(clock=time.time)
        self._serial = itertools.count(1)
        # Several, so that they are spread over the nodes of a cluster.
        self._clients = [FakeClient(self.issuer) for _ in range(CLIENTS)]
        self._tokens: dict[int, tuple[str, float]] = {}

    def policy(self, *, staleness: float, timeout: float, url: str | None = None) -> dict[str, Any]:
        """Return a policy.

        Parameters:
            staleness: ``max_staleness``.
            timeout: of the store.
            url: another way to the store.
        """
        store: dict[str, Any] = {
            "url": url or self._place.url,
            "timeout": f"{1000 * timeout:.0f}ms",
        }
        if self._place.password is not None:
            store["password"] = {"env": _VARIABLE}
        return self.issuer.config(
            api={"audience": "test-api", "origin": "https://api.test"},
            store=store,
            revocation={"max_staleness": f"{1000 * staleness:.0f}ms"},
            route=[
                {"path": "/bound", "sender_constraint": "dpop"},
                {"path": "/plain", "sender_constraint": "none"},
            ],
        )

    def token(self, client: int) -> str:
        """Return a client's token: the same one for some seconds."""
        token, made = self._tokens.get(client, ("", 0.0))
        if time.monotonic() > made + 10:
            token = self._clients[client].token()
            self._tokens[client] = token, time.monotonic()
        return token

    def proof(self, client: int, token: str) -> str:
        """Return a new proof of a client."""
        return self._clients[client].proof(token, url="/bound").build()

    def plain(self) -> str:
        """Return a token of nobody in particular: the same one for some seconds."""
        token, made = self._tokens.get(-1, ("", 0.0))
        if time.monotonic() > made + 2:
            token = self.named("honest")
            self._tokens[-1] = token, time.monotonic()
        return token

    def name(self) -> str:
        """Return a name for a token."""
        return f"token-{next(self._serial)}"

    def named(self, name: str) -> str:
        """Return a new token of this name. That is what it is revoked by, whenever it is issued."""
        return self.issuer.token(claims={"jti": name})

    async def revoke(self, guard: GuardProcess, name: str) -> dict[str, Any]:
        """Have a token revoked."""
        issuer = self.issuer.trusted.issuer
        return await guard.ask("revoke", issuer=issuer, kind="token", value=name)


class Used(NamedTuple):
    """A proof that was used."""

    token: str
    proof: str
    at: float


class Account:
    """What guards let in, and what they said is revoked: kept by who outlives them all.

    Attributes:
        admitted: every proof that was let in, each once.
        unknown: those of which nobody knows, as the guard died before it answered.
        revoked: the names of tokens that are certain to be revoked.
        answers: every answer.
        replayed: how many uses of a proof that had been let in were refused.
        forgotten: those of them that were refused because the store did not know any more.
    """

    #: Seconds for which a proof is young enough to be used again, with some to spare.
    WINDOW: Final = 24.0

    def __init__(self, party: Party) -> None:
        self._party = party
        self._turn = itertools.count()
        self.admitted: dict[str, Used] = {}
        self.unknown: list[Used] = []
        self.revoked: list[str] = []
        self.answers: list[Answer] = []
        self.replayed = 0
        self.forgotten = 0
        self.were_unknown = 0

    async def spend(self, guard: GuardProcess, client: int | None = None) -> Answer:
        """Use a new proof at a guard.

        Raises:
            Died: see :meth:`GuardProcess.ask`; whether it was let in, is not known.
        """
        if client is None:
            client = next(self._turn) % CLIENTS
        token = self._party.token(client)
        used = Used(token, self._party.proof(client, token), time.monotonic())
        try:
            answer = await guard.check("/bound", used.token, used.proof)
        except Died:
            self.unknown.append(used)
            raise
        self.answers.append(answer)
        if answer.verdict == "admitted":
            self.admitted[used.proof] = used
        return answer

    async def present(self, guard: GuardProcess) -> Answer:
        """Use a token without a proof at a guard."""
        answer = await guard.check("/plain", self._party.plain())
        self.answers.append(answer)
        return answer

    async def revoke(self, guard: GuardProcess) -> str | None:
        """Revoke a token at a guard; return its name if that is certain."""
        name = self._party.name()
        told = await self._party.revoke(guard, name)
        if told["verdict"] != "revoked":
            return None
        self.revoked.append(name)
        return name

    async def replay(self, guard: GuardProcess) -> None:
        """Use every proof again that is still young enough, and see it refused.

        Of a proof whose fate is unknown nobody can say what it was, but once at most it is let in.
        """
        begin, patience = time.monotonic() - self.WINDOW, time.monotonic() + 2.0
        unknown, self.unknown = self.unknown, []
        for used in unknown:
            answer = await guard.check("/bound", used.token, used.proof)
            if answer.verdict == "admitted":
                self.admitted[used.proof] = used
            self.were_unknown += 1

        async def again(used: Used) -> None:
            answer = await guard.check("/bound", used.token, used.proof)
            # A store that just came back may be late once more: then it is asked again.
            while answer.verdict == "revocation_unavailable" and time.monotonic() < patience:
                await asyncio.sleep(0.05)
                answer = await guard.check("/bound", used.token, used.proof)
            assert answer.verdict in {"proof_replayed", "replay_unavailable"}, answer
            self.replayed += 1
            self.forgotten += answer.verdict == "replay_unavailable"

        young = [one for one in self.admitted.values() if one.at > begin]
        await _each(again, young)

    async def verify_revoked(self, guard: GuardProcess) -> int:
        """See that every revocation that was certain holds at a guard; return how many."""

        async def verify(name: str) -> None:
            answer = await guard.check("/plain", self._party.named(name))
            assert answer.verdict == "token_revoked", (name, answer)

        await guard.caught_up()
        await _each(verify, self.revoked)
        return len(self.revoked)

    @property
    def slowest(self) -> float:
        """How long the slowest answer took."""
        return max(answer.seconds for answer in self.answers)


async def _each(do: Callable[[T], Awaitable[None]], things: list[T]) -> None:
    """Do the same to many, several at a time."""
    waiting = iter(list(things))

    async def one_after_the_other() -> None:
        for one in waiting:
            await do(one)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_AT_ONCE):
            tasks.create_task(one_after_the_other())


@asynccontextmanager
async def guards(*processes: GuardProcess) -> AsyncIterator[tuple[GuardProcess, ...]]:
    """Start processes, and end them."""
    async with AsyncExitStack() as stack:
        for one in processes:
            stack.push_async_callback(one.close)
        await asyncio.gather(*(one.start() for one in processes))
        yield processes


async def until(condition: Any, seconds: float = 30.0) -> float:
    """Wait until a condition holds, awaited anew each time; return how long that took."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() < began + seconds, "it did not come to that"
        await asyncio.sleep(0.01)
    return time.monotonic() - began
