"""The words of an explanation: for every check and every refusal, in each language.

They stand in ``en.toml`` and ``nb.toml`` beside this file, and are read when first needed. A text
that is missing, or for something that does not exist, fails when the file is read.
"""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.refusal import Code, Step

__all__ = [
    "LANGUAGES",
    "CodeText",
    "Language",
    "StepText",
    "Texts",
    "Words",
    "compile_texts",
    "load",
]

Language = Literal["en", "nb"]
LANGUAGES: Final[tuple[str, ...]] = get_args(Language)


class StepText(Struct, frozen=True, forbid_unknown_fields=True):
    """One check.

    Attributes:
        title: its name, one or two words.
        question: what it asks.
        passed: what it means that it passed.
        advice: the piece of advice that it answers.
    """

    title: str
    question: str
    passed: str
    advice: str


class CodeText(Struct, frozen=True, forbid_unknown_fields=True):
    """One reason for a refusal.

    Attributes:
        what: what happened.
        why: why it matters.
        remedy: what to do about it.
    """

    what: str
    why: str
    remedy: str


class Words(Struct, frozen=True, forbid_unknown_fields=True):
    """The small words between; those in braces are filled in."""

    admitted: str
    admitted_public: str
    answered: str
    refused: str
    cannot_tell: str
    outcome_passed: str
    outcome_failed: str
    outcome_not_reached: str
    judged_at: str
    found: str
    expected: str
    unverified: str
    matters: str
    remedy: str
    advice: str
    answer: str
    log: str
    not_reached: str
    not_made: str
    not_needed: str
    not_known: str
    no_rules: str
    no_request: str
    any_method: str
    public: str
    characters: str
    parts: str
    inside: str
    octets: str
    absent: str
    unreadable: str
    too_long: str
    no_scope: str
    bound: str
    unbound: str
    reference: str
    self_contained: str
    says_nothing: str
    of_signed: str
    not_encrypted: str
    irrevocable: str
    missing: str
    at_most: str
    ahead: str
    ago: str
    units: tuple[str, str, str, str]
    and_more: str
    hidden: str


class Texts(Struct, frozen=True):
    """Everything there is to say, in one language."""

    words: Words
    step: dict[Step, StepText]
    code: dict[Code, CodeText]


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of a file of texts, as they stand in it."""

    words: Words
    step: dict[str, StepText]
    code: dict[str, CodeText]


def load(language: str) -> Texts:
    """Return the texts of one language.

    Parameters:
        language: one of :data:`LANGUAGES`.

    Raises:
        ConfigurationError: if there are no texts in it.
    """
    if language not in LANGUAGES:
        known = " or ".join(LANGUAGES)
        raise ConfigurationError([Problem("language", f"must be {known}")])
    return _load(language)


@cache
def _load(language: str) -> Texts:
    text = files("portvakt.explain").joinpath(f"{language}.toml").read_text("utf-8")
    return compile_texts(tomllib.loads(text))


def compile_texts(tables: dict[str, Any]) -> Texts:
    """Make texts of the tables of a file.

    Raises:
        msgspec.ValidationError: if a word is missing, or one too many.
        ValueError: if a check or a reason has no text, or a text has none of them.
    """
    file = msgspec.convert(tables, _File)
    steps = {step.name.lower(): step for step in Step}
    codes = {code.value: code for code in Code}
    astray = sorted((file.step.keys() ^ steps.keys()) | (file.code.keys() ^ codes.keys()))
    if astray:
        raise ValueError(f"no text, or a text for nothing: {', '.join(astray)}")
    return Texts(
        file.words,
        {step: file.step[name] for name, step in steps.items()},
        {code: file.code[name] for name, code in codes.items()},
    )
