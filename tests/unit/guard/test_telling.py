"""What a policy says under telemetry is what its guard tells."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any, Final

import pytest

from asking import ISSUER as ASKING
from asking import Asking
from portvakt import ConfigurationError, Decision, Guard
from portvakt.guard.assembly import assemble_file
from portvakt.guard.health import Health
from portvakt.guard.readings import readings_of
from portvakt.guard.revocation import RevocationHealth
from portvakt.net.keys import KeysHealth
from portvakt.net.security_events import EventStreamHealth
from portvakt.net.status_lists import StatusListHealth
from portvakt.registers.base import RegisterHealth
from portvakt.stores.base import StoreHealth
from portvakt.telemetry.families import FAMILIES
from portvakt.telemetry.snapshot import Reading
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

ISSUER: Final = FakeIssuer()
NAME: Final = ISSUER.trusted.issuer
ASKED: Final = ASKING.trusted.issuer
EVERYTHING: Final = {"metrics": ["prometheus", "opentelemetry"], "traces": True}


def guard_telling(**telemetry: Any) -> Guard:
    return Guard.from_config(ISSUER.config(telemetry=telemetry), clock=ISSUER.clock)


def test_a_policy_that_says_nothing_tells_nothing() -> None:
    guard = Guard.from_config(ISSUER.config(), clock=ISSUER.clock)
    assert guard.parts.telling is None
    assert guard.check_blocking(ISSUER.request()).seconds is None
    with pytest.raises(ConfigurationError, match="nothing is counted"):
        _ = guard.metrics
    with pytest.raises(ConfigurationError, match="nothing is counted"):
        _ = guard_telling(traces=True).metrics


def test_observers_of_the_caller_are_told_as_well() -> None:
    told: list[Decision] = []
    config = ISSUER.config(telemetry=EVERYTHING)
    guard = Guard.from_config(
        config, clock=ISSUER.clock, observers=[lambda _, decision: told.append(decision)]
    )
    guard.check_blocking(ISSUER.request())
    assert len(told) == 1
    assert sum(cell.count for cell in guard.metrics.snapshot().decisions) == 1


def write_policy(folder: Path, telemetry: str) -> Path:
    (folder / "keys.json").write_text(json.dumps(ISSUER.jwks()), encoding="utf-8")
    path = folder / "portvakt.toml"
    path.write_text(
        f"""
[api]
audience = "test-api"

[[issuer]]
issuer = "{NAME}"
algorithms = ["ES256", "RS256"]
jwks_file = "keys.json"

[telemetry]
{telemetry}
""",
        encoding="utf-8",
    )
    return path


def test_a_file_beside_the_policy_has_a_line_of_each_decision(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, 'log = { file = "decisions.log" }\nmetrics = ["prometheus"]')

    async def serve() -> Guard:
        async with Guard.from_file(policy, clock=ISSUER.clock) as guard:
            await guard.check(ISSUER.request(ISSUER.token()))
            await guard.check(ISSUER.request())
        return guard

    guard = asyncio.run(serve())
    lines = (tmp_path / "decisions.log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["outcome"] for line in lines] == ["admitted", "refused"]
    assert Reading("portvakt_log_lines_lost", 0) in guard.metrics.snapshot().readings


def test_a_rehearsal_tells_nothing_and_makes_no_file(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, 'log = { file = "decisions.log" }')
    guard = assemble_file(Guard, policy, clock=ISSUER.clock, observers=(), rehearsal=True)
    guard.check_blocking(ISSUER.request())
    assert not (tmp_path / "decisions.log").exists()


def test_a_file_that_cannot_be_written_is_named_with_its_place(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, 'log = { file = "nowhere/decisions.log" }')
    with pytest.raises(ConfigurationError, match=r"telemetry\.log\.file: cannot be made"):
        Guard.from_file(policy, clock=ISSUER.clock)


@pytest.mark.parametrize("to", ["stdout", "stderr"])
def test_the_standard_streams(to: str, capfd: pytest.CaptureFixture[str]) -> None:
    guard = guard_telling(log={"to": to, "admitted": "none"})
    guard.check_blocking(ISSUER.request(ISSUER.token()))
    guard.check_blocking(ISSUER.request())
    assert guard.parts.telling is not None
    asyncio.run(guard.parts.telling.close())
    written = capfd.readouterr()
    (line,) = (written.out if to == "stdout" else written.err).splitlines()
    assert json.loads(line)["code"] == "credential_missing"
    assert (written.err if to == "stdout" else written.out) == ""


def test_lines_may_go_to_the_applications_own_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "portvakt.decisions")
    guard = guard_telling(log={"to": "logging"})
    guard.check_blocking(ISSUER.request())
    assert json.loads(caplog.messages[-1])["code"] == "credential_missing"
    assert guard.parts.telling is not None
    asyncio.run(guard.parts.telling.close())


def test_whatever_health_knows_is_read() -> None:
    failing: dict[str, Any] = {"last_error": "down", "last_error_age": 1.0}
    events: dict[str, Any] = {"last_refused": None, "last_unusable": None, "next_poll": None}
    health = Health(
        keys=(
            KeysHealth(
                issuer=NAME,
                source="policy",
                keys=None,
                age=3.0,
                hard_limit=60.0,
                clock_offset=-2.0,
                **failing,
            ),
        ),
        registers=(RegisterHealth(name="hpr", source="file", entries=7, age=2.0, **failing),),
        introspection=Asking().introspection.health(),
        revocation=RevocationHealth(
            age=0.5, max_staleness=5.0, entries=3, stale=False, push=True, **failing
        ),
        status_lists=tuple(
            StatusListHealth(
                issuer=NAME,
                uri=f"https://issuer.test/{age}",
                places=None,
                age=age,
                max_age=300,
                next_refresh=None,
                **failing,
            )
            for age in (None, 5.0, 3.0)
        ),
        events=(
            EventStreamHealth(
                issuer=NAME,
                taken=1,
                refused=2,
                unusable=3,
                polled=True,
                age=4.0,
                max_staleness=None,
                **events,
                **failing,
            ),
        ),
        store=StoreHealth(kind="memory", shared=False, uses=9, **failing),
    )
    found = {
        (one.name.removeprefix("portvakt_"), *one.labels): one.value for one in readings_of(health)
    }
    assert found == {
        ("ready",): 0,
        ("keys_usable", NAME): 0,
        ("keys_age_seconds", NAME): 3,
        ("keys_hard_limit_seconds", NAME): 60,
        ("keys_failing", NAME): 1,
        ("issuer_clock_offset_seconds", NAME): -2,
        ("revocation_age_seconds",): 0.5,
        ("revocation_max_staleness_seconds",): 5,
        ("revocation_stale",): 0,
        ("revocation_pushed",): 1,
        ("revocation_entries",): 3,
        ("status_list_age_seconds", NAME): 5,
        ("status_list_failing", NAME): 3,
        ("events_age_seconds", NAME): 4,
        ("events_taken", NAME): 1,
        ("events_refused", NAME): 2,
        ("events_unusable", NAME): 3,
        ("introspection_questions", ASKED): 0,
        ("introspection_failing", ASKED): 0,
        ("register_age_seconds", "hpr"): 2,
        ("register_entries", "hpr"): 7,
        ("register_failing", "hpr"): 1,
        ("replay_uses", "memory"): 9,
        ("store_failing", "memory"): 1,
    }
    assert {f"portvakt_{name}" for name, *_ in found} <= FAMILIES.keys()
    assert all(type(value) is float for value in found.values())
