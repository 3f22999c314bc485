import logging
from collections.abc import Callable
from typing import Any

import pytest

from portvakt import HttpRequest, Requirement
from portvakt.config.compile import Policy, compile_policy
from portvakt.config.load import read_data
from portvakt.errors import ConfigurationError, Problem
from portvakt.jose.jwk import thumbprint as thumbprint_of
from portvakt.jose.signer import Signer

Compile = Callable[..., Policy]
Problems = Callable[..., tuple[Problem, ...]]


def test_a_policy_is_compiled_as_it_is_written(compiled: Compile, text: str) -> None:
    policy = compiled(text)
    (issuer,) = policy.issuers
    assert issuer.issuer == "https://sts.example.no"
    assert issuer.audience == policy.realm == "nhn:journal"
    assert issuer.algorithms == {"ES256"}
    assert issuer.types == {"at+jwt"}
    assert issuer.required_claims == {"sub", "client_id", "jti"}
    assert [key.kid for key in policy.keys[issuer.issuer].keys] == ["key-1"]
    journal, health = policy.routes.rules
    assert (journal.path, journal.methods, journal.public) == (
        "/journal/{patient}",
        frozenset({"GET"}),
        False,
    )
    assert journal.requirement.challenge == "nhn:journal/access nhn:journal/read"
    assert (health.path, health.methods, health.public) == ("/healthz", None, True)
    assert health.requirement.scopes == frozenset()


@pytest.mark.attack("API-09")
@pytest.mark.parametrize("routes", [False, True])
def test_the_scopes_of_the_api_are_demanded_where_no_rule_is(
    compiled: Compile, text: str, routes: bool
) -> None:
    policy = compiled(text if routes else text.partition("[[route]]")[0])
    assert len(policy.routes.rules) == (2 if routes else 0)
    # What an endpoint demands is demanded on top, so it may be nothing at all.
    rule = policy.routes.match(HttpRequest(method="GET", url="/else"), Requirement.of())
    assert (rule.public, rule.requirement.challenge) == (False, "nhn:journal/access")


@pytest.mark.twin("API-09")
def test_an_api_may_demand_no_scope_at_all(compiled: Compile, text: str) -> None:
    policy = compiled(text.replace('scopes = ["nhn:journal/access"]\n', ""))
    rule = policy.routes.match(HttpRequest(method="GET", url="/else"), Requirement.of())
    assert rule.requirement == Requirement.of(sensitivity="normal")


def test_an_issuer_may_call_the_api_by_another_name(compiled: Compile, text: str) -> None:
    policy = compiled(text.replace("leeway =", 'audience = "journal"\nleeway ='))
    assert policy.issuers[0].audience == "journal"
    assert policy.realm == "nhn:journal"


@pytest.mark.twin("KEY-14", "ALG-17")
def test_keys_may_stand_in_line(jwks: dict[str, Any]) -> None:
    issuer = {"issuer": "https://a.test", "algorithms": ["ES256"], "jwks": jwks}
    policy = compile_policy(read_data({"api": {"audience": "api"}, "issuer": [issuer]}))
    assert [key.kid for key in policy.keys["https://a.test"].keys] == ["key-1"]


def test_types_are_compared_in_their_one_form(compiled: Compile, text: str) -> None:
    policy = compiled(
        text.replace("leeway =", 'typ = ["JWT", "application/at+jwt", "absent"]\nleeway =')
    )
    assert policy.issuers[0].types == {"jwt", "at+jwt", "absent"}


