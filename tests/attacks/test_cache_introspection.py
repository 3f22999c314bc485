"""Family CACHE, for reference tokens: what is remembered of an issuer's word, and for how long."""

import math

import pytest

from asking import DOWN, INACTIVE, NOW, Asking, answered, claims_of
from keeping import at_home, settle
from portvakt.errors import Refused, Unavailable
from portvakt.net.introspected import NEGATIVE, Introspected
from portvakt.net.introspection import Introspection
from portvakt.net.keys import FixedKeys
from portvakt.net.question import Limits
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code

TOKEN = "ref_0123456789_abcdefghijklmnopqrstuvwxyz_0123456789"


def asking(**how: object) -> Asking:
    made = Asking(**how)  # type: ignore[arg-type]
    made.out.answers[TOKEN] = claims_of()
    return made


async def code(made: Asking, token: str, max_staleness: float = 10.0) -> Code | None:
    try:
        await made.fetch(token, max_staleness)
    except (Refused, Unavailable) as error:
        return error.refusal.code
    return None


@at_home
@pytest.mark.attack("CACHE-01")
async def test_every_character_of_a_remembered_token_counts() -> None:
    made = asking()
    assert await code(made, TOKEN) is None
    for position in range(len(TOKEN)):
        changed = "B" if TOKEN[position] != "B" else "C"
        other = TOKEN[:position] + changed + TOKEN[position + 1 :]
        assert made.current(other) is None, position
    for other in (TOKEN[1:], TOKEN[:-1], f"{TOKEN}=", f"A{TOKEN}", TOKEN.upper(), f"{TOKEN}A"):
        assert made.current(other) is None
        assert await code(made, other) is Code.TOKEN_INACTIVE
    assert made.current(TOKEN) is not None


@pytest.mark.attack("CACHE-01")
def test_what_is_remembered_is_found_by_a_digest_that_nobody_can_foresee() -> None:
    one, other = Introspected(), Introspected()
    digest = one.digest("https://a.test", TOKEN)
    assert len(digest) == 32
    assert digest == one.digest("https://a.test", TOKEN) != other.digest("https://a.test", TOKEN)
    assert one.digest("https://a.test", "b") != one.digest("https://a.testb", "")


@at_home
@pytest.mark.twin("CACHE-01")
async def test_the_same_token_is_remembered() -> None:
    made = asking()
    assert await code(made, TOKEN) is None
    assert made.current("".join(list(TOKEN))) is not None
    assert made.out.asked == [TOKEN]


@at_home
@pytest.mark.attack("CACHE-02")
@pytest.mark.parametrize("exp", [NOW + 60, NOW + 59.7])
async def test_a_remembered_token_expires_with_any_other_to_the_last_bit(exp: float) -> None:
    for at, admitted in ((math.nextafter(exp + 5, 0), True), (exp + 5, False)):
        warm, cold = asking(), asking()
        for made in (warm, cold):
            made.out.answers[TOKEN] = claims_of(exp=exp)
        assert await code(warm, TOKEN) is None
        warm.wall.set(at)
        cold.wall.set(at)
        assert (warm.current(TOKEN, 1e9) is not None) is admitted
        assert (await code(cold, TOKEN) is None) is admitted


@at_home
@pytest.mark.twin("CACHE-02")
async def test_a_remembered_token_serves_until_then() -> None:
    made = asking()
    assert await code(made, TOKEN) is None
    made.wall.advance(299)
    assert made.current(TOKEN, 1e9) is not None


def two_issuers(made: Asking) -> tuple[Introspection, TrustedIssuer, TrustedIssuer]:
    """Two issuers that are asked at one place, where only the first one's tokens are known."""
    other = TrustedIssuer(
        issuer="https://other.test", audience="test-api", algorithms=frozenset({"ES256"})
    )
    endpoints = [made.endpoint(prefix="ref_"), made.endpoint(issuer=other, prefix="other_")]
    one = Introspection(endpoints, keys=FixedKeys({}), clock=made.clock)
    return one, made.issuer, other


@at_home
@pytest.mark.attack("CACHE-04")
async def test_what_one_issuer_says_of_a_token_is_nothing_of_anothers() -> None:
    made = asking()
    both, first, other = two_issuers(made)
    await both.fetch(first, TOKEN, 10.0, NOW)
    assert both.current(other, TOKEN, 10.0, NOW) is None
    with pytest.raises(Refused) as caught:
        await both.fetch(other, TOKEN, 10.0, NOW)
    assert caught.value.refusal.code is Code.ISSUER_CHANGED
    assert both.current(first, TOKEN, 10.0, NOW) is not None  # nor does its no


@at_home
@pytest.mark.attack("CACHE-04")
async def test_one_guards_memory_is_not_anothers() -> None:
    one, other = asking(), asking()
    assert await code(one, TOKEN) is None
    assert other.current(TOKEN) is None
    other.out.answers[TOKEN] = INACTIVE
    assert await code(other, TOKEN) is Code.TOKEN_INACTIVE
    assert one.current(TOKEN) is not None


