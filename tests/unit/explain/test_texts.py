"""Both languages say something about everything, and nothing about what does not exist."""

import re
import tomllib
from importlib.resources import files
from string import Formatter
from typing import Any

import msgspec
import pytest

from portvakt.errors import ConfigurationError
from portvakt.explain.texts import LANGUAGES, CodeText, StepText, compile_texts, load
from portvakt.refusal import Code, Step

PLACEHOLDER = re.compile(r"todo|tbd|fixme|xxx|lorem|placeholder|\?\?|^\W*$", re.IGNORECASE)

#: What a text about these must name: the claim or header parameter that it is about.
NAMED = {
    "AUDIENCE": "aud",
    "EXPIRY": "exp",
    "NOT_BEFORE": "nbf",
    "ISSUED_AT": "iat",
    "ISSUER": "iss",
    "TYPE": "typ",
    "ALGORITHM": "alg",
    "SCOPE_MALFORMED": "scope",
    "CONFIRMATION": "cnf",
    "LIFETIME": "exp",
    "TOKEN_EXPIRED": "exp",
    "NOT_YET_VALID": "nbf",
    "ISSUED_IN_FUTURE": "iat",
    "HEADER_CRITICAL": "crit",
    "KEY_UNKNOWN": "kid",
}


def tables(language: str) -> dict[str, Any]:
    text = files("portvakt.explain").joinpath(f"{language}.toml").read_text("utf-8")
    return tomllib.loads(text)


def sentences(language: str) -> list[tuple[str, str]]:
    texts = load(language)
    found = []
    for step, text in texts.step.items():
        found += [
            (f"{step.name}.{name}", getattr(text, name)) for name in StepText.__struct_fields__
        ]
    for code, reason in texts.code.items():
        found += [
            (f"{code.value}.{name}", getattr(reason, name)) for name in CodeText.__struct_fields__
        ]
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_file_holds_every_code_and_step_and_no_other(language: str) -> None:
    held = tables(language)
    assert set(held["code"]) == {code.value for code in Code}
    assert set(held["step"]) == {step.name.lower() for step in Step}
    assert set(held) == {"words", "code", "step"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_a_placeholder(language: str) -> None:
    for place, text in sentences(language):
        assert not PLACEHOLDER.search(text), place
        assert text == text.strip(), place
        if not place.endswith(".title"):
            assert len(text) > 20, place
            assert text.endswith("?" if place.endswith(".question") else "."), place


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_reasons_are_told_alike(language: str) -> None:
    told = [text.what for text in load(language).code.values()]
    told += [text.passed for text in load(language).step.values()]
    assert len(set(told)) == len(told)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_names_the_claim_or_parameter_that_it_is_about(language: str) -> None:
    for code, text in load(language).code.items():
        for prefix, name in NAMED.items():
            if code.name.startswith(prefix):
                assert f"`{name}`" in text.what + text.remedy, code


def test_the_languages_differ_in_every_sentence() -> None:
    english, norwegian = dict(sentences("en")), dict(sentences("nb"))
    same = {place for place in english if english[place] == norwegian[place]}
    assert {place for place in same if not place.endswith(".title")} == set()


def test_the_languages_leave_the_same_gaps_to_fill() -> None:
    def gaps(text: object) -> set[str | None]:
        fields = Formatter().parse(text) if isinstance(text, str) else ()
        return {name for _, name, _, _ in fields} - {None}

    english, norwegian = tables("en")["words"], tables("nb")["words"]
    assert {name: gaps(text) for name, text in english.items()} == {
        name: gaps(text) for name, text in norwegian.items()
    }


def test_no_text_of_a_check_or_reason_is_taken_for_a_template() -> None:
    for language in LANGUAGES:
        assert not [place for place, text in sentences(language) if "{" in text]


@pytest.mark.parametrize("kind", ["code", "step"])
def test_a_missing_text_fails_when_the_file_is_read(kind: str) -> None:
    held = tables("en")
    name, _ = held[kind].popitem()
    with pytest.raises(ValueError, match=name):
        compile_texts(held)


@pytest.mark.parametrize("kind", ["code", "step"])
def test_a_text_for_nothing_fails_when_the_file_is_read(kind: str) -> None:
    held = tables("en")
    held[kind]["moon_phase"] = next(iter(held[kind].values()))
    with pytest.raises(ValueError, match="moon_phase"):
        compile_texts(held)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("words", {"found": None}),
        ("words", {"extra": "?"}),
        ("code", {"token_expired": {"what": "?"}}),
    ],
)
def test_a_file_of_the_wrong_shape_fails_when_it_is_read(
    table: str, change: dict[str, Any]
) -> None:
    held = tables("nb")
    held[table].update(change)
    with pytest.raises(msgspec.ValidationError):
        compile_texts(held)


def test_a_language_without_texts_is_the_developers_mistake() -> None:
    with pytest.raises(ConfigurationError, match="language: must be en or nb"):
        load("../en")
