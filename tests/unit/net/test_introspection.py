"""Reference tokens asked about: whose they are, what is remembered, who waits for what."""

import asyncio
from typing import Any

import pytest

from asking import DOWN, INACTIVE, ISSUER, NOW, Asking, answered, claims_of
from keeping import at_home, others, settle
from portvakt.errors import ConfigurationError, Refused, Unavailable
from portvakt.net import introspected, question
from portvakt.net.address import FetchError
from portvakt.net.introspected import NEGATIVE
from portvakt.net.introspection import Introspection
from portvakt.net.keys import FixedKeys
from portvakt.net.question import Limits
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.token import AccessToken
from portvakt.refusal import Code

GOOD = "tok_good"
BAD = "tok_bad"


async def refusal(work: Any) -> Code:
    with pytest.raises(Refused) as caught:
        await work
    return caught.value.refusal.code


async def unavailable(work: Any) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await work
    assert caught.value.refusal.code.status == 503
    return caught.value


def asking(**how: Any) -> Asking:
    made = Asking(**how)
    made.out.answers[GOOD] = claims_of()
    return made


# Whose.


def another(name: str) -> TrustedIssuer:
    return TrustedIssuer(issuer=name, audience="test-api", algorithms=frozenset({"ES256"}))


def several(*prefixes: str) -> Introspection:
    made = asking()
    return Introspection(
        [
            made.endpoint(issuer=another(f"https://{index}.test"), prefix=prefix)
            for index, prefix in enumerate(prefixes)
        ],
        keys=FixedKeys({}),
    )


def test_a_token_without_a_dot_is_a_reference_and_one_with_a_dot_is_none() -> None:
    one = asking().introspection
    assert one.issuer_for(GOOD) is ISSUER.trusted
    assert one.issuer_for("A" * 4096) is ISSUER.trusted
    assert one.issuer_for("a+/~_-9==") is ISSUER.trusted
    for token in (ISSUER.token(), ".", "a.b", "a.", "€.", "x" * 5000 + "."):
        assert one.issuer_for(token) is None


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("A" * 4097, Code.TOKEN_TOO_LONG),
        ("€" * 5000, Code.TOKEN_TOO_LONG),
        ("", Code.TOKEN_ENCODING),
        ("=", Code.TOKEN_ENCODING),
        ("a=b", Code.TOKEN_ENCODING),
        ("a b", Code.TOKEN_ENCODING),
        ("a&b", Code.TOKEN_ENCODING),
        ("a\n", Code.TOKEN_ENCODING),
        ("a\0", Code.TOKEN_ENCODING),
        ("å", Code.TOKEN_ENCODING),
        ("\ud800", Code.TOKEN_ENCODING),
        ("%41", Code.TOKEN_ENCODING),
    ],
)
def test_what_has_the_form_of_no_token_is_asked_of_nobody(token: str, code: Code) -> None:
    with pytest.raises(Refused) as caught:
        asking().introspection.issuer_for(token)
    assert caught.value.refusal.code is code


def test_of_several_issuers_the_beginning_says_which_and_else_none() -> None:
    both = several("a_", "b_")
    for token, name in (("a_1", "https://0.test"), ("b_1", "https://1.test")):
        found = both.issuer_for(token)
        assert found is not None
        assert found.issuer == name
    for token in ("c_1", "A_1", "1a_", "a"):
        with pytest.raises(Refused) as caught:
            both.issuer_for(token)
        assert caught.value.refusal.code is Code.ISSUER_UNKNOWN


@pytest.mark.parametrize("prefixes", [("", "a"), ("a", "a"), ("a", "ab"), ("ab", "a"), ("", "")])
def test_issuers_whose_tokens_cannot_be_told_apart_are_no_policy(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="prefix"):
        several(*prefixes)


def test_an_issuer_is_asked_at_one_place_and_somebody_is() -> None:
    with pytest.raises(ConfigurationError, match="no issuer"):
        several()
    made = asking()
    with pytest.raises(ConfigurationError, match="two places"):
        Introspection(
            [made.endpoint(prefix="a"), made.endpoint(prefix="b")],
            keys=FixedKeys({}),
        )


