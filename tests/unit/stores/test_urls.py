"""What the URL of a store may be, and that nothing says it again."""

from __future__ import annotations

import pytest

from portvakt.stores.urls import SCHEMES, flaw_of, scheme_of

SOUND = [
    "memory://",
    "sqlite:///portvakt.db",
    "sqlite:////var/lib/portvakt/store.db",
    "sqlite:///a folder/a%20file@home:1.db",
    "postgresql://db.example.no/portvakt",
    "postgresql://portvakt@db.example.no:5432/portvakt?sslmode=verify-full",
    "postgresql:///portvakt?host=/var/run/postgresql",
    "postgresql://a:1,b:2/portvakt?target_session_attrs=read-write",
    "redis://localhost:6379/0",
    "rediss://user@cache.example.no",
    "redis+cluster://a:1,b:2",
    "rediss+cluster://a",
]


@pytest.mark.parametrize("url", SOUND)
def test_a_url_of_each_kind_is_taken(url: str) -> None:
    assert flaw_of(url) is None
    assert scheme_of(url) == url.partition("://")[0]


@pytest.mark.parametrize(
    ("url", "near"),
    [
        ("postgres://localhost/portvakt", "postgresql://"),
        ("postgresql+psycopg://localhost/portvakt", "postgresql://"),
        ("sqlite3:///portvakt.db", "sqlite://"),
        ("Redis://localhost", "redis://"),
        ("redis-cluster://localhost", "redis+cluster://"),
        ("memcached://localhost", "must begin with one of memory://, sqlite://"),
        ("portvakt.db", "must begin with one of"),
        ("", "must begin with one of"),
        ("://", "must begin with one of"),
    ],
)
def test_an_unknown_scheme_is_told_the_nearest(url: str, near: str) -> None:
    flaw = flaw_of(url)
    assert flaw is not None
    assert near in flaw
    assert scheme_of(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://portvakt:hunter2@localhost/portvakt",
        "postgresql://portvakt:hun/ter2@localhost/portvakt",
        "postgresql://portvakt:hun@ter2@localhost/portvakt",
        "postgresql://portvakt:@localhost/portvakt",
        "postgresql://localhost/portvakt?password=hunter2",
        "postgresql://localhost/portvakt?user=a&PassWord=hunter2",
        "postgresql://localhost/portvakt?sslpassword=hunter2",
        "redis://:hunter2@localhost",
        "rediss://user:hunter2@localhost/0",
        "redis+cluster://:hunter2@a:1,b:2",
    ],
)
def test_a_password_is_found_wherever_it_is_and_not_said_again(url: str) -> None:
    flaw = flaw_of(url)
    assert flaw is not None
    assert "must not hold a password" in flaw
    assert "ter2" not in flaw


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite://portvakt.db",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite:///folder/",
        "sqlite:///a\0b",
    ],
)
def test_sqlite_is_a_file(url: str) -> None:
    assert "must name a file" in (flaw_of(url) or "")


def test_the_memory_of_a_process_is_in_no_place() -> None:
    assert "memory:// and no more" in (flaw_of("memory://localhost") or "")


def test_every_scheme_is_tried_here() -> None:
    assert {url.partition("://")[0] for url in SOUND} == set(SCHEMES)
