"""The [store] table: what it may say, and what is said of what is wrong with it."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from portvakt.config.problems import Problems
from portvakt.config.secrets_schema import SecretTable
from portvakt.config.store import check_store
from portvakt.config.store_schema import StoreTable
from portvakt.errors import ConfigurationError


def problems(**stated: Any) -> dict[str, str]:
    found = Problems()
    check_store(StoreTable(**stated), found)
    try:
        found.check()
    except ConfigurationError as error:
        return {one.place: one.message for one in error.problems}
    return {}


@pytest.mark.parametrize(
    "stated",
    [
        {"url": "memory://"},
        {"url": "sqlite:///portvakt.db", "timeout": 0.05},
        {"url": "redis://localhost", "password": SecretTable(env="REDIS_PASSWORD")},
        {"url": "postgresql://localhost/a", "replay_capacity": 1, "replay_per_key": 1},
        {"url": "memory://", "replay_capacity": 100_000_000, "timeout": 30.0},
    ],
)
def test_what_is_sound_is_no_problem(stated: dict[str, Any]) -> None:
    assert problems(**stated) == {}


@pytest.mark.parametrize(
    ("stated", "place", "words"),
    [
        ({"url": "postgres://localhost"}, "store.url", "did you mean postgresql://?"),
        ({"url": "sqlite:///:memory:"}, "store.url", "must name a file"),
        ({"timeout": 0.04}, "store.timeout", "between 50ms and 30s"),
        ({"timeout": 31.0}, "store.timeout", "between 50ms and 30s"),
        ({"replay_capacity": 0, "replay_per_key": -1}, "store.replay_capacity", "between 1 and"),
        ({"replay_per_key": 0}, "store.replay_per_key", "between 1 and"),
        ({"replay_capacity": 10**8 + 1}, "store.replay_capacity", "between 1 and 100000000"),
        ({"replay_capacity": 10, "replay_per_key": 11}, "store.replay_per_key", "that of all"),
        ({"password": SecretTable(env="A")}, "store.password", "without a server"),
        (
            {"url": "redis://localhost", "password": SecretTable(env="A", file="b")},
            "store.password",
            "state exactly one of",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    stated: dict[str, Any], place: str, words: str
) -> None:
    assert words in problems(**{"url": "sqlite:///portvakt.db", **stated})[place]


def test_a_password_in_the_url_is_refused_and_never_shown() -> None:
    url = "postgresql://portvakt:hunter2@localhost/portvakt"
    found = problems(url=url)
    assert "must not hold a password" in found["store.url"]
    assert "hunter2" not in str(found)

    table = StoreTable(url=url)
    terminal = io.StringIO()
    Console(file=terminal).print(table)
    assert "hunter2" not in repr(table) + terminal.getvalue()