#: What is replaced in the sound policy, by what, by what honest twin; and the place, line and
#: words of the problem.
Mistake = tuple[str, str, str, str, int, str]
MISTAKES: list[Mistake] = [
    ('"nhn:journal"\n', '"*"\n', '"nhn:other"\n', "api.audience", 2, "no value for any API"),
    ('"nhn:journal"\n', '"unspecified"\n', '"un"\n', "api.audience", 2, "no value for any API"),
    ('"nhn:journal"\n', '""\n', '"x"\n', "api.audience", 2, "must be the name of this API"),
    ('"nhn:journal/access"', '"a b"', '"a", "b"', "api.scopes[0]", 3, "is not one scope"),
    ('"nhn:journal/access"', '"a", ""', "", "api.scopes[1]", 3, "is not one scope"),
    ('"https://sts.example.no"', '""', '"sts"', "issuer[0].issuer", 6, "the exact value of iss"),
    ('"keys.json"', '"absent.json"', '"./keys.json"', "issuer[0].jwks_file", 7, "No such file"),
    ('"keys.json"', '"a\\u0000"', '"keys.json"', "issuer[0].jwks_file", 7, "null character"),
    (
        '"https://sts.example.no"\njwks_file = "keys.json"',
        '"urn:sts"',
        '"https://sts.example.no"',
        "issuer[0]",
        5,
        "has no keys",
    ),
    ('["ES256"]', "[]", '["ES256"]', "issuer[0].algorithms", 8, "empty does not mean all"),
    ('["ES256"]', '["ES256", "none"]', '["ES256"]', "issuer[0].algorithms", 8, "no signature"),
    ('["ES256"]', '["ES256", "NONE"]', '["ES256"]', "issuer[0].algorithms", 8, "no signature"),
    ('["ES256"]', '["ES256", "HS256"]', '["ES256"]', "issuer[0].algorithms", 8, "shared secret"),
    ('["ES256"]', '["ES256", "es256"]', '["ES256"]', "issuer[0].algorithms", 8, "not a known"),
    ('["ES256"]', '["ES256", ""]', '["ES256"]', "issuer[0].algorithms[1]", 8, "is empty"),
    ('["ES256"]', '[""]', '["ES256"]', "issuer[0].algorithms[0]", 8, "is empty"),
    ('"5s"', '"301s"', '"300s"', "issuer[0].leeway", 9, "between 0 and 300 seconds"),
    ('leeway = "5s"', 'max_age_ahead = "6m"', "", "issuer[0].max_age_ahead", 9, "300 seconds"),
    ('leeway = "5s"', 'max_lifetime = "0s"', "", "issuer[0].max_lifetime", 9, "more than nothing"),
    ('leeway = "5s"', 'max_lifetime = "9999h"', "", "issuer[0].max_lifetime", 9, "at most 366"),
    ('leeway = "5s"', "typ = []", 'typ = ["JWT"]', "issuer[0].typ", 9, "empty does not mean all"),
    ('leeway = "5s"', 'typ = ["*"]', 'typ = ["x/y"]', "issuer[0].typ[0]", 9, "not a media type"),
    ('leeway = "5s"', 'typ = ["JWT;a=b"]', 'typ = ["JWT"]', "issuer[0].typ[0]", 9, "parameters"),
    ('leeway = "5s"', 'typ = [""]', 'typ = ["absent"]', "issuer[0].typ[0]", 9, "is empty"),
    ('leeway = "5s"', 'audience = "*"', 'audience = "x"', "issuer[0].audience", 9, "for any API"),
    (
        'leeway = "5s"',
        'other_audiences = ["*"]',
        'other_audiences = ["account"]',
        "issuer[0].other_audiences",
        9,
        "each listed",
    ),
    (
        'leeway = "5s"',
        'required_claims = [""]',
        "required_claims = []",
        "issuer[0].required_claims[0]",
        9,
        "is empty",
    ),
    (
        'leeway = "5s"',
        "jwks = { keys = [] }",
        "",
        "issuer[0].jwks",
        9,
        "stands beside jwks_file",
    ),
    (
        '"/journal/{patient}"',
        '"journal"',
        '"/journal"',
        "route[0].path",
        12,
        "starting with a slash",
    ),
    ('path = "/journal/{patient}"', "", 'path = "/x"', "route[0].path", 11, "is missing"),
    ('"/journal/{patient}"', '"/healthz"', '"/health"', "route[1].path", 17, "one rule for each"),
    ('["GET"]', '["get"]', '["GET"]', "route[0].methods", 13, "write GET"),
    ('["GET"]', "[]", '["GET"]', "route[0].methods", 13, "leave it out for every method"),
    ('["GET"]', '[""]', '["PUT"]', "route[0].methods[0]", 13, "is empty"),
    ('"nhn:journal/read"', '"a\\"b"', '"ab"', "route[0].scopes[0]", 14, "is not one scope"),
    ("public = true", 'public = true\nscopes = ["a"]', "", "route[1].public", 18, "cannot demand"),
]


@pytest.mark.attack("ALG-07", "ALG-17", "API-04")
@pytest.mark.parametrize(("old", "hostile", "_honest", "place", "line", "message"), MISTAKES)
def test_what_is_incomplete_or_unsafe_is_named(
    problems: Problems,
    text: str,
    old: str,
    hostile: str,
    _honest: str,
    place: str,
    line: int,
    message: str,
) -> None:
    (problem,) = problems(text.replace(old, hostile, 1))
    assert (problem.place, problem.line) == (place, line)
    assert message in problem.message


@pytest.mark.twin("ALG-07", "ALG-17", "API-04")
@pytest.mark.parametrize(("old", "_hostile", "honest", "_place", "_line", "_message"), MISTAKES)
def test_the_honest_neighbour_of_each_mistake_is_accepted(
    compiled: Compile,
    text: str,
    old: str,
    _hostile: str,
    honest: str,
    _place: str,
    _line: int,
    _message: str,
) -> None:
    assert old in text
    assert compiled(text.replace(old, honest, 1)).issuers


@pytest.mark.parametrize(
    "text", ['issuer = []\n[api]\naudience = "a"', '[api]\naudience = "a"\n[issuer]\n']
)
def test_a_policy_without_an_issuer_is_none(problems: Problems, text: str) -> None:
    (problem,) = problems(text)
    assert problem.place == "issuer"