# What is remembered.


@at_home
async def test_the_first_request_asks_and_the_next_ones_read() -> None:
    made = asking()
    assert made.current(GOOD) is None
    token = await made.fetch(GOOD)
    assert token.by_reference
    assert token.subject == claims_of()["sub"]
    assert token.key_thumbprint is None
    assert token.handles == frozenset()
    assert made.current(GOOD) is token
    assert await made.fetch(GOOD) is token
    assert made.out.asked == [GOOD]


@at_home
async def test_a_token_that_can_be_revoked_has_its_handles() -> None:
    made = asking(revocable=True)
    assert len((await made.fetch(GOOD)).handles) == 4


@at_home
async def test_an_answer_serves_for_as_long_as_each_caller_allows() -> None:
    made = asking()
    token = await made.fetch(GOOD)
    made.advance(9.999)
    assert made.current(GOOD, 10.0) is token
    assert made.current(GOOD, 5.0) is None
    assert made.current(GOOD, 0.0) is None
    assert made.current(GOOD, float("nan")) is None
    made.advance(0.001)
    assert made.current(GOOD, 10.0) is None
    assert made.current(GOOD, 10.5) is token


@at_home
async def test_its_age_counts_from_the_beginning_of_the_exchange() -> None:
    made = asking()
    made.out.open.clear()
    waiting = made.start(GOOD)
    await settle()
    made.advance(4)
    made.out.open.set()
    token = await waiting
    assert made.current(GOOD, 4.5) is token
    assert made.current(GOOD, 4.0) is None


@at_home
async def test_a_machine_that_was_suspended_does_not_trust_its_memory() -> None:
    made = asking()
    await made.fetch(GOOD)
    made.wall.advance(10)  # The other clock stood still.
    assert made.current(GOOD, 10.0) is None


@at_home
async def test_it_serves_until_the_token_expires_and_not_before_it_begins() -> None:
    made = asking()
    exp = NOW + 100
    made.out.answers[GOOD] = claims_of(exp=exp, nbf=NOW)
    token = await made.fetch(GOOD)
    for at, serves in (
        (exp + 4.999, True),
        (exp + 5, False),
        (NOW - 5, True),
        (NOW - 5.001, False),
    ):
        made.wall.set(at)
        assert (made.current(GOOD, 1e9) is token) is serves


@at_home
async def test_a_no_is_remembered_for_a_moment_whoever_asks() -> None:
    made = asking()
    assert await refusal(made.fetch(BAD)) is Code.TOKEN_INACTIVE
    for staleness in (10.0, 0.0):
        with pytest.raises(Refused) as caught:
            made.current(BAD, staleness)
        assert caught.value.refusal.code is Code.TOKEN_INACTIVE
        assert await refusal(made.fetch(BAD, staleness)) is Code.TOKEN_INACTIVE
    assert made.out.asked == [BAD]
    made.advance(NEGATIVE)
    assert made.current(BAD) is None
    made.out.answers[BAD] = claims_of()
    assert (await made.fetch(BAD)).by_reference
    assert made.current(BAD) is not None


@at_home
async def test_what_is_wrong_with_a_token_is_remembered_with_its_reason() -> None:
    made = asking()
    made.out.answers[BAD] = claims_of(aud="another-api")
    assert await refusal(made.fetch(BAD)) is Code.AUDIENCE_WRONG
    assert await refusal(made.fetch(BAD)) is Code.AUDIENCE_WRONG
    assert made.out.asked == [BAD]


@at_home
async def test_a_no_takes_the_place_of_an_earlier_yes_for_everybody() -> None:
    made = asking()
    await made.fetch(GOOD)
    made.out.answers[GOOD] = INACTIVE
    assert await refusal(made.fetch(GOOD, 0.0)) is Code.TOKEN_INACTIVE
    made.advance(NEGATIVE)
    assert made.current(GOOD, 1e9) is None


