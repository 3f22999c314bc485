"""Decoded TOML → Configuration, setting by setting, so that one mistake does not hide the next.

What a setting looks like is read from the types of :mod:`portvakt.config.schema`: a new key there
is read here without a word more.
"""

from collections.abc import Mapping
from datetime import date, time
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import inspect

from portvakt.config.duration import parse_duration
from portvakt.config.place import below
from portvakt.config.problems import Problems
from portvakt.config.schema import Configuration
from portvakt.config.secrets_schema import SecretTable
from portvakt.jose.encoding import NotCanonical, decode_object, encode_object

__all__ = ["read_configuration"]


def read_configuration(tables: Mapping[str, Any], problems: Problems) -> Configuration:
    """Read the tables of a policy. What comes out shares nothing with what went in.

    If a problem is noted, the configuration holds stand-ins and must not be used for anything but
    finding more problems.

    Parameters:
        tables: the decoded file, or data shaped like it.
        problems: where to note unknown and missing keys and values of the wrong form.
    """
    configuration: Configuration = _read(inspect.type_info(Configuration), tables, "", problems)
    return configuration


def _read(  # noqa: PLR0911, PLR0912  one case for each kind of value
    kind: inspect.Type, value: object, place: str, problems: Problems
) -> Any:
    """Read one value of a kind, or note a problem and return a stand-in."""
    match kind:
        case inspect.Metadata(type=inner):
            return _read(inner, value, place, problems)
        case inspect.StructType():
            return _table(kind, value, place, problems)
        case inspect.VarTupleType(item_type=item):
            return _list(item, value, place, problems)
        case inspect.FloatType():
            return _duration(value, place, problems)
        case inspect.DictType(value_type=inspect.AnyType()):
            return _key_set(value, place, problems)
        case inspect.DictType(value_type=inner):
            return _mapping(inner, value, place, problems)
        case inspect.UnionType(types=kinds):
            return _one_of(kinds, value, place, problems)
        case inspect.IntType():
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            problems.void(place, f"must be a whole number, not {_form(value)}")
            return 0
        case inspect.BoolType():
            if isinstance(value, bool):
                return value
            problems.void(place, f"must be true or false, not {_form(value)}")
            return False
        case _:
            if isinstance(value, str):
                return str(value)
            problems.void(place, f"must be text in quotes, not {_form(value)}")
            return ""


def _table(
    kind: inspect.StructType, value: object, place: str, problems: Problems
) -> msgspec.Struct:
    if not isinstance(value, Mapping):
        problems.void(place, f"must be {_TABLES.get(kind.cls, 'a table')}, not {_form(value)}")
        value = {}
    known = {field.name: field for field in kind.fields}
    for name in value:
        if name not in known:
            problems.add(below(place, str(name)), _unknown(str(name), list(known)))
    members = {}
    for name, field in known.items():
        inside = below(place, name)
        if name in value:
            members[name] = _read(field.type, value[name], inside, problems)
        elif field.required:
            problems.void(inside, "is missing")
            members[name] = _stand_in(field.type)
    made: msgspec.Struct = kind.cls(**members)
    return made


#: What the table of a type is called, where something else stands in its place.
_TABLES: Final[dict[type, str]] = {
    SecretTable: 'a table that refers to the secret, as { env = "…" }'
}


def _stand_in(kind: inspect.Type) -> Any:
    # The place is void already, and so is whatever is noted of an empty table in it.
    nowhere = Problems()
    match kind:
        case inspect.Metadata(type=inner):
            return _stand_in(inner)
        case inspect.StructType():
            return _table(kind, {}, "", nowhere)
        case inspect.VarTupleType():
            return ()
        case _:
            return ""


def _unknown(name: str, known: list[str]) -> str:
    near = get_close_matches(name.lower()[:64], known, n=1)
    return (
        f"is not known; did you mean {near[0]}?"
        if near
        else f"is not known; known are {', '.join(known)}"
    )


def _list(item: inspect.Type, value: object, place: str, problems: Problems) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        if isinstance(item, inspect.StructType):
            how = f"must be written [[{place}]], once for each, not as {_form(value)}"
        else:
            how = f"must be a list in [ ], not {_form(value)}"
        problems.void(place, how)
        return ()
    return tuple(_read(item, one, below(place, index), problems) for index, one in enumerate(value))


def _mapping(item: inspect.Type, value: object, place: str, problems: Problems) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.void(place, f"must be a table, not {_form(value)}")
        return {}
    return {
        str(name): _read(item, one, below(place, str(name)), problems)
        for name, one in value.items()
    }


def _one_of(kinds: tuple[inspect.Type, ...], value: object, place: str, problems: Problems) -> Any:
    """Read a value that may have one of several forms: text, a number, true or false, a list."""
    forms: dict[str, inspect.Type] = {}
    for kind in kinds:
        form = _FORM_OF_KIND[type(kind)]
        forms[form] = kind
    form = _form(value)
    if form not in forms:
        problems.void(place, f"must be {' or '.join(forms)}, not {form}")
        return next(iter(value for kind, value in _EMPTY.items() if kind in forms))
    # A number is no duration here: there is text for that.
    return value if form == "a number" else _read(forms[form], value, place, problems)


def _duration(value: object, place: str, problems: Problems) -> float:
    forms = 'write it as "500ms", "5s", "60m" or "24h"'
    if not isinstance(value, str):
        problems.void(place, f"must be a duration, not {_form(value)}: {forms}")
        return 0.0
    try:
        return parse_duration(value)
    except ValueError:
        problems.void(place, f"is not a duration: {forms}")
        return 0.0


def _key_set(value: object, place: str, problems: Problems) -> dict[str, Any]:
    """Copy a key set by way of strict JSON, which is what it would be in a file of its own."""
    if not isinstance(value, Mapping):
        problems.void(place, f"must be a JWK set, {{ keys = [ … ] }}, not {_form(value)}")
        return {}
    try:
        return decode_object(encode_object(value))
    except NotCanonical as flaw:
        problems.void(place, f"must be a JWK set: {flaw}")
    except (TypeError, ValueError, OverflowError, RecursionError):
        # Their messages may hold what they could not encode: a key, perhaps.
        problems.void(place, "must be a JWK set of text, numbers, lists and tables only")
    return {}


#: The forms that a union may have, in the words of :func:`_form`; and what stands in for each.
_FORM_OF_KIND: Final[dict[type, str]] = {
    inspect.StrType: "text",
    inspect.IntType: "a number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.VarTupleType: "a list",
}
_EMPTY: Final[dict[str, object]] = {
    "text": "",
    "a number": 0,
    "true or false": False,
    "a list": (),
}

_FORMS: Final = (
    (bool, "true or false"),
    (int | float, "a number"),
    (str, "text"),
    (list | tuple, "a list"),
    (Mapping, "a table"),
    (date | time, "a date or time"),
)


def _form(value: object) -> str:
    """Say what form a value has, never what it is."""
    for kind, name in _FORMS:
        if isinstance(value, kind):
            return name
    return f"a Python {type(value).__name__}"
