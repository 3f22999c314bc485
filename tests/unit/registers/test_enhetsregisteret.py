"""The open API: what it is asked for, and what of its answers is an answer."""

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

from portvakt.errors import ConfigurationError, Unavailable
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched
from portvakt.registers.base import Answer, Question, Reason, Subject
from portvakt.registers.enhetsregisteret import OPEN_API, Enhetsregisteret
from unit.registers.conftest import (
    CHILD,
    ORGANISATION,
    OTHER,
    YES,
    main_unit,
    organisation,
    sub_unit,
)

if TYPE_CHECKING:
    from portvakt.net.fetch import Fetch

Reply = tuple[int, bytes] | FetchError
MAIN, SUB = f"{OPEN_API}/enheter", f"{OPEN_API}/underenheter"


class Server:
    """Stands in for what is fetched: a reply for each URL, 404 for the others."""

    def __init__(self, replies: Mapping[str, Reply], media_type: str = "application/json") -> None:
        self.replies = replies
        self.media_type = media_type
        self.asked: list[str] = []
        self.accepts: list[str] = []

    async def send(
        self, method: str, url: str, *, accept: str, accepted: Collection[int]
    ) -> Fetched:
        self.asked.append(url)
        self.accepts.append(accept)
        await asyncio.sleep(0)
        reply = self.replies.get(url, (404, b""))
        if isinstance(reply, FetchError):
            raise reply
        assert method == "GET"
        assert reply[0] in accepted
        return Fetched(reply[0], (("content-type", self.media_type),), reply[1])


def register(server: Server, **options: Any) -> Enhetsregisteret:
    return Enhetsregisteret(cast("Fetch", server), **options)


def answer(server: Server, question: Question, **options: Any) -> Answer | str:
    try:
        return asyncio.run(register(server, **options).fetch(question))
    except Unavailable as failure:
        return failure.refusal.detail or ""


def no(reason: Reason) -> Answer:
    return Answer(known=False, reason=reason)


def test_an_organisation_is_asked_for_among_the_main_units() -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": (200, main_unit())})
    assert answer(server, organisation()) == YES
    assert answer(server, Question(Subject.SUPPLIER, ORGANISATION)) == YES
    assert server.asked == [f"{MAIN}/{ORGANISATION}"] * 2
    assert server.accepts[0].startswith("application/vnd.brreg.enhetsregisteret.enhet.v1+json")


def test_a_child_is_asked_for_among_the_sub_units_at_the_same_time() -> None:
    server = Server(
        {
            f"{MAIN}/{ORGANISATION}": (200, main_unit()),
            f"{SUB}/{CHILD}": (200, sub_unit()),
        }
    )
    assert answer(server, organisation(child=CHILD)) == YES
    assert server.asked == [f"{MAIN}/{ORGANISATION}", f"{SUB}/{CHILD}"]
    assert server.accepts[1].startswith("application/vnd.brreg.enhetsregisteret.underenhet.v1")


def test_a_child_may_be_a_main_unit_and_lie_deeper() -> None:
    server = Server(
        {
            f"{MAIN}/{ORGANISATION}": (200, main_unit()),
            f"{MAIN}/{OTHER}": (200, main_unit(OTHER, overordnetEnhet=ORGANISATION)),
            f"{MAIN}/{CHILD}": (200, main_unit(CHILD, overordnetEnhet=OTHER)),
        }
    )
    assert answer(server, organisation(child=CHILD)) == YES
    assert server.asked[-1] == f"{MAIN}/{OTHER}"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((404, b""), Reason.UNKNOWN),
        ((410, b""), Reason.DELETED),
        ((410, b'{"organisasjonsnummer": "974589095"}'), Reason.DELETED),
        ((200, main_unit(slettedato="2024-02-29", konkurs=...)), Reason.DELETED),
        ((200, main_unit(konkurs=True)), Reason.BANKRUPT),
        ((200, main_unit(underAvvikling=True)), Reason.WINDING_UP),
        (
            (200, main_unit(underTvangsavviklingEllerTvangsopplosning=True)),
            Reason.FORCED_WINDING_UP,
        ),
    ],
)
def test_what_is_not_there_or_not_right_is_not_known(reply: Reply, reason: Reason) -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": reply, f"{SUB}/{CHILD}": (200, sub_unit())})
    assert answer(server, organisation()) == no(reason)
    assert answer(server, organisation(child=CHILD)) == no(reason)