@at_home
async def test_an_error_is_no_answer_and_takes_no_answers_place() -> None:
    made = asking()
    token = await made.fetch(GOOD)
    made.advance(3)
    made.out.answers[GOOD] = DOWN
    error = await unavailable(made.fetch(GOOD, 1.0))
    assert error.refusal.code is Code.INTROSPECTION_UNAVAILABLE
    assert made.current(GOOD, 10.0) is token
    assert made.current(GOOD, 1.0) is None
    made.out.answers[GOOD] = claims_of()
    assert await made.fetch(GOOD, 1.0) is not token


@at_home
async def test_memory_is_bounded_and_good_and_bad_do_not_meet() -> None:
    made = asking(capacity=10)
    for index in range(25):
        made.out.answers[f"good{index}"] = claims_of()
        await made.fetch(f"good{index}")
    for index in range(25):
        await refusal(made.fetch(f"bad{index}"))
    memory = made.introspection._memory
    assert (memory.good, memory.bad) == (10, 10)
    assert repr(memory) == "Introspected(good=10, bad=10)"
    assert made.current("good14") is None
    assert made.current("good15") is not None
    assert made.current("bad14") is None  # and asked about again
    with pytest.raises(Refused):
        made.current("bad15")


@at_home
async def test_what_was_asked_about_again_is_not_the_oldest() -> None:
    made = asking(capacity=2)
    for name in ("a", "b", "a", "c"):
        made.out.answers[name] = claims_of()
        await made.fetch(name, 0.0)
    assert made.current("a") is not None
    assert made.current("b") is None
    await made.fetch("c", 0.0)
    assert made.current("a") is not None  # Nothing had to go for what was there.


# Who waits for what.


@at_home
async def test_a_thousand_first_requests_are_one_question() -> None:
    made = asking()
    made.out.open.clear()
    waiting = [made.start(GOOD, float(index % 2)) for index in range(1000)]
    await settle()
    assert made.introspection.health()[0].questions == 1
    made.out.open.set()
    assert len({id(token) for token in await asyncio.gather(*waiting)}) == 1
    assert made.out.asked == [GOOD]


@at_home
async def test_with_no_staleness_nobody_is_served_by_a_question_from_before_he_came() -> None:
    made = asking()
    made.out.open.clear()
    first = made.start(GOOD, 0.0)
    await settle()
    # Revoked now: the first answer is on its way already, and says otherwise.
    made.out.answers[GOOD] = INACTIVE
    later = [made.start(GOOD, 0.0) for _ in range(100)]
    patient = made.start(GOOD, 10.0)
    await settle()
    made.out.open.set()
    assert isinstance(await first, AccessToken)
    assert isinstance(await patient, AccessToken)
    for one in later:
        assert await refusal(one) is Code.TOKEN_INACTIVE
    assert made.out.asked == [GOOD, GOOD]


@at_home
async def test_an_answer_that_took_too_long_is_asked_for_anew() -> None:
    made = asking()
    made.out.open.clear()
    first = made.start(GOOD)
    await settle()
    later = made.start(GOOD, 2.0)
    await settle()
    made.advance(2)
    made.out.open.set()
    assert await first is not await later
    assert made.out.asked == [GOOD, GOOD]


@at_home
async def test_an_answer_that_fails_fails_for_all_who_wait() -> None:
    made = asking()
    made.out.answers[GOOD] = DOWN
    made.out.open.clear()
    waiting = [made.start(GOOD), made.start(GOOD, 0.0)]
    await settle()
    waiting.append(made.start(GOOD, 0.0))
    await settle()
    made.out.open.set()
    errors = [await unavailable(one) for one in waiting]
    assert len({id(error) for error in errors}) == 3
    assert made.out.asked == [GOOD]


@at_home
async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    made = asking()
    made.out.open.clear()
    one, other = made.start(GOOD), made.start(GOOD)
    await settle()
    one.cancel()
    await settle()
    made.out.open.set()
    assert (await other).by_reference
    assert one.cancelled()
    assert made.out.asked == [GOOD]