def test_an_issuer_is_stated_once(compiled: Compile, problems: Problems, text: str) -> None:
    again = text[text.index("[[issuer]]") : text.index("[[route]]")]
    (problem,) = problems(text + again)
    assert (problem.place, problem.line) == ("issuer[1].issuer", 20)
    assert "issuer[0]" in problem.message
    assert len(compiled(text + again.replace("https://sts", "https://test.sts")).issuers) == 2


@pytest.mark.attack("KEY-14", "ALG-17")
@pytest.mark.parametrize("in_line", [True, False])
def test_a_private_or_symmetric_key_among_the_good_ones_is_an_error(
    problems: Problems, text: str, signer: Signer, *, in_line: bool
) -> None:
    private = signer.private_jwk()
    secrets: list[dict[str, Any]] = [private, {"kty": "oct", "k": "c2VjcmV0LXZhbHVl", "kid": "s"}]
    keys = {"keys": [signer.public_jwk(), *secrets]}
    if in_line:
        issuer = {"issuer": "https://a.test", "algorithms": ["ES256"], "jwks": keys}
        draft = read_data({"api": {"audience": "api"}, "issuer": [issuer]})
        with pytest.raises(ConfigurationError) as caught:
            compile_policy(draft)
        found = caught.value.problems
    else:
        found = problems(text, keys=keys)
    assert [one.place for one in found] == [
        "issuer[0].jwks" if in_line else "issuer[0].jwks_file"
    ] * 2
    assert [one.message[:7] for one in found] == ["keys[1]", "keys[2]"]
    said = " ".join(map(str, found))
    assert private["d"] not in said
    assert "c2VjcmV0LXZhbHVl" not in said


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (b"", "not strict JSON"),
        (b'{"keys": [], "keys": []}', "repeated"),
        (b"[]", "not strict JSON"),
        ({"key": []}, "no array named keys"),
        ({"keys": []}, "has no usable key: the set is empty"),
        ({"keys": ["x", {"kty": "EC", "use": "enc"}]}, "keys[0]: not a JSON object; keys[1]: use"),
        (b" " * (512 * 1024 + 1), "longer than"),
    ],
)
def test_a_file_without_a_usable_key_says_why(
    problems: Problems, text: str, keys: object, message: str
) -> None:
    (problem,) = problems(text, keys=keys)
    assert (problem.place, problem.line) == ("issuer[0].jwks_file", 7)
    assert message in problem.message


@pytest.mark.twin("API-07")
def test_other_keys_that_are_not_used_are_a_warning(
    compiled: Compile, text: str, signer: Signer, caplog: pytest.LogCaptureFixture
) -> None:
    odd = {**Signer.generate("ES384", "odd\n").public_jwk(), "use": "enc"}
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        policy = compiled(text, keys={"keys": [odd, signer.public_jwk()]})
    assert len(policy.keys["https://sts.example.no"].keys) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "issuer https://sts.example.no: keys[0] (kid 'odd\\n') is not used: use is not sig"
    ]


def test_an_algorithm_that_no_key_is_for_is_a_warning(
    compiled: Compile, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        compiled(text.replace('["ES256"]', '["ES256", "RS256"]'))
    assert [record.getMessage() for record in caplog.records] == [
        "issuer https://sts.example.no: RS256 is allowed, but no key is for it"
    ]


def test_a_sound_policy_warns_of_nothing(
    compiled: Compile, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        compiled(text)
    assert not caplog.records


def test_issuers_that_share_a_key_are_a_warning(
    jwks: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def policy(*keys: dict[str, Any]) -> dict[str, Any]:
        names = ("https://a.test", "https://b.test", "https://c.test")
        issuers = [
            {"issuer": name, "algorithms": ["ES256"], **how}
            for name, how in zip(names, keys, strict=False)
        ]
        return {"api": {"audience": "api"}, "issuer": issuers}

    other = {"keys": [Signer.generate("ES256", "key-1").public_jwk()]}
    thumbprint = thumbprint_of(jwks["keys"][0])
    with caplog.at_level(logging.WARNING, "portvakt.config"):
        compile_policy(read_data(policy({"jwks": jwks}, {"jwks": other})))
        assert caplog.messages == []
        # One under another name, and one that is fetched: what it pins is known before.
        renamed = {"keys": [{**jwks["keys"][0], "kid": "key-2"}, *other["keys"]]}
        pinned = {"pin": [thumbprint]}
        compile_policy(read_data(policy({"jwks": jwks}, {"jwks": renamed}, pinned)))
    assert caplog.messages == [
        f"issuer https://{one}.test and issuer https://{two}.test share a key (thumbprint "
        f"{thumbprint}): each could sign in the other's name"
        for one, two in ("ab", "ac", "bc")
    ]
