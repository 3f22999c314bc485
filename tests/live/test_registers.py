"""Enhetsregisteret on loopback, honest and otherwise: what becomes of a request that depends on it.

A register that is down, slow, wrong or malicious refuses, is passed over only where the route says
so, and in neither case later than its deadline. A register that says no refuses in any case.
"""

import asyncio
import time
from collections.abc import Iterator

import pytest

from key_server import Behaviour, KeyServer, by_path, drip, endless, hang_up, octets, silent, whole
from portvakt.errors import Refused, Unavailable
from portvakt.home import Home, finish
from portvakt.net.address import CheckedAddresses, Reach
from portvakt.net.fetch import Fetch
from portvakt.refusal import Code
from portvakt.registers.base import Question, Subject
from portvakt.registers.enhetsregisteret import Enhetsregisteret
from portvakt.registers.remembered import Memory, Remembered
from portvakt.registers.verify import Registers
from portvakt.testing.clock import FrozenClock
from unit.registers.conftest import CHILD, ORGANISATION, OTHER, main_unit, organisation, sub_unit

#: Seconds for everything, and how much later than that a busy machine may be.
#: Seconds. Where nobody is slow on purpose there is time enough for any machine.
PATIENT, HASTY, LATENESS = 20.0, 1.0, 1.0

BODY_LIMIT = 64 * 1024
CLINIC = organisation(child=CHILD)
ASKED = [("enhetsregisteret", CLINIC)]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def honest(
    main: Behaviour | None = None, sub: Behaviour | None = None, **more: Behaviour
) -> Behaviour:
    return by_path(
        {
            f"/api/enheter/{ORGANISATION}": main or whole(main_unit()),
            f"/api/underenheter/{CHILD}": sub or whole(sub_unit()),
            **{f"/api/enheter/{number.lstrip('_')}": answer for number, answer in more.items()},
        }
    )


class World:
    """A server, and a guard's registers that ask it."""

    def __init__(self, server: KeyServer, deadline: float) -> None:
        self.server = server
        self.deadline = deadline
        self.clock = FrozenClock(0)
        self.home = Home()
        fetch = Fetch(
            CheckedAddresses(Reach(loopback=True)),
            loopback_http=True,
            timeout=deadline,
            max_body=BODY_LIMIT,
        )
        api = Enhetsregisteret(
            fetch, base_url=f"http://127.0.0.1:{server.port}/api", loopback_http=True
        )
        self.memory = Memory(deadline=deadline / 2)
        self.remembered = Remembered(api, self.memory, clock=self.clock)
        self.registers = Registers([self.remembered], deadline=deadline)

    def verify(self, *, admit: bool = False, question: Question = CLINIC) -> tuple[str, ...]:
        """As the guard does, from a thread without a loop; and see that it is in time."""
        started = time.perf_counter()
        asked = [("enhetsregisteret", question)]
        try:
            return finish(self.home.blocked(self.registers.verify, asked, admit_unavailable=admit))
        finally:
            assert time.perf_counter() - started < self.deadline + LATENESS

    def refuses(self, *, admit: bool = False) -> str:
        try:
            self.verify(admit=admit)
        except (Refused, Unavailable) as failure:
            refusal, told = failure.refusal, str(failure)
        else:
            pytest.fail("nothing was refused")
        for number in (ORGANISATION, CHILD, OTHER):
            assert number not in f"{refusal.detail}{told}"
        return f"{refusal.code.status} {refusal.detail}"


DRIPS = drip(HEAD, every=0.05)
DRIPS_OF_A_BODY = drip(HEAD + b"\r\n" + main_unit(), every=0.05)
HEAD_THEN_SILENCE = drip(b"", every=0, then=HEAD + b"Content-Length: 1000\r\n\r\n{")
SLOW = {silent, DRIPS, DRIPS_OF_A_BODY, HEAD_THEN_SILENCE}


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    given = getattr(request.node, "callspec", None)
    slow = given is not None and not SLOW.isdisjoint(given.params.values())
    with KeyServer(honest(), plain=True) as server:
        world = World(server, HASTY if slow else PATIENT)
        yield world
        world.home.leave()


def test_a_register_that_knows_is_asked_once(world: World) -> None:
    assert not world.registers.check_current(ASKED)
    assert world.verify() == ()
    assert world.registers.check_current(ASKED)
    assert world.verify(admit=True) == ()
    assert sorted(one.target for one in world.server.requests) == [
        f"/api/enheter/{ORGANISATION}",
        f"/api/underenheter/{CHILD}",
    ]


