from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET
from rich.console import Console

from portvakt.config.load import load_data, load_file
from portvakt.errors import ConfigurationError, Problem

Problems = Callable[..., tuple[Problem, ...]]


def data(**issuer: Any) -> dict[str, Any]:
    table = {"issuer": "https://a.test", "algorithms": ["ES256"], "jwks": {"keys": [{"kid": "1"}]}}
    return {"api": {"audience": "api"}, "issuer": [{**table, **issuer}]}


@pytest.mark.twin("API-05")
def test_a_file_becomes_plain_data(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    found = load_file(file, {})
    assert (found.api.audience, found.api.scopes) == ("nhn:journal", ("nhn:journal/access",))
    (issuer,) = found.issuer
    assert (issuer.issuer, issuer.jwks_file) == ("https://sts.example.no", "keys.json")
    assert issuer.algorithms == ("ES256",)
    journal, healthz = found.route
    assert (journal.path, journal.methods) == ("/journal/{patient}", ("GET",))
    assert (journal.scopes, journal.public) == (("nhn:journal/read",), False)
    assert (healthz.path, healthz.methods, healthz.public) == ("/healthz", UNSET, True)


def test_what_is_left_out_of_an_issuer_is_left_to_its_profile() -> None:
    issuer = load_data(data()).issuer[0]
    for name in ("typ", "audience", "other_audiences", "required_claims", "leeway", "max_lifetime"):
        assert getattr(issuer, name) is UNSET
    assert (issuer.max_age_ahead, issuer.keys_max_age) == (30.0, 86400.0)
    assert (issuer.private, issuer.unsafe_loopback) == (False, False)


def test_what_is_left_out_elsewhere_has_the_safe_default() -> None:
    found = load_data({**data(), "route": [{"path": "/"}]})
    assert (found.api.sensitivity, found.api.security_level) == ("normal", UNSET)
    (route,) = found.route
    assert (route.public, route.unsafe_on_unavailable) == (False, "refuse")
    assert (found.network.timeout, found.network.proxy) == (5.0, UNSET)


def test_durations_become_seconds() -> None:
    issuer = load_data(data(leeway="500ms", max_lifetime="24h", max_age_ahead="1m")).issuer[0]
    assert (issuer.leeway, issuer.max_lifetime, issuer.max_age_ahead) == (0.5, 86400.0, 60.0)


@pytest.mark.attack("API-13")
def test_data_is_copied_all_the_way_down() -> None:
    given = data(typ=["at+jwt"])
    configuration = load_data(given)
    given["issuer"][0]["typ"].append("JWT")
    given["issuer"][0]["jwks"]["keys"][0]["kid"] = "2"
    given["issuer"].clear()
    assert configuration.issuer[0].typ == ("at+jwt",)
    assert configuration.issuer[0].jwks == {"keys": [{"kid": "1"}]}


WITH_A_NUMBER_FOR_A_NAME: dict[Any, int] = {7: 1}

NOT_THE_FORM: list[tuple[Mapping[str, Any], str, str]] = [
    ({**data(), "api": "x"}, "api", "must be a table, not text"),
    ({**data(), "api": {"audience": 1}}, "api.audience", "must be text in quotes, not a number"),
    (
        {**data(), "issuer": {}},
        "issuer",
        "must be written [[issuer]], once for each, not as a table",
    ),
    ({**data(), "issuer": ["x"]}, "issuer[0]", "must be a table, not text"),
    (data(issuer=True), "issuer[0].issuer", "must be text in quotes, not true or false"),
    (data(algorithms="ES256"), "issuer[0].algorithms", "must be a list in [ ], not text"),
    (data(algorithms=[1]), "issuer[0].algorithms[0]", "must be text in quotes, not a number"),
    (data(leeway=5), "issuer[0].leeway", "must be a duration, not a number"),
    (data(leeway="5 s"), "issuer[0].leeway", 'is not a duration: write it as "500ms", "5s"'),
    (data(leeway=datetime(2027, 1, 1, tzinfo=UTC)), "issuer[0].leeway", "not a date or time"),
    (data(jwks=[]), "issuer[0].jwks", "must be a JWK set, { keys = [ … ] }, not a list"),
    (data(jwks={"keys": [object()]}), "issuer[0].jwks", "of text, numbers, lists and tables only"),
    (data(jwks={"keys": [10**30]}), "issuer[0].jwks", "an integer of more than 20 digits"),
    (
        data(jwks={"a": {"b": [[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}}),
        "issuer[0].jwks",
        "nested deeper",
    ),
    (
        {**data(), "api": {"audience": "a", "security_level": "4"}},
        "api.security_level",
        "must be a whole number, not text",
    ),
    (
        {**data(), "api": {"audience": "a", "security_level": True}},
        "api.security_level",
        "must be a whole number, not true or false",
    ),
    (
        {**data(), "route": [{"path": "/", "matches_request": "pid"}]},
        "route[0].matches_request",
        "must be a table, not text",
    ),
    (
        {**data(), "route": [{"path": "/", "units": {"a b": ["1", 2]}}]},
        "route[0].units.…[1]",
        "must be text in quotes, not a number",
    ),
    (
        {**data(), "route": [{"path": "/", "claims": [{"claim": 1}]}]},
        "route[0].claims[0].claim",
        "must be text or a list, not a number",
    ),
    (
        {**data(), "route": [{"path": "/", "claims": [{"claim": "a", "equals": []}]}]},
        "route[0].claims[0].equals",
        "must be text or a number or true or false, not a list",
    ),
    (
        {**data(), "route": [{"path": "/", "claims": [{"claim": "a", "at_least": "1"}]}]},
        "route[0].claims[0].at_least",
        "must be a number, not text",
    ),
    (data(typ=None), "issuer[0].typ", "must be a list in [ ], not a Python NoneType"),
    (
        {**data(), "route": [{"path": "/", "public": "yes"}]},
        "route[0].public",
        "true or false, not",
    ),
]


@pytest.mark.parametrize(("given", "place", "message"), NOT_THE_FORM)
def test_a_value_of_another_form_is_named(
    given: Mapping[str, Any], place: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_data(given)
    (problem,) = caught.value.problems
    assert problem.place == place
    assert message in problem.message


@pytest.mark.attack("API-05")
@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        (data(leewey="5s"), "issuer[0].leewey", "did you mean leeway?"),
        ({**data(), "apis": {}}, "apis", "did you mean api?"),
        (data(Typ=["JWT"]), "issuer[0].Typ", "did you mean typ?"),
        (data(verify=False), "issuer[0].verify", "known are profile, issuer, algorithms"),
        (data(**{"a b\n": 1}), "issuer[0].…", "is not known"),
        ({**data(), **WITH_A_NUMBER_FOR_A_NAME}, "7", "is not known"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    given: Mapping[str, Any], place: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_data(given)
    (problem,) = caught.value.problems
    assert problem.place == place
    assert message in problem.message


def test_every_missing_key_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_data({"issuer": [{}], "route": [{}]})
    assert [(one.place, one.message) for one in caught.value.problems] == [
        ("api", "is missing"),
        ("route[0].path", "is missing"),
    ]


def test_data_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be a mapping"):
        load_data([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hostile", "line", "message"),
    [
        ('[api]\naudience = "a\n', 2, "column"),
        ("[api]\naudience = nhn:journal\n", 2, "is not TOML: Invalid value, column 12"),
        ("[api]\n[api]\n", 2, "is not TOML"),
        ('[api]\naudience = "a"\naudience = "b"\n', 3, "is not TOML"),
        ("[api]\nscopes = [\n\n", 2, "is not TOML"),
        (b'[api]\naudience = "\xff"\n', 2, "is not UTF-8"),
        ("[api]".encode("utf-16"), 1, "is not UTF-8"),
        ("a = " + "[" * 5000, None, "nests too deep"),
        ("a = " + "1" * 5000, None, "a number that is too long"),
        ("#" * (1024 * 1024 + 1), None, "is longer than 1048576 octets"),
    ],
)
def test_what_is_not_toml_is_named_with_its_line(
    problems: Problems, hostile: str | bytes, line: int | None, message: str
) -> None:
    (problem,) = problems(hostile)
    assert (problem.place, problem.line) == ("", line)
    assert message in problem.message


def test_a_byte_order_mark_and_line_ends_of_windows_change_nothing(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert load_file(str(file), {}).api.audience == "nhn:journal"


@pytest.mark.parametrize(
    ("name", "message"),
    [("absent.toml", "No such file"), (".", "Is a directory"), ("a\0b", "a null character")],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_file(tmp_path / name, {})
    assert message in str(caught.value)
    assert caught.value.source == str(tmp_path / name)


def test_every_problem_of_a_file_is_reported_in_its_order(problems: Problems, text: str) -> None:
    wrong = (
        text.replace("audience", "audiance")
        .replace('"ES256"', '"none", "HS256"')
        .replace('"5s"', '"10m"')
        .replace("[[route]]", "[[routes]]")
    )
    assert [(one.line, one.place) for one in problems(wrong)] == [
        (1, "api.audience"),
        (2, "api.audiance"),
        (8, "issuer[0].algorithms"),
        (8, "issuer[0].algorithms"),
        (9, "issuer[0].leeway"),
        (11, "routes"),
    ]


def test_one_mistake_is_reported_once_and_does_not_hide_the_next(problems: Problems) -> None:
    # The audience of both issuers is the API's, and is wrong in one place.
    text = """\
[api]
audience = "*"
[[issuer]]
issuer = 5
algorithms = [7]
jwks_file = "keys.json"
max_lifetime = "0s"
[[issuer]]
issuer = "https://b.test"
algorithms = ["ES256"]
jwks_file = true
[[route]]
path = 1
methods = []
"""
    found = [(one.line, one.place) for one in problems(text)]
    assert found == [
        (2, "api.audience"),
        (4, "issuer[0].issuer"),
        (5, "issuer[0].algorithms[0]"),
        (7, "issuer[0].max_lifetime"),
        (11, "issuer[1].jwks_file"),
        (13, "route[0].path"),
        (14, "route[0].methods"),
    ]


@pytest.mark.attack("API-07")
def test_no_key_set_is_ever_shown(signer: Any) -> None:
    private = signer.private_jwk()
    configuration = load_data(data(jwks={"keys": [private]}))
    console = Console(record=True, width=10_000, file=None, quiet=True)
    console.print(configuration, configuration.issuer[0])
    shown = repr(configuration) + console.export_text()
    with pytest.raises(ConfigurationError) as caught:
        load_data(data(jwks={"keys": [private, object()]}, leeway=private["d"]))
    shown += str(caught.value) + repr(caught.value.problems)
    assert "https://a.test" in shown
    assert not any(value in shown for name, value in private.items() if name in {"d", "x", "y"})
