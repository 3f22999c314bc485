"""What is asked about a reference token, and what is read of the answer."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.errors import Refused
from portvakt.oauth.introspection import (
    MAX_ANSWER,
    MalformedAnswer,
    check_reference,
    is_reference,
    read_answer,
    write_question,
)
from portvakt.refusal import Code

ACTIVE: dict[str, Any] = {"active": True, "sub": "1"}


def read(**members: Any) -> dict[str, Any]:
    return read_answer(msgspec.json.encode(members))


def refused(**members: Any) -> Code:
    with pytest.raises(Refused) as caught:
        read(**members)
    return caught.value.refusal.code


def test_an_active_token_has_the_members_that_are_answered() -> None:
    assert read(**ACTIVE) == ACTIVE


def test_one_that_is_not_active_is_refused_whatever_else_is_said() -> None:
    assert refused(active=False) is Code.TOKEN_INACTIVE
    assert refused(active=False, token_type="N_A", sub="1") is Code.TOKEN_INACTIVE


@pytest.mark.parametrize("active", ["true", "True", "false", "", 1, 0, 1.0, None, [], [True], {}])
def test_what_is_neither_true_nor_false_is_no_answer(active: object) -> None:
    with pytest.raises(MalformedAnswer, match="neither"):
        read(**{**ACTIVE, "active": active})


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token_may_be_called_one(kind: str) -> None:
    assert read(**ACTIVE, token_type=kind, token_use="access_token")
    assert read(**ACTIVE, token_use="access")
    assert read(**ACTIVE, token_type="DPoP", cnf={"jkt": "x"})


@pytest.mark.parametrize("kind", ["N_A", "Refresh", "refresh_token", "ID", "", None, 1, ["Bearer"]])
def test_another_kind_of_token_is_no_access_token(kind: object) -> None:
    assert refused(**ACTIVE, token_type=kind) is Code.NOT_ACCESS_TOKEN
    assert refused(**ACTIVE, token_use=kind) is Code.NOT_ACCESS_TOKEN


def test_a_bound_token_does_not_lose_its_key_on_the_way() -> None:
    assert refused(**ACTIVE, token_type="DPoP") is Code.CLAIM_MISSING
    assert refused(**ACTIVE, token_type="dpop") is Code.CLAIM_MISSING


def test_an_answer_is_bounded_before_it_is_read() -> None:
    text = msgspec.json.encode({**ACTIVE, "x": ""})
    fits = text.replace(b'""', b'"' + b"x" * (MAX_ANSWER - len(text)) + b'"')
    assert len(fits) == MAX_ANSWER
    assert read_answer(fits)
    with pytest.raises(MalformedAnswer, match="longer"):
        read_answer(fits + b" ")


def code_of(work: Callable[[], object]) -> Code | None:
    """Why something is refused; None if it is not."""
    try:
        work()
    except Refused as one:
        return one.refusal.code
    return None


@given(st.binary())
def test_any_octets_are_no_active_token(text: bytes) -> None:
    with pytest.raises((MalformedAnswer, Refused)):
        read_answer(text)


@given(st.text())
def test_any_text_is_a_reference_or_none(text: str) -> None:
    code = code_of(lambda: check_reference(text))
    assert code in {None, Code.TOKEN_TOO_LONG, Code.TOKEN_ENCODING}
    assert code is not None or (is_reference(text) and text.isascii())


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text("abc=&+% é"))
def test_a_form_says_what_it_was_told(token: str, value: str) -> None:
    octets = write_question(token, [("client_id", value)])
    assert parse_qsl(octets.decode("ascii"), keep_blank_values=True) == [
        ("token", token),
        ("token_type_hint", "access_token"),
        ("client_id", value),
    ]
