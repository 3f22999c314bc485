"""Profiles as files: those that come with Portvakt are consistent, and a wrong one is named."""

from __future__ import annotations

import contextlib
import tomllib
from collections import Counter
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.header import media_type
from portvakt.policy.identifiers import PersonKind
from portvakt.profiles.profile import (
    ClaimNames,
    MalformedProfile,
    Profile,
    UnknownProfile,
    load_profile,
    load_profile_file,
    profile_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = (
    "auth0",
    "auth0-rfc9068",
    "entra",
    "entra-v1",
    "helseid",
    "helseid-test",
    "idporten",
    "idporten-test",
    "keycloak",
    "maskinporten",
    "maskinporten-test",
    "okta",
    "rfc9068",
)
#: What a production environment may know; everything else, or also, is a person of a test.
REAL = {PersonKind.FODSELSNUMMER.value, PersonKind.D_NUMBER.value}

PROFILE = """
title = "Ours"
about = "Our own issuer."
production = true
issuer = "https://ours.example.no"
algorithms = ["ES256"]
"""


def text_of(name: str) -> str:
    return files("portvakt.profiles").joinpath(f"{name}.toml").read_text("utf-8")


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str | bytes], Profile]:
    def read(text: str | bytes) -> Profile:
        file = tmp_path / "ours.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_profile_file(file)

    return read


def test_these_come_with_portvakt() -> None:
    assert profile_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
class TestEach:
    def test_it_says_where_its_facts_are_from(self, name: str) -> None:
        lines = text_of(name).splitlines()
        comment = lines[: lines.index(f'title = "{load_profile(name).title}"')]
        assert comment
        assert all(line.startswith("# ") for line in comment)

    def test_people_are_told_what_it_is(self, name: str) -> None:
        profile = load_profile(name)
        assert profile.title
        assert profile.about.endswith(".")
        assert profile.production is not name.endswith("-test")
        assert profile.production is ("test environment" not in profile.about)

    def test_its_issuer_is_known_or_hinted_at_and_https(self, name: str) -> None:
        profile = load_profile(name)
        urls = [profile.issuer or profile.issuer_hint, profile.metadata_uri, profile.jwks_uri]
        assert all(url.startswith("https://") for url in urls if url is not None)
        if profile.metadata_uri is not None:
            # Its metadata is its own.
            assert profile.issuer is not None
            assert profile.metadata_uri.startswith(profile.issuer.removesuffix("/") + "/")

    def test_nothing_is_signed_with_a_shared_secret_or_not_at_all(self, name: str) -> None:
        assert {*load_profile(name).algorithms} <= ALGORITHMS.keys()

    def test_a_token_without_an_explicit_type_is_told_from_others(self, name: str) -> None:
        profile = load_profile(name)
        types = {media_type(typ) for typ in profile.typ}
        if types != {"at+jwt"}:
            assert {"at_hash", "c_hash", "s_hash", "events"} <= {*profile.refused_claims}
            # nonce as well, or the token says itself what it is.
            assert "nonce" in profile.refused_claims or profile.expected_values
            # An ID token need not have any of these, but it never says whose client it is for.
            assert profile.claims.client_id in profile.required_claims

    def test_its_levels_are_in_order_and_can_be_asked_for(self, name: str) -> None:
        profile = load_profile(name)
        assert bool(profile.levels) is bool(profile.claims.security_level)
        for level, acr in profile.acr_values.items():
            # HelseID's claim has another form than its acr_values.
            assert profile.levels.get(acr, int(level)) == int(level)
            assert profile.levels.get(level, int(level)) == int(level)
        for value, order in profile.levels.items():
            if value.endswith(("low", "substantial", "high")):
                assert order == ("low", "substantial", "high").index(value.rpartition("-")[2]) + 2
            if value.isdigit() or value.startswith("Level"):
                assert order == int(value.removeprefix("Level"))

    def test_each_claim_carries_one_thing(self, name: str) -> None:
        names = load_profile(name).claims.names
        assert {*Counter(names).values()} == {1}
        assert all(names)

    def test_production_knows_no_synthetic_person_and_a_test_does(self, name: str) -> None:
        profile = load_profile(name)
        kinds = {*profile.person_kinds}
        assert kinds <= {kind.value for kind in PersonKind}
        assert kinds == REAL if profile.production else kinds > REAL
        assert profile.strict_check_digits is profile.production

    def test_a_token_lives_no_longer_than_a_day(self, name: str) -> None:
        profile = load_profile(name)
        assert profile.max_lifetime is None or 3600 < profile.max_lifetime <= 86400
        assert profile.leeway == 5.0

    def test_no_default_is_repeated(self, name: str) -> None:
        tables = tomllib.loads(text_of(name))
        usual = {"typ": ["at+jwt"], "leeway": 5, "other_audiences": [], "iso6523": False}
        assert [key for key, value in usual.items() if tables.get(key) == value] in ([], ["typ"])


