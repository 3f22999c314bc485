"""What stolen.py prints, beside what we say that a stolen token can do; and the honest ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
MODULES = ("app", "issuer", "stolen")

# low, normal, high with DPoP, high with reference tokens
IN = "admitted"
EXPECTED = {
    "sends the token as it is": (IN, IN, "scheme_refused", IN),
    "sends it with the proof that he saw": (IN, IN, "proof_replayed", IN),
    "… for another journal": (IN, IN, "proof_target", IN),
    "… made with a key of his own": (IN, IN, "proof_binding", IN),
    "… that a fake API was given": (IN, IN, "proof_target", IN),
    "takes it to another API": ("audience_wrong",) * 4,
    "takes a proof that was never sent": (IN, IN, IN, IN),
    "… and uses it twice": (IN, IN, "proof_replayed", IN),
    "… a minute later": (IN, IN, "proof_time", IN),
    "any proof, when the session was ended": (
        IN,
        "token_revoked",
        "token_revoked",
        "token_inactive",
    ),
    "any proof, after an hour": (IN, "token_expired", "token_expired", "token_inactive"),
    "any proof, after a day": ("token_expired", "token_expired", "token_expired", "token_inactive"),
}


@pytest.fixture(scope="module")
def stolen() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        for name in MODULES:
            sys.modules.pop(name, None)
        import stolen

        yield stolen
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def columns(stolen: Any) -> Iterator[Any]:
    with stolen.apis() as found:
        yield found


@pytest.fixture(scope="module")
def found(stolen: Any, columns: Any) -> dict[str, tuple[str, ...]]:
    cells: dict[str, tuple[str, ...]] = stolen.table(columns)
    return cells


@pytest.mark.parametrize("row", EXPECTED)
def test_a_stolen_token_can_do_no_more_than_this(
    found: dict[str, tuple[str, ...]], row: str
) -> None:
    assert found[row] == EXPECTED[row]


def test_there_is_no_other_row(found: dict[str, tuple[str, ...]]) -> None:
    assert found.keys() == EXPECTED.keys()


def test_its_owner_is_served_as_often_as_they_like(stolen: Any, columns: Any) -> None:
    for api in columns.values():
        mine = stolen.Stolen(api)
        assert [mine.sent(mine.made()) for _ in range(3)] == [IN] * 3
        assert mine.sent(mine.made("/journal/2"), "/journal/2") == IN


def test_nothing_is_open(columns: Any) -> None:
    for api in columns.values():
        assert api.send("no-token", None, "/journal/1") != IN


def test_it_prints_all_of_it(stolen: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stolen.main()
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(EXPECTED)
    assert printed[0].split()[-2:] == ["high,", "reference"]
    assert printed[2].endswith("proof_replayed    admitted")
