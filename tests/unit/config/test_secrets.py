"""References to secrets in a policy: read, checked, and never a way to put the secret itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
import pytest
from msgspec import UNSET, Struct, UnsetType, inspect
from rich.pretty import pretty_repr

from portvakt.config.environment import PASSPHRASE, override
from portvakt.config.keystore import check_encryption, check_keystore
from portvakt.config.keystore_schema import EncryptionTable, KeystoreTable
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.config.secrets_schema import SOURCES, SecretTable
from portvakt.config.tables import _read
from portvakt.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET: Final = "kanari-0123456789"
INSTEAD: Final = 'must be a table that refers to the secret, as { env = "…" }, not'


class Table(Struct, frozen=True, kw_only=True):
    """A table with a secret, as that of an issuer."""

    secret: SecretTable | UnsetType = UNSET
    needed: SecretTable = SecretTable(env="A")


def said(work: Callable[[Problems], object]) -> list[tuple[str, str]]:
    """Return the places and messages of what is wrong."""
    problems = Problems()
    work(problems)
    try:
        problems.check()
    except ConfigurationError as error:
        found = [(problem.place, problem.message) for problem in error.problems]
    else:
        return []
    assert SECRET not in str(found)
    return found


def read(tables: dict[str, Any], problems: Problems | None = None) -> Table:
    table: Table = _read(inspect.type_info(Table), tables, "", problems or Problems())
    return table


@pytest.mark.parametrize("source", SOURCES)
def test_reference_is_read(source: str) -> None:
    assert read({"secret": {source: "name"}}).secret == SecretTable(**{source: "name"})
    assert read({}).secret is UNSET
    assert SecretTable(**{source: "name"}).source == source


@pytest.mark.attack("API-07")
@pytest.mark.parametrize("name", ["secret", "needed"])
@pytest.mark.parametrize(
    ("value", "form"),
    [
        (SECRET, "text"),
        (5, "a number"),
        (True, "true or false"),
        ([SECRET], "a list"),
        ("", "text"),
    ],
)
def test_secret_itself_is_refused_by_its_place_and_not_shown(
    name: str, value: object, form: str
) -> None:
    found = said(lambda problems: read({name: value}, problems))
    assert found == [(name, f"{INSTEAD} {form}")]


@pytest.mark.attack("API-07")
def test_secret_under_another_name_is_not_shown() -> None:
    found = said(lambda problems: read({"secret": {"value": SECRET}}, problems))
    assert found == [("secret.value", "is not known; known are env, file, keystore")]
    long = f"{SECRET}-and-more-of-it"  # no name that anybody gives to a setting
    found = said(lambda problems: read({"secret": {long: 1}}, problems))
    assert found == [("secret.…", "is not known; known are env, file, keystore")]


@pytest.mark.attack("API-07")
@pytest.mark.parametrize(
    "value", [SECRET, f'"{SECRET}"', f'{{value = "{SECRET}"}}', f'["{SECRET}"]']
)
def test_environment_is_no_way_to_put_a_secret(value: str) -> None:
    tables: dict[str, Any] = {}
    problems = Problems()
    override(tables, {"PORTVAKT_SECRET": value}, problems)
    read(tables, problems)
    with pytest.raises(ConfigurationError, match="PORTVAKT_SECRET") as caught:
        problems.check()
    assert SECRET not in str(caught.value)


def test_environment_may_say_where_a_secret_is() -> None:
    tables: dict[str, Any] = {}
    problems = Problems()
    override(tables, {"PORTVAKT_SECRET__ENV": "NAME", PASSPHRASE: SECRET}, problems)
    assert tables == {"secret": {"env": "NAME"}}
    assert read(tables, problems).secret == SecretTable(env="NAME")
    problems.check()


@pytest.mark.parametrize(
    "table",
    [
        SecretTable(env="NAME"), SecretTable(env="_name_2"), SecretTable(env=PASSPHRASE),
        SecretTable(file="secret"), SecretTable(file="../run/secrets/a b"),
        SecretTable(keystore="api"), SecretTable(keystore="a.b-c_1"),
    ],
)  # fmt: skip
def test_sound_reference(table: SecretTable) -> None:
    assert said(lambda problems: check_secret(table, "a.b", problems)) == []


@pytest.mark.parametrize(
    ("table", "place", "message"),
    [
        (SecretTable(), "", "names no secret: state exactly one of env, file, keystore"),
        (SecretTable(env="A", file="b"), "", "names env and file: state exactly one"),
        (SecretTable(env="A", file="b", keystore="c"), "", "names env and file and keystore"),
        (SecretTable(env=""), ".env", "must be the name of an environment variable"),
        (SecretTable(env=SECRET), ".env", "must be the name of an environment variable"),
        (SecretTable(env="A B"), ".env", "must be the name of an environment variable"),
        (SecretTable(env="A\n"), ".env", "must be the name of an environment variable"),
        (SecretTable(env="PORTVAKT_SECRET"), ".env", "a variable of such a name is a setting"),
        (SecretTable(file=""), ".file", "must be the name of a file"),
        (SecretTable(file="a\0b"), ".file", "must be the name of a file"),
        (SecretTable(file=f"-----BEGIN\n{SECRET}"), ".file", "must be the name of a file"),
        (SecretTable(keystore=""), ".keystore", "must be the name of an entry"),
        (SecretTable(keystore=f"{SECRET}="), ".keystore", "must be the name of an entry"),
    ],
)
def test_unsound_reference_is_named_by_its_place(
    table: SecretTable, place: str, message: str
) -> None:
    found = said(lambda problems: check_secret(table, "a.b", problems))
    assert [(one, message in text) for one, text in found] == [(f"a.b{place}", True)]


def test_no_repr_shows_what_stands_in_a_reference() -> None:
    for source in SOURCES:
        table = SecretTable(**{source: SECRET})
        held = [table, KeystoreTable(file="x", passphrase=table), EncryptionTable(keys=table)]
        for form in (repr, str, pretty_repr):
            assert SECRET not in form(held)
        assert source in repr(table)


KEYSTORE: Final = KeystoreTable(file="keys.portvakt")


@pytest.mark.parametrize(
    ("table", "place", "message"),
    [
        (KeystoreTable(file=""), "keystore.file", "must be the name of a file"),
        (KeystoreTable(file="a\0b"), "keystore.file", "must be the name of a file"),
        (
            KeystoreTable(file="a", passphrase=SecretTable(keystore="x")),
            "keystore.passphrase",
            "cannot be in the key store that it opens",
        ),
        (
            KeystoreTable(file="a", passphrase=SecretTable()),
            "keystore.passphrase",
            "names no secret",
        ),
        (
            KeystoreTable(file="a", passphrase=SecretTable(env="PORTVAKT_X")),
            "keystore.passphrase.env",
            "must not begin with PORTVAKT_",
        ),
    ],
)
def test_unsound_key_store_is_named_by_its_place(
    table: KeystoreTable, place: str, message: str
) -> None:
    found = said(lambda problems: check_keystore(table, [], problems))
    assert [(one, message in text) for one, text in found] == [(place, True)]


def test_sound_key_store() -> None:
    references = [("a.b", SecretTable(keystore="x"))]
    assert KEYSTORE.passphrase == SecretTable(env=PASSPHRASE)
    assert said(lambda problems: check_keystore(KEYSTORE, references, problems)) == []
    assert said(lambda problems: check_keystore(UNSET, [], problems)) == []


def test_reference_to_a_key_store_that_there_is_not() -> None:
    references = [("a.b", SecretTable(keystore="x")), ("a.c", SecretTable(env="X"))]
    found = said(lambda problems: check_keystore(UNSET, references, problems))
    assert found == [("a.b.keystore", "there is no key store: add [keystore] with file")]


def test_keys_that_decrypt_are_a_reference() -> None:
    sound = EncryptionTable(keys=SecretTable(keystore="api"))
    assert said(lambda problems: check_encryption(sound, problems)) == []
    assert said(lambda problems: check_encryption(UNSET, problems)) == []
    found = said(lambda problems: check_encryption(EncryptionTable(keys=SecretTable()), problems))
    assert found[0][0] == "encryption.keys"


def test_editors_are_told_what_a_reference_is() -> None:
    schema = msgspec.json.schema(KeystoreTable)["$defs"]
    assert schema["SecretTable"]["properties"].keys() == set(SOURCES)
    assert schema["KeystoreTable"]["required"] == ["file"]
