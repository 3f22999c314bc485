"""The [[register]] tables: what each kind needs, and what means nothing for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from portvakt import ConfigurationError, Guard
from portvakt.registers.lists import ListRegister
from portvakt.registers.remembered import Remembered
from portvakt.registers.snapshot import SnapshotRegister
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.registers.base import Register

ISSUER = FakeIssuer()
LIST = {"name": "list", "kind": "csv", "file": "a.csv", "subject": "client", "column": "id"}


def guard_of(*tables: dict[str, Any], **network: Any) -> Guard:
    return ISSUER.guard(register=list(tables), network=network)


def made(table: dict[str, Any]) -> Register:
    registers = guard_of(table).parts.registers
    assert registers is not None
    found: Register = registers._registers[table["name"]]
    return found


def test_each_kind_is_made() -> None:
    assert isinstance(made({"name": "api", "kind": "enhetsregisteret"}), Remembered)
    local = {"base_url": "http://127.0.0.1:1/api", "max_staleness": "5m", "tolerate": ["bankrupt"]}
    assert isinstance(made({"name": "api", "kind": "enhetsregisteret", **local}), Remembered)
    assert isinstance(made({"name": "c", "kind": "snapshot", "file": "x"}), SnapshotRegister)
    assert isinstance(made({**LIST, "delimiter": ";"}), ListRegister)
    table = {**LIST, "kind": "sqlite", "table": "people", "max_staleness": "1h"}
    assert isinstance(made(table), ListRegister)


def test_a_guard_without_registers_has_none() -> None:
    assert ISSUER.guard().parts.registers is None
    assert ISSUER.guard().health().registers == ()


@pytest.mark.parametrize(
    ("change", "place", "message"),
    [
        ({"kind": "xml"}, "register[0].kind", "one of enhetsregisteret, snapshot, csv, sqlite"),
        ({"file": None}, "register[0].file", "is missing: a register of kind csv"),
        ({"column": None}, "register[0].column", "is missing"),
        ({"kind": "sqlite"}, "register[0].table", "is missing"),
        ({"table": "x"}, "register[0].table", "means nothing for a register of kind csv"),
        ({"base_url": "https://x"}, "register[0].base_url", "means nothing"),
        ({"tolerate": ["bankrupt"]}, "register[0].tolerate", "means nothing"),
        ({"subject": "name"}, "register[0].subject", "one of organisation, supplier"),
        ({"max_staleness": "0s"}, "register[0].max_staleness", "more than nothing"),
        ({"nmae": "x"}, "register[0].nmae", "did you mean name?"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], place: str, message: str) -> None:
    table = {name: value for name, value in {**LIST, **change}.items() if value is not None}
    with pytest.raises(ConfigurationError) as mistake:
        guard_of(table)
    assert any(one.place == place and message in one.message for one in mistake.value.problems), (
        mistake.value
    )


def test_what_only_the_register_itself_can_judge_is_named_too() -> None:
    wrong = {"name": "api", "kind": "enhetsregisteret", "base_url": "https://user@brreg.no"}
    with pytest.raises(ConfigurationError, match="base_url"):
        guard_of(wrong)


def test_two_registers_of_one_name_and_a_deadline_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match="the name of an earlier register"):
        guard_of(LIST, LIST)
    with pytest.raises(ConfigurationError, match="register_deadline"):
        guard_of(LIST, register_deadline="0s")


def test_a_file_is_looked_for_beside_the_policy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\ntest-client\n")
    policy = tmp_path / "portvakt.toml"
    policy.write_text(
        '[api]\naudience = "test-api"\n[[issuer]]\nissuer = "https://issuer.test"\n'
        'algorithms = ["ES256"]\njwks_file = "keys.json"\n[[route]]\npath = "/"\n'
        'registers = ["list"]\n[[register]]\nname = "list"\nkind = "csv"\nfile = "a.csv"\n'
        'subject = "client"\ncolumn = "id"\n'
    )
    import json

    (tmp_path / "keys.json").write_text(json.dumps(ISSUER.jwks()))
    guard = Guard.from_file(policy, clock=ISSUER.clock)
    assert guard.check_blocking(ISSUER.request(ISSUER.token())).admitted
    stranger = ISSUER.token(claims={"client_id": "stranger"})
    assert not guard.check_blocking(ISSUER.request(stranger)).admitted