@at_home
async def test_a_token_that_expired_while_its_issuer_was_asked_has_expired() -> None:
    made = asking()
    made.out.answers[GOOD] = claims_of(exp=NOW + 100)
    made.out.open.clear()
    early, late = made.start(GOOD), None
    await settle()
    late = asyncio.ensure_future(
        made.introspection.fetch(made.issuer, GOOD, 10.0, NOW + 105)  # another clock than ours
    )
    await settle()
    made.out.open.set()
    assert (await early).by_reference
    assert await refusal(late) is Code.TOKEN_EXPIRED
    assert await refusal(made.introspection.fetch(made.issuer, GOOD, 0.0, NOW - 500)) in {
        Code.NOT_YET_VALID,
        Code.ISSUED_IN_FUTURE,
    }


@at_home
async def test_a_token_that_begins_after_the_request_is_not_valid_yet() -> None:
    made = asking()
    made.out.answers[GOOD] = claims_of(nbf=NOW + 5)
    made.out.open.clear()
    first = made.start(GOOD)
    await settle()
    second = asyncio.ensure_future(made.introspection.fetch(made.issuer, GOOD, 10.0, NOW - 1))
    await settle()
    made.out.open.set()
    assert (await first).by_reference
    assert await refusal(second) is Code.NOT_YET_VALID


@at_home
async def test_what_says_when_it_begins_and_what_does_not() -> None:
    made = asking()
    without = {name: value for name, value in claims_of().items() if name != "nbf"}
    for claims in (claims_of(nbf=NOW - 5), without):
        made.out.answers["t"] = claims
        assert await made.fetch("t", 0.0) is made.current("t")
        made.wall.set(NOW - 31)  # Further back than iat may lie ahead.
        assert made.current("t", 1e9) is None
        made.wall.set(NOW)


# How much is asked.


@at_home
async def test_questions_side_by_side_and_in_wait_are_bounded() -> None:
    made = asking(limits=Limits(side_by_side=3, queue=5))
    made.out.open.clear()
    waiting = [made.start(f"invented{index}") for index in range(8)]
    await settle()
    for index in range(3):
        error = await unavailable(made.fetch(f"more{index}"))
        assert error.retry_after == 1
    # Who asks about the same waits with those who do.
    same = made.start("invented7")
    await settle()
    assert made.out.asked == ["invented0", "invented1", "invented2"]
    made.out.open.set()
    for one in (*waiting, same):
        assert await refusal(one) is Code.TOKEN_INACTIVE
    assert made.out.at_once == 3
    assert len(made.out.asked) == 8
    assert made.introspection.health()[0].questions == 0


@at_home
async def test_invented_tokens_keep_no_known_one_from_being_asked_about() -> None:
    made = asking(limits=Limits(side_by_side=2, queue=2))
    token = await made.fetch(GOOD)
    made.out.open.clear()
    invented = [made.start(f"invented{index}") for index in range(50)]
    await settle()
    assert made.current(GOOD) is token
    again = made.start(GOOD, 0.0)
    await settle()
    assert made.out.asked[-1] == GOOD
    made.out.open.set()
    assert (await again).by_reference
    codes = [type(one) for one in await asyncio.gather(*invented, return_exceptions=True)]
    assert codes.count(Refused) == 4
    assert codes.count(Unavailable) == 46


@at_home
async def test_those_who_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(question, "_MAX_WAITERS", 5)
    made = asking()
    made.out.open.clear()
    waiting = [made.start(GOOD) for _ in range(5)]
    await settle()
    await unavailable(made.fetch(GOOD))
    made.out.open.set()
    await asyncio.gather(*waiting)
    for _ in range(6):
        assert (await made.fetch(GOOD, 0.0)).by_reference


@at_home
async def test_who_waits_for_a_turn_in_vain_is_told_in_time() -> None:
    made = asking(limits=Limits(side_by_side=1, queue=5), timeout=0.05)
    made.out.open.clear()
    waiting = [made.start(f"invented{index}") for index in range(2)]
    for one in waiting:
        assert "no answer within" in str(await unavailable(one))
    assert made.out.asked[0] == "invented0"
    assert made.out.at_once == 1
    made.out.open.set()
    # Two of them are no outage.
    assert (await made.fetch(GOOD)).by_reference


