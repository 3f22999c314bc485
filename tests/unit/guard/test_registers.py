"""What registers are asked on account of a request, and what becomes of their answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from portvakt import (
    Code,
    ConfigurationError,
    Decision,
    FixedKeys,
    Guard,
    JwkSet,
    Refused,
    Requirement,
    Route,
    Routes,
    Unavailable,
)
from portvakt.guard import demand_blocking
from portvakt.guard.parts import Parts
from portvakt.guard.standing import Standing
from portvakt.registers.base import (
    Answer,
    Question,
    Reason,
    Register,
    RegisterHealth,
    Subject,
)
from portvakt.registers.verify import Registers
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt.policy.token import AccessToken

ISSUER = FakeIssuer(profile="helseid-test", alg="ES256")
EVERYTHING = ["security_level", "pid", "hpr_number", "organisation"]
CLIENT = "helseid://claims/client/claims"
PARENT, CHILD, SUPPLIER = (f"{CLIENT}/orgnr_{one}" for one in ("parent", "child", "supplier"))
HPR = "helseid://claims/hpr/hpr_number"
PID = "helseid://claims/identity/pid"


class Book(Register):
    """A register that answers as it is told, from memory or by being asked."""

    def __init__(self, name: str, subjects: Iterable[Subject], answer: Answer | None) -> None:
        self.name = name
        self.subjects = frozenset(subjects)
        self.asked: list[Question] = []
        self.opened = 0
        self._answer = answer

    def current(self, question: Question) -> Answer | None:
        return None

    async def fetch(self, question: Question) -> Answer:
        self.asked.append(question)
        if self._answer is None:
            raise OSError("down")
        return self._answer

    def health(self) -> RegisterHealth:
        return RegisterHealth(name=self.name, source="here")

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        self.opened -= 1


YES, NO = Answer(known=True), Answer(known=False, reason=Reason.UNKNOWN)


def guard_with(*books: Book, **route: Any) -> Guard:
    names = [book.name for book in books]
    rule = {"path": "/", "ignore": EVERYTHING, "registers": names, **route}
    return Guard.from_config(ISSUER.config(route=[rule]), clock=ISSUER.clock, registers=books)


def judge(guard: Guard, without: Iterable[str] = (), **claims: Any) -> Decision:
    return guard.check_blocking(ISSUER.request(ISSUER.token(claims=claims, without=without)))


def code_of(decision: Decision) -> Code | None:
    return None if decision.refusal is None else decision.refusal.code


@pytest.mark.parametrize(
    ("subject", "without", "question"),
    [
        ("organisation", (), Question(Subject.ORGANISATION, "100100673", "999977774")),
        ("organisation", (CHILD,), Question(Subject.ORGANISATION, "100100673")),
        ("organisation", (PARENT,), Question(Subject.ORGANISATION, "999977774")),
        ("supplier", (), Question(Subject.SUPPLIER, "313745392")),
        ("hpr_number", (), Question(Subject.HPR_NUMBER, "431001110")),
        ("pid", (), Question(Subject.PID, "17056600574")),
        ("client", (), Question(Subject.CLIENT, "test-client")),
    ],
)
def test_a_register_is_asked_for_what_it_knows_about(
    subject: str, without: tuple[str, ...], question: Question
) -> None:
    book = Book("book", [Subject(subject)], YES)
    assert judge(guard_with(book), without).admitted
    assert book.asked == [question]


def test_a_register_that_says_no_refuses() -> None:
    decision = judge(guard_with(Book("book", [Subject.PID], NO)))
    assert code_of(decision) is Code.REGISTER_DENIED
    assert decision.refusal is not None
    assert decision.refusal.detail == "book: pid: unknown"


def test_a_register_that_is_down_refuses_unless_the_route_says_otherwise() -> None:
    down = Book("down", [Subject.PID], None)
    refused = judge(guard_with(down))
    assert code_of(refused) is Code.REGISTER_UNAVAILABLE
    assert refused.response is not None
    assert refused.response.status == 503
    admitted = judge(guard_with(down, unsafe_on_unavailable="admit"))
    assert (admitted.admitted, admitted.unconfirmed) == (True, ("down",))
    # A "no" of another weighs more.
    both = guard_with(down, Book("no", [Subject.PID], NO), unsafe_on_unavailable="admit")
    assert code_of(judge(both)) is Code.REGISTER_DENIED


@pytest.mark.parametrize(
    ("subjects", "without"),
    [
        ([Subject.HPR_NUMBER], (HPR,)),
        ([Subject.PID], (PID,)),
        ([Subject.ORGANISATION], (PARENT, CHILD)),
        ([Subject.ORGANISATION], (PARENT, CHILD, SUPPLIER)),
        ([Subject.SUPPLIER], (SUPPLIER,)),
        ([Subject.SUPPLIER], (PARENT, CHILD, SUPPLIER)),
        ([Subject.PID, Subject.HPR_NUMBER], (PID, HPR)),
    ],
)
def test_a_token_with_nothing_to_confirm_is_refused_and_not_passed_over(
    subjects: list[Subject], without: tuple[str, ...]
) -> None:
    book = Book("book", subjects, YES)
    assert code_of(judge(guard_with(book), without)) is Code.IDENTITY_MISSING
    assert book.asked == []


def test_what_the_endpoint_demands_is_asked_as_well() -> None:
    book = Book("book", [Subject.PID], NO)
    guard = guard_with(Book("yes", [Subject.PID], YES))
    assert guard.parts.registers is not None
    two = Guard.from_config(
        ISSUER.config(api={"audience": "test-api", "ignore": EVERYTHING}),
        clock=ISSUER.clock,
        registers=[book],
    )
    request = ISSUER.request(ISSUER.token())
    assert two.check_blocking(request).admitted
    demand = Requirement.of(registers=["book"])
    assert code_of(two.check_blocking(request, demand)) is Code.REGISTER_DENIED
    assert code_of(asyncio.run(two.check(request, demand))) is Code.REGISTER_DENIED
    with pytest.raises(ConfigurationError, match="demand"):
        two.require(request, two.check_blocking(request), demand)
    # Asked for afterwards, as a framework's dependency does.
    decided = two.check_blocking(request)
    assert code_of(asyncio.run(two.demand(request, decided, demand))) is Code.REGISTER_DENIED
    asked = len(book.asked)
    assert code_of(demand_blocking(two, request, decided, demand)) is Code.REGISTER_DENIED
    assert len(book.asked) == asked + 1
    assert demand_blocking(two, request, decided, Requirement.of()) is decided
    assert len(book.asked) == asked + 1


def test_registers_that_nobody_has_are_not_passed_over() -> None:
    demand = Requirement.of(registers=["book"])
    keys = FixedKeys({ISSUER.trusted.issuer: JwkSet.from_object(ISSUER.jwks(), ["ES256"])})
    parts: dict[str, Any] = {"issuers": [ISSUER.trusted], "keys": keys, "clock": ISSUER.clock}
    rule = Route(path="/", methods=None, public=False, requirement=demand)
    for routes in (Routes([rule]), Routes(demand=demand)):
        with pytest.raises(ConfigurationError, match="registers"):
            Guard(**parts, routes=routes)
    guard, request = Guard(**parts), ISSUER.request(ISSUER.token())
    assert guard.check_blocking(request, Requirement.of()).admitted
    with pytest.raises(ConfigurationError, match="registers"):
        guard.check_blocking(request, demand)
    with pytest.raises(ConfigurationError, match="registers"):
        asyncio.run(guard.check(request, demand))
    others = Parts(registers=Registers([Book("other", [], YES)]))
    with pytest.raises(ConfigurationError, match="no register 'book'; there are: other"):
        Guard(**parts, routes=Routes([rule]), parts=others)
    other = Guard(**parts, parts=others)
    with pytest.raises(ConfigurationError, match="no register 'book'; there are: other"):
        other.check_blocking(request, demand)


def test_a_route_that_names_no_register_asks_none() -> None:
    book = Book("book", [Subject.PID], NO)
    guard = guard_with(book)
    open_route = Guard.from_config(
        ISSUER.config(route=[{"path": "/", "ignore": EVERYTHING}]),
        clock=ISSUER.clock,
        registers=[book],
    )
    assert judge(open_route).admitted
    assert book.asked == []
    assert guard.health().registers[0].name == "book"


def test_registers_are_opened_and_closed_with_the_guard() -> None:
    book = Book("book", [Subject.PID], YES)
    guard = guard_with(book)

    async def live() -> None:
        async with guard:
            assert book.opened == 1

    asyncio.run(live())
    assert book.opened == 0


class News(Standing):
    """What is known of revoked tokens: whatever a test says."""

    error: Refused | Unavailable | None = None

    def __init__(self) -> None:
        super().__init__(None)

    def check(self, token: AccessToken, now: float, *, admit_stale: bool = False) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.attack("CACHE-07")
@pytest.mark.parametrize(
    "error", [Refused(Code.TOKEN_REVOKED), Unavailable(Code.REVOCATION_UNAVAILABLE), None]
)
def test_what_is_revoked_while_a_register_is_asked_counts(
    error: Refused | Unavailable | None,
) -> None:
    news = News()

    class Slow(Book):
        async def fetch(self, question: Question) -> Answer:
            news.error = error
            return await super().fetch(question)

    slow = Slow("slow", [Subject.PID], YES)
    made = guard_with(slow)
    guard = Guard(
        issuers=made.issuers.values(),
        keys=made.keys,
        routes=made.routes,
        parts=made.parts._replace(standing=news),
        clock=ISSUER.clock,
    )
    decision = judge(guard)
    assert len(slow.asked) == 1
    assert code_of(decision) is (None if error is None else error.refusal.code)
    guard.home.leave()