@pytest.mark.parametrize("name", ["helseid", "maskinporten", "idporten"])
def test_environments_differ_in_what_environments_differ_in(name: str) -> None:
    production, test = load_profile(name), load_profile(f"{name}-test")
    differing = {
        field
        for field in Profile.__struct_fields__
        if getattr(production, field) != getattr(test, field)
    }
    own = {"title", "about", "production", "issuer", "person_kinds", "strict_check_digits"}
    assert differing - {"metadata_uri"} == own


def test_audiences_may_be_named_after_the_issuer() -> None:
    assert load_profile("auth0").audiences("https://t.eu.auth0.com/") == (
        "https://t.eu.auth0.com/userinfo",
    )
    assert load_profile("keycloak").audiences("https://k.test") == ("account",)
    assert load_profile("okta").audiences("https://o.test") == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("helsid", "did you mean helseid?"),
        ("HelseID", "did you mean helseid?"),
        ("entra-id", "did you mean entra?"),
        ("", "known are auth0, "),
        ("../okta", "did you mean okta?"),
        ("okta.toml", "did you mean okta?"),
        ("x" * 10_000, "known are auth0, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UnknownProfile, match="is no profile; ") as unknown:
        load_profile(name)
    assert message in str(unknown.value)
    assert len(str(unknown.value)) < 300


def test_a_file_of_ones_own_is_read(read: Callable[[str | bytes], Profile]) -> None:
    profile = read(PROFILE)
    assert (profile.title, profile.production, profile.algorithms) == ("Ours", True, ("ES256",))
    assert profile.typ == ("at+jwt",)
    assert profile.claims == ClaimNames()
    assert read(b"\xef\xbb\xbf" + PROFILE.encode()) == profile
    for name in NAMES:
        assert read(text_of(name)) == load_profile(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('titel = "x"', "titel: unknown key; did you mean title?"),
        ("TITLE = 1", "TITLE: unknown key; did you mean title?"),
        ('[claims]\npidd = ["x"]', "claims.pidd: unknown key; did you mean pid?"),
        ("[claims]\nshoe_size = 1", "claims.shoe_size: unknown key; known are subject, client_id"),
        ('"\\u001b[2J" = 1', "'\\x1b[2J': unknown key; known are title"),
        ('"a` - at `$.b" = 1', "'a` - at `$.b': unknown key"),
        ("leeway = true", "leeway: malformed: Expected `float`, got `bool`"),
        ('leeway = "5s"', "leeway: malformed: Expected `float`, got `str`"),
        ("production = 1", "production: malformed"),
        ("typ = [1]", "typ[0]: malformed"),
        ('typ = "JWT"', "typ: malformed"),
        ("levels = 1", "levels: malformed"),
        ("claims = 1", "claims: malformed"),
        ('[claims]\npid = "x"', "claims.pid: malformed"),
        ("[claims]\nsubject = []", "claims.subject: malformed"),
        ('[levels]\n"4" = true', "levels[...]: malformed"),
        ("[expected_values]\nx = [1]", "expected_values[...][0]: malformed"),
        ("[expected_values]\nx = []", "expected_values: 'x' has no value"),
        ('issuer_hint = "x"', "either an issuer, or an issuer_hint"),
        ("algorithms = []", "at least one algorithm and one typ"),
        ("typ = []", "at least one algorithm and one typ"),
        ("[levels]\na = 1", "needs levels and a claim for security_level, or neither"),
        ('[claims]\nsecurity_level = ["a"]', "needs levels and a claim for security_level"),
        ('levels.a = 5\nclaims.security_level = ["a"]', "levels must be numbers from 1 to 4"),
        ('levels.a = 0\nclaims.security_level = ["a"]', "levels must be numbers from 1 to 4"),
        ('acr_values.3 = "x"', "acr_values are by level: without levels, none"),
        (
            'levels.a = 2\nlevels.b = 4\nclaims.security_level = ["a"]\nacr_values.3 = "x"',
            "acr_values are by level: 2, 4",
        ),
        ('refused_claims = ["jti"]', "refused_claims: 'jti' is a claim that access tokens have"),
        (
            'refused_claims = ["typ"]\nexpected_values.typ = ["Bearer"]',
            "refused_claims: 'typ' is a claim that access tokens have",
        ),
        (
            'refused_claims = ["who"]\nclaims.pid = ["who"]',
            "refused_claims: 'who' is a claim that access tokens have",
        ),
        ("x", "is not TOML"),
        ("x = " + "[" * 5000, "is not TOML"),
        ("x = " + "9" * 5000, "is not TOML"),
        ("#" * 65 * 1024, "is longer than 65536 octets"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    read: Callable[[str | bytes], Profile], text: str, message: str
) -> None:
    key = text.partition(" ")[0]
    lines = [line for line in PROFILE.splitlines() if line.partition(" ")[0] != key]
    with pytest.raises(MalformedProfile) as malformed:
        read("\n".join([*lines, text]))
    assert message in str(malformed.value)
    assert "\x1b" not in str(malformed.value)


@pytest.mark.parametrize("missing", ["title", "about", "production", "algorithms"])
def test_what_every_profile_says_must_be_there(
    read: Callable[[str | bytes], Profile], missing: str
) -> None:
    with pytest.raises(MalformedProfile, match=f"the profile: malformed: .*`{missing}`"):
        read("\n".join(line for line in PROFILE.splitlines() if not line.startswith(missing)))


def test_what_is_not_text_is_no_profile(read: Callable[[str | bytes], Profile]) -> None:
    with pytest.raises(MalformedProfile, match="is not TOML"):
        read(b"\xff")


def test_a_file_that_is_not_there_is_the_systems_to_explain(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_profile_file(tmp_path / "absent.toml")


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.sampled_from(["ES256", "at+jwt", "sub", "https://x", "", "4"])
)  # fmt: skip
KEYS = st.sampled_from([*Profile.__struct_fields__, *ClaimNames.__struct_fields__, "x", "é", "4"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=10,
)


def toml(value: object) -> str:
    """Write a value as TOML, as far as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(one):08x}" for one in value) + '"'
    return str(value)


@pytest.fixture(scope="module")
def any_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("anything") / "any.toml"


@given(st.binary() | st.text().map(str.encode))
def test_any_octets_are_a_profile_or_malformed(any_file: Path, octets: bytes) -> None:
    any_file.write_bytes(octets)
    with contextlib.suppress(MalformedProfile):
        load_profile_file(any_file)


@given(st.dictionaries(KEYS, ANYTHING, max_size=5))
def test_any_change_to_a_profile_is_one_or_malformed(
    any_file: Path, changes: dict[str, Any]
) -> None:
    tables = {**tomllib.loads(PROFILE), **changes}
    any_file.write_text("\n".join(f"{toml(key)} = {toml(one)}" for key, one in tables.items()))
    try:
        profile = load_profile_file(any_file)
    except MalformedProfile as flaw:
        assert str(flaw)  # noqa: PT017  either outcome is right
    else:
        assert (profile.issuer is None) is not (profile.issuer_hint is None)
        assert profile.algorithms
        assert profile.typ
        assert {*profile.refused_claims}.isdisjoint(profile.claims.names)