@at_home
async def test_who_never_had_a_turn_says_nothing_of_the_issuer() -> None:
    made = asking(limits=Limits(side_by_side=1, queue=9), timeout=0.02)
    turns = made.introspection._asked[made.issuer.issuer]._at_desk().others.turns
    await turns.acquire()
    waiting = [made.start(f"invented{index}") for index in range(5)]
    for one in waiting:
        await unavailable(one)
    assert made.out.asked == []
    turns.release()
    assert (await made.fetch(GOOD)).by_reference


@at_home
async def test_an_issuer_that_fails_is_left_alone_and_tried_with_one_question() -> None:
    made = asking(limits=Limits(first_pause=4.0, last_pause=6.0))
    for index in range(3):
        made.out.answers[f"t{index}"] = DOWN
        error = await unavailable(made.fetch(f"t{index}"))
        assert str(error.refusal.detail) == "the server answered 500"
    error = await unavailable(made.fetch("t3"))
    assert error.refusal.detail is not None
    assert "left alone" in error.refusal.detail
    assert error.retry_after in {3, 4}
    assert len(made.out.asked) == 3
    made.advance(4)
    made.out.answers["t4"] = DOWN
    made.out.open.clear()
    probe = made.start("t4")
    await settle()
    assert "goes ahead" in str(await unavailable(made.fetch("t5")))
    made.out.open.set()
    await unavailable(probe)
    made.advance(4)
    assert (await unavailable(made.fetch("t6"))).retry_after in {1, 2}  # twice four, at most six
    made.advance(2)
    made.out.open.clear()
    probe = made.start(GOOD)
    await settle()
    await unavailable(made.fetch("t7"))
    made.out.open.set()
    assert (await probe).by_reference
    made.out.open.clear()
    waiting = [made.start(f"t{index}") for index in range(8, 12)]
    await settle()
    assert made.introspection.health()[0].questions == 4
    made.out.open.set()
    await asyncio.gather(*waiting, return_exceptions=True)


@at_home
async def test_failures_of_one_moment_count_once() -> None:
    made = asking(limits=Limits(first_pause=4.0, last_pause=1000.0))
    made.out.open.clear()
    for index in range(16):
        made.out.answers[f"t{index}"] = DOWN
    waiting = [made.start(f"t{index}") for index in range(16)]
    await settle()
    made.advance(1)
    made.out.open.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    made.advance(4)
    assert (await made.fetch(GOOD)).by_reference


@at_home
async def test_known_tokens_are_asked_about_while_invented_ones_fail() -> None:
    made = asking()
    await made.fetch(GOOD)
    for index in range(3):
        made.out.answers[f"poison{index}"] = DOWN
        await unavailable(made.fetch(f"poison{index}"))
    await unavailable(made.fetch("honest"))
    assert (await made.fetch(GOOD, 0.0)).by_reference


@at_home
async def test_an_issuer_that_wants_to_be_left_alone_is() -> None:
    made = asking()
    made.out.answers[BAD] = FetchError("the server answered 503", retry_after=7.0)
    assert (await unavailable(made.fetch(BAD))).retry_after == 7
    assert (await unavailable(made.fetch("t"))).retry_after == 7
    made.advance(7)
    assert (await made.fetch(GOOD)).by_reference
    made.out.answers["t2"] = FetchError("the server answered 503", retry_after=1e9)
    assert (await unavailable(made.fetch("t2"))).retry_after == 30
    assert (await unavailable(made.fetch("t"))).retry_after == 30


@at_home
async def test_an_answer_that_nobody_understands_says_nothing_of_the_issuer() -> None:
    made = asking()
    for index in range(10):
        made.out.answers[f"t{index}"] = answered(b"?", status=400)
        assert "400" in str(await unavailable(made.fetch(f"t{index}")))
    assert (await made.fetch(GOOD)).by_reference
    assert len(made.out.asked) == 11


# Faults, ends, and what is shown.