@at_home
@pytest.mark.twin("CACHE-04")
async def test_each_issuers_word_is_remembered_as_its_own() -> None:
    made = asking()
    both, first, other = two_issuers(made)
    made.out.answers["other_1"] = claims_of(iss="https://other.test")
    await both.fetch(first, TOKEN, 10.0, NOW)
    await both.fetch(other, "other_1", 10.0, NOW)
    assert both.current(first, TOKEN, 10.0, NOW) is not None
    assert both.current(other, "other_1", 10.0, NOW) is not None


@at_home
@pytest.mark.attack("CACHE-06")
@pytest.mark.parametrize(
    "failure", [DOWN, answered(b""), answered({"active": "true"}), ZeroDivisionError()]
)
async def test_an_error_is_remembered_as_neither_yes_nor_no(failure: object) -> None:
    made = asking()
    made.out.answers["t"] = failure
    for _ in range(2):
        assert await code(made, "t") is Code.INTROSPECTION_UNAVAILABLE
        assert made.current("t", 1e9) is None
    assert made.out.asked == ["t", "t"]
    assert (made.introspection._memory.good, made.introspection._memory.bad) == (0, 0)
    made.out.answers["t"] = claims_of()
    assert await code(made, "t") is None


@at_home
@pytest.mark.attack("CACHE-06")
async def test_a_no_is_not_for_ever() -> None:
    made = asking()
    assert await code(made, "t") is Code.TOKEN_INACTIVE
    made.out.answers["t"] = claims_of()
    assert await code(made, "t") is Code.TOKEN_INACTIVE
    made.advance(NEGATIVE)
    assert await code(made, "t") is None


@at_home
@pytest.mark.twin("CACHE-06")
async def test_an_answer_outlives_an_error_that_comes_after_it() -> None:
    made = asking()
    assert await code(made, TOKEN) is None
    made.out.answers[TOKEN] = DOWN
    assert await code(made, TOKEN, 0.0) is Code.INTROSPECTION_UNAVAILABLE
    assert await code(made, TOKEN) is None


@at_home
@pytest.mark.attack("CACHE-07")
async def test_a_revoked_token_is_refused_within_the_staleness_that_is_allowed() -> None:
    made = asking()
    assert await code(made, TOKEN, 5.0) is None
    made.out.answers[TOKEN] = INACTIVE
    made.advance(4.999)
    assert await code(made, TOKEN, 5.0) is None
    made.advance(0.001)
    assert await code(made, TOKEN, 5.0) is Code.TOKEN_INACTIVE
    # And from then on also where more would be allowed.
    made.advance(NEGATIVE)
    assert made.current(TOKEN, 1e9) is None


@at_home
@pytest.mark.attack("CACHE-07")
async def test_with_no_staleness_a_revoked_token_is_refused_by_the_next_question() -> None:
    made = asking()
    assert await code(made, TOKEN) is None
    made.out.answers[TOKEN] = INACTIVE
    assert await code(made, TOKEN, 0.0) is Code.TOKEN_INACTIVE


@at_home
@pytest.mark.attack("CACHE-07")
async def test_nor_does_an_answer_from_before_the_revocation_serve_who_came_after_it() -> None:
    made = asking()
    made.out.open.clear()
    before = made.start(TOKEN, 0.0)
    await settle()
    made.out.answers[TOKEN] = INACTIVE
    after = made.start(TOKEN, 0.0)
    await settle()
    made.out.open.set()
    assert (await before).by_reference
    with pytest.raises(Refused):
        await after


@at_home
@pytest.mark.twin("CACHE-07")
async def test_a_token_that_is_not_revoked_is_asked_about_once_in_that_time() -> None:
    made = asking()
    for _ in range(50):
        assert await code(made, TOKEN, 10.0) is None
        made.advance(1)
    assert len(made.out.asked) == 5


@at_home
@pytest.mark.attack("CACHE-09")
async def test_invented_tokens_fill_neither_memory_nor_the_issuers_time() -> None:
    made = asking(capacity=20, limits=Limits(side_by_side=4, queue=16))
    assert await code(made, TOKEN) is None
    for turn in range(20):
        made.out.open.clear()
        invented = [made.start(f"x{turn}_{index}") for index in range(50)]
        await settle()
        assert made.introspection.health()[0].questions == 20
        assert made.current(TOKEN) is not None
        made.out.open.set()
        for one in invented:
            with pytest.raises((Refused, Unavailable)):
                await one
    assert made.out.at_once == 4
    assert len(made.out.asked) == 1 + 20 * 20
    assert (made.introspection._memory.good, made.introspection._memory.bad) == (1, 20)


@at_home
@pytest.mark.twin("CACHE-09")
async def test_as_many_good_tokens_as_there_is_room_for_stay() -> None:
    made = asking(capacity=20)
    for index in range(20):
        made.out.answers[f"t{index}"] = claims_of(jti=str(index))
        assert await code(made, f"t{index}") is None
    found = [made.current(f"t{index}") for index in range(20)]
    assert [one.token_id for one in found if one is not None] == [str(i) for i in range(20)]
