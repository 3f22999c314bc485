"""When a row of the demo counts as right: everything about it, or nothing."""

import pytest
from msgspec.structs import replace

from portvakt import Code
from portvakt.demo.run import Row
from portvakt.demo.scenes import SCENES

_BY_ID = {scene.id: scene for scene in SCENES}

ADMITTED = Row(scene=_BY_ID["honest"], status=200, error=None, code=None, judged=True, arrived=1)
REFUSED = Row(
    scene=_BY_ID["expired"],
    status=401,
    error="invalid_token",
    code=Code.TOKEN_EXPIRED,
    judged=True,
    arrived=1,
)


@pytest.mark.parametrize("row", [ADMITTED, REFUSED], ids=["admitted", "refused"])
def test_a_row_is_right_when_all_of_it_is(row: Row) -> None:
    assert row.ok


def test_a_hostile_request_that_was_let_in_is_wrong() -> None:
    assert not replace(REFUSED, status=200, error=None, code=None).ok


def test_an_honest_request_that_was_refused_is_wrong() -> None:
    assert not replace(ADMITTED, status=401, error="invalid_token", code=Code.TOKEN_EXPIRED).ok


@pytest.mark.parametrize("row", [ADMITTED, REFUSED], ids=["admitted", "refused"])
@pytest.mark.parametrize("status", [None, 500, 404])
def test_another_status_is_wrong(row: Row, status: int | None) -> None:
    assert not replace(row, status=status).ok


def test_the_right_status_for_another_reason_is_wrong() -> None:
    assert not replace(REFUSED, code=Code.SIGNATURE_INVALID).ok


def test_a_challenge_with_another_error_is_wrong() -> None:
    assert not replace(REFUSED, error=None).ok
    assert not replace(REFUSED, error="invalid_request").ok
    assert not replace(ADMITTED, error="invalid_token").ok


@pytest.mark.parametrize("row", [ADMITTED, REFUSED], ids=["admitted", "refused"])
def test_an_answer_without_the_guard_is_wrong(row: Row) -> None:
    assert not replace(row, judged=False).ok


@pytest.mark.parametrize("row", [ADMITTED, REFUSED], ids=["admitted", "refused"])
@pytest.mark.parametrize("arrived", [0, 2])
def test_an_answer_that_did_not_come_over_http_once_is_wrong(row: Row, arrived: int) -> None:
    assert not replace(row, arrived=arrived).ok
