"""Where an issuer's keys are: each mistake with its place, and its honest neighbour."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portvakt.config.compile import Policy
from portvakt.errors import Problem

Compile = Callable[..., Policy]
Problems = Callable[..., tuple[Problem, ...]]

PIN = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
FILE = 'jwks_file = "keys.json"'
NAME = '"https://sts.example.no"'

#: Something else that the issuer is asked.
ASKED = 'introspection = { client_id = "api", key = { file = "api.jwk" } }'


def stated(*lines: str, name: str = NAME, network: str = "") -> str:
    """A policy whose issuer has these lines for its keys; the first of them is line 6."""
    settings = "\n".join(lines)
    return f"""\
[api]
audience = "api"
[[issuer]]
issuer = {name}
algorithms = ["ES256"]
{settings}
[network]
{network}
"""


#: The lines that say where the keys are, and the issuer's name.
SOUND: list[tuple[list[str], str]] = [
    ([], NAME),
    ([], '"https://sts.example.no:8443/a/b"'),
    (['jwks_uri = "https://sts.example.no/keys"'], NAME),
    (['jwks_uri = "https://other.example.no/keys?tenant=a"'], '"urn:any-name"'),
    (['metadata_uri = "https://sts.example.no/metadata"'], '"urn:any-name"'),
    ([f'pin = ["{PIN}", "{PIN[::-1]}"]'], NAME),
    (['jwks_uri = "https://sts.example.no/"', f'pin = ["{PIN}"]'], NAME),
    (['jwks_hosts = ["keys.example.no", "KEYS.example.no:8443", "[2001:db8::1]:1"]'], NAME),
    (["private = true"], NAME),
    (["private = true", "unsafe_loopback = true"], NAME),
    (["unsafe_loopback = true"], '"http://127.0.0.1:8000"'),
    (["unsafe_loopback = true", 'jwks_uri = "http://[::1]:8000/keys"'], '"a"'),
    (['keys_max_age = "5m"'], NAME),
    (['keys_max_age = "720h"'], NAME),
]


@pytest.mark.parametrize(("lines", "name"), SOUND)
def test_keys_may_be_published_in_many_ways(compiled: Compile, lines: list[str], name: str) -> None:
    policy = compiled(stated(*lines, name=name))
    assert list(policy.published) == [policy.issuers[0].issuer] == [name[1:-1]]
    assert policy.keys == {}


@pytest.mark.parametrize("setting", ["private", "unsafe_loopback"])
def test_how_far_one_may_dial_is_also_for_what_else_is_asked(
    compiled: Compile, setting: str
) -> None:
    policy = compiled(stated(FILE, f"{setting} = true", ASKED))
    assert list(policy.keys) == [NAME[1:-1]]


def test_what_is_published_and_what_is_stated_are_kept_apart(compiled: Compile) -> None:
    text = stated(network='timeout = "2s"').replace(
        "[network]",
        f'[[issuer]]\nissuer = "https://b.test"\nalgorithms = ["ES256"]\n{FILE}\n[network]',
    )
    policy = compiled(text)
    assert list(policy.published) == ["https://sts.example.no"]
    assert list(policy.keys) == ["https://b.test"]
    assert policy.network.timeout == 2
    assert policy.published["https://sts.example.no"].keys_max_age == 86400


#: Lines, the issuer's name; the place, the line and the words of the one problem.
Mistake = tuple[list[str], str, str, int, str]
MISTAKES: list[Mistake] = [
    # Nothing is stated, and the name leads nowhere.
    ([], '"urn:sts"', "issuer[0]", 3, "has no keys: state jwks_uri"),
    ([], '"sts.example.no"', "issuer[0]", 3, "at its name: the URL is not https"),
    ([], '"http://sts.example.no"', "issuer[0]", 3, "the URL is not https"),
    ([], '"https://sts.example.no?a"', "issuer[0]", 3, "the URL has a query"),
    ([], '"https://sts.example.no/#a"', "issuer[0]", 3, "the URL has a fragment"),
    ([], '"https://a@sts.example.no"', "issuer[0]", 3, "a user name"),
    (["unsafe_loopback = true"], '"ftp://127.0.0.1"', "issuer[0]", 3, "not https"),
    ([f'pin = ["{PIN}"]'], '"urn:sts"', "issuer[0]", 3, "has no keys"),
    # A URL that is none.
    (['jwks_uri = ""'], NAME, "issuer[0].jwks_uri", 6, "not https"),
    (['jwks_uri = "http://127.0.0.1/"'], NAME, "issuer[0].jwks_uri", 6, "not https"),
    (['jwks_uri = "file:///etc/passwd"'], NAME, "issuer[0].jwks_uri", 6, "not https"),
    (['jwks_uri = "https://a@b.test/"'], NAME, "issuer[0].jwks_uri", 6, "user name"),
    (['jwks_uri = "https://2130706433/"'], NAME, "issuer[0].jwks_uri", 6, "four decimal"),
    (['metadata_uri = "a"'], NAME, "issuer[0].metadata_uri", 6, "not https"),
    (['metadata_uri = "https://b.test/ "'], NAME, "issuer[0].metadata_uri", 6, "a space"),
    # Two that contradict each other.
    ([FILE, 'jwks_uri = "https://a.test/"'], NAME, "issuer[0].jwks_file", 6, "beside jwks_uri"),
    (["jwks = {keys = []}", FILE], NAME, "issuer[0].jwks", 6, "beside jwks_file"),
    (
        ['jwks_uri = "https://a.test/"', 'metadata_uri = "https://a.test/"'],
        NAME,
        "issuer[0].jwks_uri",
        6,
        "stands beside metadata_uri: keep one of them",
    ),
    # For keys that are fetched, beside keys that are not.
    ([FILE, 'jwks_hosts = ["a.test"]'], NAME, "issuer[0].jwks_hosts", 7, "jwks_file states them"),
    ([FILE, f'pin = ["{PIN}"]'], NAME, "issuer[0].pin", 7, "is for keys that are fetched"),
    ([FILE, "private = true"], NAME, "issuer[0].private", 7, "is for keys that are fetched"),
    ([FILE, f'pin = ["{PIN}"]', ASKED], NAME, "issuer[0].pin", 7, "is for keys that are fetched"),
    ([FILE, "unsafe_loopback = true"], NAME, "issuer[0].unsafe_loopback", 7, "that are fetched"),
    ([FILE, 'keys_max_age = "1h"'], NAME, "issuer[0].keys_max_age", 7, "that are fetched"),
    # Hosts.
    (
        ['jwks_uri = "https://a.test/"', 'jwks_hosts = ["b.test"]'],
        NAME,
        "issuer[0].jwks_hosts",
        7,
        "jwks_uri names them already",
    ),
    *(
        ([f'jwks_hosts = ["good.test", "{host}"]'], NAME, "issuer[0].jwks_hosts[1]", 6, "is not a")
        for host in (
            "",
            "*",
            "*.test",
            "https://a.test",
            "a.test/keys",
            "a.test?b",
            "a.test#b",
            "b@a.test",
            "a.test:0",
            "a.test:65536",
            "a.test:",
            "127.1",
            "a test",
            "a.test\\n",
        )
    ),
    # Pins.
    *(
        ([f'pin = ["{PIN}", "{pin}"]'], NAME, "issuer[0].pin[1]", 6, "43 characters")
        for pin in ("", PIN[:-1], f"{PIN}A", f"{PIN[:-1]}=", f"{PIN[:-1]}+", f"{PIN}\\n")
    ),
    # Ages.
    (['keys_max_age = "299s"'], NAME, "issuer[0].keys_max_age", 6, 'between "5m" and "720h"'),
    (['keys_max_age = "721h"'], NAME, "issuer[0].keys_max_age", 6, 'between "5m" and "720h"'),
    (['keys_max_age = "0s"'], NAME, "issuer[0].keys_max_age", 6, 'between "5m" and "720h"'),
    (["keys_max_age = 5"], NAME, "issuer[0].keys_max_age", 6, "must be a duration"),
    # Forms.
    (["jwks_uri = 5"], NAME, "issuer[0].jwks_uri", 6, "must be text"),
    (['jwks_hosts = "a.test"'], NAME, "issuer[0].jwks_hosts", 6, "must be a list"),
    (["pin = [5]"], NAME, "issuer[0].pin[0]", 6, "must be text"),
    (['private = "yes"'], NAME, "issuer[0].private", 6, "true or false"),
    (['jwk_uri = "https://a.test/"'], NAME, "issuer[0].jwk_uri", 6, "did you mean jwks_uri?"),
    # One mistake is one problem.
    ([], '""', "issuer[0].issuer", 4, "the exact value of iss"),
    ([], "5", "issuer[0].issuer", 4, "must be text"),
]


@pytest.mark.parametrize(("lines", "name", "place", "line", "message"), MISTAKES)
def test_each_mistake_is_named_once(
    problems: Problems, lines: list[str], name: str, place: str, line: int, message: str
) -> None:
    (problem,) = problems(stated(*lines, name=name))
    assert (problem.place, problem.line) == (place, line)
    assert message in problem.message


def test_a_missing_name_is_one_mistake(problems: Problems) -> None:
    (problem,) = problems('[api]\naudience = "a"\n[[issuer]]\nalgorithms = ["ES256"]\n')
    assert (problem.place, problem.message) == ("issuer[0].issuer", "is missing")


def test_everything_that_is_wrong_comes_at_once(problems: Problems) -> None:
    found = problems(
        stated(
            'jwks_uri = "http://a.test/"',
            'jwks_hosts = ["*"]',
            'pin = ["short"]',
            'keys_max_age = "1s"',
            network='timeout = "0s"\nca_file = "absent.pem"\ncache_dir = ""',
        )
    )
    assert [(one.place, one.line) for one in found] == [
        ("issuer[0].jwks_uri", 6),
        ("issuer[0].jwks_hosts", 7),
        ("issuer[0].jwks_hosts[0]", 7),
        ("issuer[0].pin[0]", 8),
        ("issuer[0].keys_max_age", 9),
        ("network.timeout", 11),
        ("network.ca_file", 12),
        ("network.cache_dir", 13),
    ]


NETWORK: list[tuple[str, str, str]] = [
    ('timeout = "0s"', "timeout", "more than nothing and at most"),
    ('timeout = "30001ms"', "timeout", 'at most "30s"'),
    ("timeout = 5", "timeout", "must be a duration"),
    ('ca_file = "absent.pem"', "ca_file", "cannot be read: No such file"),
    ('ca_file = ""', "ca_file", "cannot be read: Is a directory"),
    ('ca_file = "a\\u0000"', "ca_file", "a null character"),
    ('ca_file = "keys.json"', "ca_file", "holds no certificate in PEM form"),
    ("ca_file = 5", "ca_file", "must be text"),
    ('cache_dir = ""', "cache_dir", "is empty"),
    ('cache_dir = "a\\u0000"', "cache_dir", "a null character"),
    ('cachedir = "a"', "cachedir", "did you mean cache_dir?"),
]


@pytest.mark.parametrize(("line", "setting", "message"), NETWORK)
def test_each_mistake_about_the_network_is_named_once(
    problems: Problems, line: str, setting: str, message: str
) -> None:
    (problem,) = problems(stated(network=line))
    assert (problem.place, problem.line) == (f"network.{setting}", 8)
    assert message in problem.message


@pytest.mark.parametrize(
    "line",
    [
        'timeout = "1ms"',
        'timeout = "30s"',
        'ca_file = "ca.pem"',
        'cache_dir = "keys"',
        'cache_dir = "/var/cache/portvakt"',
        'proxy = "http://user:secret@proxy.test:3128"',
    ],
)
def test_a_sound_network_is_taken_as_it_is(compiled: Compile, tmp_path: Path, line: str) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n…")
    network = compiled(stated(network=line)).network
    name, _, value = line.partition(" = ")
    found: Any = getattr(network, name)
    assert found in {value.strip('"'), 0.001, 30.0}
    assert "secret" not in repr(network)


def test_that_keys_may_come_from_this_machine_is_a_warning(
    compiled: Compile, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        compiled(stated("unsafe_loopback = true", name='"http://localhost:8000"'))
    (message,) = caplog.messages
    assert message.startswith("issuer http://localhost:8000: unsafe_loopback is set: ")
    caplog.clear()
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        compiled(stated())
    assert not caplog.messages
