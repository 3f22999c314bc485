"""What the URL of a Redis says, and that it is never repeated."""

from __future__ import annotations

import traceback

import pytest

from portvakt.errors import ConfigurationError
from portvakt.stores.redis_nodes import Place, read_url

SECRET = "open-sesame-4711"


@pytest.mark.parametrize(
    ("url", "seeds", "cluster", "database"),
    [
        ("redis://host", (("host", 6379),), False, 0),
        ("redis://host:1/", (("host", 1),), False, 0),
        ("rediss://host:1/15", (("host", 1),), False, 15),
        ("redis://[::1]:7/2", (("::1", 7),), False, 2),
        ("redis+cluster://a,b:2,[::1]", (("a", 6379), ("b", 2), ("::1", 6379)), True, 0),
        ("rediss+cluster://a", (("a", 6379),), True, 0),
    ],
)
def test_a_url_says_where_it_is(
    url: str, seeds: tuple[tuple[str, int], ...], cluster: bool, database: int
) -> None:
    place = read_url(url, None)
    assert (place.seeds, place.cluster) == (seeds, cluster)
    assert place.options == {"username": None, "password": None, "db": database}
    assert place.tls is url.startswith("rediss")
    assert list(place.__rich_repr__()) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis:",
        f"redis://:{SECRET}@",
        f"http://:{SECRET}@host",
        f"redis+sentinel://:{SECRET}@host",
        f"unix+cluster://{SECRET}",
        f"redis://:{SECRET}@host:port",
        f"redis://:{SECRET}@host:99999",
        f"redis://:{SECRET}@host/x",
        f"redis://:{SECRET}@host/-1",
        f"redis://:{SECRET}@host/0#x",
        f"redis://:{SECRET}@one,two",
        f"redis+cluster://:{SECRET}@one/1",
        f"redis+cluster://:{SECRET}@one,,two",
        f"redis://:{SECRET}@host?replicas=x",
        f"redis://:{SECRET}@host?replicas=-1",
        f"redis://:{SECRET}@host?replicas",
        f"redis://:{SECRET}@host?socket_timeout=9",
        f"redis://:{SECRET}@host?ca_file=/x",
        f"rediss://:{SECRET}@host?ssl_cert_reqs=none",
        f"rediss://:{SECRET}@host?ssl_check_hostname=false",
    ],
)
def test_a_url_that_is_none_of_it_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_url(url, None)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None


def test_what_a_url_says_is_not_shown() -> None:
    place = read_url(f"redis://u:{SECRET}@host", None)
    assert isinstance(place, Place)
    assert repr(place) == "Place()"