@at_home
async def test_a_fault_of_ours_admits_nobody_and_ends_nothing() -> None:
    made = asking()
    made.out.answers[BAD] = ZeroDivisionError("tok_bad")
    error = await unavailable(made.fetch(BAD))
    assert error.refusal.detail == "internal error: ZeroDivisionError"
    assert (await made.fetch(GOOD)).by_reference


@at_home
async def test_a_status_that_nobody_fetches_is_unavailable() -> None:
    made = Asking()
    issuer = TrustedIssuer(
        issuer=made.issuer.issuer,
        audience=made.issuer.audience,
        algorithms=made.issuer.algorithms,
        status_lists=frozenset({"https://issuer.test/1"}),
    )
    one = Introspection([made.endpoint(issuer=issuer)], keys=FixedKeys({}), clock=made.clock)
    status = {"status_list": {"uri": "https://evil.test/1", "idx": 1}}
    made.out.answers[GOOD] = claims_of(status=status)
    error = await unavailable(one.fetch(issuer, GOOD, 10.0, NOW))
    assert error.refusal.code is Code.REVOCATION_UNAVAILABLE
    assert one.current(issuer, GOOD, 10.0, NOW) is None


@at_home
async def test_closing_ends_what_goes_on_and_forgets_and_later_it_starts_anew() -> None:
    made = asking()
    await made.fetch(GOOD)
    made.out.open.clear()
    waiting = [made.start(GOOD, 0.0), made.start(BAD)]
    await settle()
    made.introspection.close()
    for one in waiting:
        assert "stopped" in str(await unavailable(one))
    assert not others()
    assert made.current(GOOD) is None
    made.out.open.set()
    assert (await made.fetch(GOOD)).by_reference
    made.introspection.close()
    made.introspection.close()


def test_on_another_loop_it_starts_anew() -> None:
    made = asking()
    parent = asyncio.new_event_loop()

    async def leave_it_hanging() -> asyncio.Task[AccessToken]:
        made.out.open = asyncio.Event()
        waiting = made.start(GOOD)
        await settle()
        return waiting

    waiting = parent.run_until_complete(leave_it_hanging())

    async def go_on() -> AccessToken:
        made.out.open = asyncio.Event()
        made.out.open.set()
        return await made.fetch(GOOD)

    assert asyncio.run(go_on()).by_reference

    async def close() -> None:
        made.introspection.close()

    parent.run_until_complete(asyncio.sleep(0))
    asyncio.run(close())
    assert not waiting.done()  # Nobody else's is touched.
    for task in asyncio.all_tasks(parent):
        task.cancel()
    parent.run_until_complete(asyncio.sleep(0))
    parent.run_until_complete(asyncio.sleep(0))
    parent.close()


@at_home
async def test_health_says_how_asking_goes() -> None:
    made = asking()
    (health,) = made.introspection.health()
    assert health.issuer == ISSUER.trusted.issuer
    assert health.source == "https://issuer.test/introspect"
    assert (health.last_answer_age, health.last_error, health.last_error_age) == (None, None, None)
    await made.fetch(GOOD)
    made.advance(3)
    made.out.answers[BAD] = DOWN
    await unavailable(made.fetch(BAD))
    made.advance(2)
    (health,) = made.introspection.health()
    assert health.last_answer_age == 5
    assert health.last_error == "the server answered 500"
    assert health.last_error_age == 2
    await made.fetch(GOOD, 0.0)
    assert made.introspection.health()[0].last_error is None


@at_home
async def test_nothing_shows_a_token_or_a_secret() -> None:
    made = asking()
    await made.fetch(GOOD)
    said = next(iter(made.introspection._memory._good.values()))
    shown = [
        made.introspection,
        made.introspection._memory,
        made.endpoint(),
        made.endpoint().__rich_repr__(),
        made.endpoint().client,
        said,
        said.__rich_repr__(),
    ]
    for one in shown:
        for secret in (GOOD, "secret", claims_of()["sub"]):
            assert secret not in repr(one)
    assert introspected.NEGATIVE <= 5