def test_what_is_tolerated_is_known() -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": (200, main_unit(underAvvikling=True))})
    assert answer(server, organisation(), tolerate=["winding_up"]) == YES


def test_what_is_no_number_is_asked_of_nobody() -> None:
    server = Server({})
    assert answer(server, organisation("974589095/../..")) == no(Reason.UNKNOWN)
    assert server.asked == []


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((200, main_unit(OTHER)), "about another unit than the one asked for"),
        ((200, b'{"konkurs": true, "konkurs": false}'), "a name is repeated"),
        ((200, b"[" * 100_000), "nested deeper"),
        ((200, main_unit(konkurs=None)), "does not say whether it is bankrupt"),
        ((200, main_unit(konkurs="false")), "missing or of the wrong type"),
        ((200, b""), "JSON: malformed"),
        (FetchError("the server answered 500"), "the server answered 500"),
    ],
)
def test_what_is_no_answer_is_a_failure(reply: Reply, reason: str) -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": reply, f"{SUB}/{CHILD}": (200, sub_unit())})
    for question in (organisation(), organisation(child=CHILD)):
        found = answer(server, question)
        assert isinstance(found, str)
        assert reason in found
        assert ORGANISATION not in found


@pytest.mark.parametrize("status", [200, 404, 410])
def test_a_page_for_people_is_no_answer_of_the_register(status: int) -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": (status, main_unit())}, "text/html")
    assert answer(server, organisation()) == f"the answer ({status}) is a page of HTML"


def test_units_in_a_circle_are_no_answer() -> None:
    server = Server(
        {
            f"{MAIN}/{ORGANISATION}": (200, main_unit()),
            f"{SUB}/{CHILD}": (200, sub_unit(parent=OTHER)),
            f"{MAIN}/{OTHER}": (200, main_unit(OTHER, overordnetEnhet=CHILD)),
        }
    )
    assert answer(server, organisation(child=CHILD)) == "units above one another in a circle"


@pytest.mark.parametrize(("said", "told"), [(None, 1), (0.0, 1), (6.5, 7)])
def test_the_caller_is_told_when_the_register_wants_to_be_asked_again(
    said: float | None, told: int
) -> None:
    server = Server({f"{MAIN}/{ORGANISATION}": FetchError("busy", retry_after=said)})
    with pytest.raises(Unavailable) as failure:
        asyncio.run(register(server).fetch(organisation()))
    assert failure.value.retry_after == told


@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("http://data.brreg.no/api", "not https"),
        ("data.brreg.no", "not https"),
        (f"{OPEN_API}/", "no slash at its end"),
        (f"{OPEN_API}?a=b", "no query"),
    ],
)
def test_a_base_that_is_none_is_a_mistake(url: str, flaw: str) -> None:
    with pytest.raises(ConfigurationError, match=f"base_url: .*{flaw}"):
        register(Server({}), base_url=url)


def test_a_base_of_http_leads_to_this_machine_only_where_it_is_allowed() -> None:
    one = register(Server({}), base_url="http://127.0.0.1:1/api", loopback_http=True, name="mine")
    assert (one.name, one.health().source) == ("mine", "http://127.0.0.1:1/api")
    assert one.current(organisation()) is None


def test_nothing_else_is_tolerated() -> None:
    with pytest.raises(ConfigurationError, match="tolerate"):
        register(Server({}), tolerate=["deleted"])