HOSTILE: dict[str, Behaviour] = {
    # Down.
    "hangs up": hang_up,
    "half an answer": octets(HEAD + b"Content-Length: 1000\r\n\r\n{"),
    "500": whole(main_unit(), status=500),
    "503": whole(main_unit(), status=503, headers=[("Retry-After", "3")]),
    "401": whole(b"", status=401),
    # Slow.
    "silent": silent,
    "drips": DRIPS_OF_A_BODY,
    "head, then silence": HEAD_THEN_SILENCE,
    # Wrong.
    "no body": whole(b""),
    "no JSON": whole(main_unit()[:-1]),
    "an array": whole(b"[" + main_unit() + b"]"),
    "null": whole(b"null"),
    "no members": whole(b"{}"),
    "HTML": whole(b"<html>Vedlikehold</html>", headers=[("Content-Type", "text/html")]),
    "HTML as 404": whole(b"<p>", status=404, headers=[("Content-Type", "text/html; a=b")]),
    "HTML as 410": whole(b"<p>", status=410, headers=[("Content-Type", "TEXT/HTML")]),
    "bankrupt is a text": whole(main_unit(konkurs="false")),
    "bankrupt is not said": whole(main_unit(konkurs=...)),
    "a number as a number": whole(main_unit(organisasjonsnummer=974589095)),
    "no number": whole(main_unit(organisasjonsnummer=None)),
    # Malicious.
    "another organisation": whole(main_unit(OTHER)),
    "both at once": whole(main_unit()[:-1] + b', "konkurs": true, "konkurs": false}'),
    "endless": endless(HEAD + b"\r\n" + main_unit()[:-1] + b', "x": "', b"a" * 65536),
    "endless head": endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: z\r\n" * 1000),
    "huge by its own word": octets(HEAD + b"Content-Length: 999999999999\r\n\r\n{"),
    "huge JSON": whole(main_unit(aktivitet=["a" * 1000] * 1000)),
    "deep JSON": whole(main_unit()[:-1] + b', "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "many digits": whole(main_unit()[:-1] + b', "x": ' + b"1" * 60_000 + b"}"),
    "compressed": whole(main_unit(), headers=[("Content-Encoding", "gzip")]),
    "redirects": whole(
        b"", status=302, headers=[("Location", "http://169.254.169.254/latest/meta-data/")]
    ),
    "redirects home": whole(b"", status=307, headers=[("Location", f"/api/enheter/{OTHER}")]),
    "no HTTP": octets(b"220 smtp.example ESMTP\r\n"),
}


@pytest.mark.parametrize("main", HOSTILE.values(), ids=HOSTILE)
def test_a_register_that_gives_no_answer_refuses_unless_the_route_says_otherwise(
    world: World, main: Behaviour
) -> None:
    world.server.answer = honest(main)
    assert world.refuses().startswith("503 enhetsregisteret: ")
    # Where the route says so it is passed over, and the decision can name it.
    assert world.verify(admit=True) == ("enhetsregisteret",)
    world.clock.advance(world.memory.cooldown)
    assert world.verify(admit=True) == ("enhetsregisteret",)
    # Of an endless answer hardly more was read than one may be long.
    world.server.wait_until_idle()
    assert world.server.sent < 32 * 1024 * 1024  # The system's own buffers are in it.
    # And when it is itself again, all is well.
    world.server.answer = honest()
    world.clock.advance(60)
    assert world.verify() == ()


@pytest.mark.parametrize("sub", [silent, whole(b"<"), whole(sub_unit(OTHER))])
def test_the_child_is_asked_for_as_strictly(world: World, sub: Behaviour) -> None:
    world.server.answer = honest(sub=sub)
    assert world.refuses().startswith("503 enhetsregisteret: ")
    assert world.verify(admit=True) == ("enhetsregisteret",)


def test_units_above_one_another_in_a_circle(world: World) -> None:
    above = main_unit(OTHER, overordnetEnhet=CHILD)
    answer = {f"_{OTHER}": whole(above)}
    world.server.answer = honest(sub=whole(sub_unit(parent=OTHER)), **answer)
    assert world.refuses() == "503 enhetsregisteret: units above one another in a circle"
    assert len(world.server.requests) == 3


def test_a_chain_without_an_end_ends(world: World) -> None:
    async def one_more_above(exchange: object) -> None:
        number = exchange.request.target.rpartition("/")[2]  # type: ignore[attr-defined]
        if number == ORGANISATION:
            await whole(main_unit())(exchange)  # type: ignore[arg-type]
        else:
            above = f"{int(number) + 1}"
            await whole(main_unit(number, overordnetEnhet=above))(exchange)  # type: ignore[arg-type]

    world.server.answer = one_more_above
    assert world.refuses(admit=True) == "403 enhetsregisteret: organisation: not_of_parent"
    assert len(world.server.requests) == 6


NO: dict[str, tuple[Behaviour, str]] = {
    "unknown": (honest(whole(b"", status=404)), "unknown"),
    "removed": (honest(whole(b"", status=410)), "deleted"),
    "deleted": (honest(whole(main_unit(slettedato="2024-02-29", konkurs=...))), "deleted"),
    "bankrupt": (honest(whole(main_unit(konkurs=True))), "bankrupt"),
    "winding up": (honest(whole(main_unit(underAvvikling=True))), "winding_up"),
    "of somebody else": (
        honest(sub=whole(sub_unit(parent=OTHER)), **{f"_{OTHER}": whole(main_unit(OTHER))}),
        "not_of_parent",
    ),
}


@pytest.mark.parametrize(("answer", "reason"), NO.values(), ids=NO)
@pytest.mark.parametrize("admit", [False, True])
def test_a_register_that_says_no_refuses_in_any_case(
    world: World, answer: Behaviour, reason: str, admit: bool
) -> None:
    world.server.answer = answer
    told = f"403 enhetsregisteret: organisation: {reason}"
    assert world.refuses(admit=admit) == told
    # Also from memory.
    asked = len(world.server.requests)
    assert world.refuses(admit=admit) == told
    assert len(world.server.requests) == asked


@pytest.mark.parametrize("admit", [False, True])
def test_during_an_outage_what_was_known_serves_for_a_while(world: World, admit: bool) -> None:
    assert world.verify() == ()
    world.server.stop()
    world.clock.advance(world.memory.fresh)
    assert world.verify() == ()
    assert world.registers.check_current(ASKED)
    # Nobody else is known now.
    other = Question(Subject.SUPPLIER, OTHER)
    with pytest.raises(Unavailable):
        world.verify(question=other)
    assert world.verify(question=other, admit=True) == ("enhetsregisteret",)
    world.clock.advance(world.memory.max_staleness)
    assert not world.registers.check_current(ASKED)
    if admit:
        assert world.verify(admit=True) == ("enhetsregisteret",)
    else:
        assert "no connection could be made" in world.refuses()
    health = world.registers.health()[0]
    assert health.last_error == "no connection could be made"
    world.server.start()
    world.clock.advance(world.memory.cooldown)
    assert world.verify() == ()
    assert world.registers.health()[0].last_error is None


@pytest.mark.parametrize("answer", [silent, DRIPS])
def test_when_it_is_slow_what_was_known_is_in_time(world: World, answer: Behaviour) -> None:
    assert world.verify() == ()
    world.server.answer = answer
    world.clock.advance(world.memory.fresh)
    assert world.verify() == ()
    assert world.registers.check_current(ASKED)


def test_a_flood_while_it_is_down_costs_it_a_few_questions(world: World) -> None:
    world.server.answer = hang_up

    async def flood() -> list[Code]:
        refused = []
        for number in range(200):
            asked = [("enhetsregisteret", Question(Subject.SUPPLIER, f"{900000000 + number}"))]
            try:
                await world.registers.verify(asked)
            except Unavailable as failure:
                refused.append(failure.refusal.code)
        return refused

    assert asyncio.run(flood()) == [Code.REGISTER_UNAVAILABLE] * 200
    assert world.server.connections == world.memory.failures


def test_what_comes_too_late_for_one_request_is_there_for_the_next(world: World) -> None:
    """The request's own deadline ends its waiting, and not the question."""
    slow = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(main_unit())

    async def late(exchange: object) -> None:
        await asyncio.sleep(0.1)
        await octets(slow + main_unit())(exchange)  # type: ignore[arg-type]

    world.server.answer = honest(late)
    impatient = Registers([world.remembered], deadline=0.03)

    async def play() -> None:
        with pytest.raises(Unavailable, match=r"no answer within 0\.03 s"):
            await impatient.verify(ASKED)
        for _ in range(100):
            if impatient.check_current(ASKED):
                return
            await asyncio.sleep(0.01)  # A real server needs its real time.
        pytest.fail("the answer never came")

    asyncio.run(play())
