import re
import tomllib
from typing import Any

import msgspec
import pytest

from portvakt.config.issuer_schema import IssuerTable
from portvakt.config.json_schema import json_schema
from portvakt.config.register_schema import RegisterTable
from portvakt.config.route_schema import RouteTable, RuleTable
from portvakt.config.schema import ApiTable, Configuration, NetworkTable
from portvakt.jose.algorithms import ALGORITHMS

FORMS: dict[str, Any] = {
    "string": str,
    "integer": int,
    "array": list,
    "object": dict,
    "boolean": bool,
}


def flaws(schema: dict[str, Any], value: Any, root: dict[str, Any], at: str = "") -> list[str]:
    """Judge by those words of JSON Schema that ours uses; any other one fails the test."""
    schema = dict(schema)
    if "$ref" in schema:
        return flaws(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, at)
    for word in ("title", "description", "default", "$schema", "$defs"):
        schema.pop(word, None)
    if not isinstance(value, FORMS[schema.pop("type")]):
        return [f"{at}: type"]
    found: list[str] = []
    properties = schema.pop("properties", {})
    if schema.pop("additionalProperties", True) is False:
        found += [f"{at}.{name}: unknown" for name in value if name not in properties]
    found += [f"{at}.{name}: required" for name in schema.pop("required", []) if name not in value]
    if "oneOf" in schema:
        ways = [admits(way, value) for way in schema.pop("oneOf")]
        found += [f"{at}: oneOf"] * (sum(ways) != 1)
    if isinstance(value, dict):
        for name in properties.keys() & value.keys():
            found += flaws(properties[name], value[name], root, f"{at}.{name}")
    if isinstance(value, list):
        found += [f"{at}: minItems"] * (len(value) < schema.pop("minItems", 0))
        items = schema.pop("items")
        for one in value:
            found += flaws(items, one, root, at)
    if isinstance(value, str):
        found += [f"{at}: pattern"] * (not re.search(schema.pop("pattern", ""), value))
        found += [f"{at}: minLength"] * (len(value) < schema.pop("minLength", 0))
        found += [f"{at}: enum"] * (value not in schema.pop("enum", [value]))
        found += [f"{at}: not"] * (value in schema.pop("not", {"enum": []})["enum"])
    assert not schema, f"this test does not understand {sorted(schema)}"
    return found


def admits(way: dict[str, Any], value: dict[str, Any]) -> bool:
    """Whether one way to write a table is taken: certain keys, or none of those."""
    if "not" in way:
        return not any(admits(other, value) for other in way["not"]["anyOf"])
    return set(way["required"]) <= value.keys()


EXAMPLE = """
[api]
audience = "nhn:journal"
scopes = ["nhn:journal/access"]

[[issuer]]
issuer = "https://sts.example.no"
jwks_file = "keys.json"
algorithms = ["RS256", "ES256"]
typ = ["at+jwt"]
audience = "journal"
other_audiences = []
required_claims = ["sub", "client_id", "jti"]
leeway = "5s"
max_lifetime = "60m"
max_age_ahead = "30s"

[[issuer]]
issuer = "https://other.example.no"
jwks = { keys = [ { kty = "OKP", crv = "Ed25519", x = "…" } ] }
algorithms = ["Ed25519"]

[[issuer]]
issuer = "https://third.example.no"
algorithms = ["PS256"]
jwks_hosts = ["keys.example.no:8443"]
pin = ["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"]
private = true
unsafe_loopback = false
keys_max_age = "6h"

[[issuer]]
issuer = "urn:fourth"
metadata_uri = "https://fourth.example.no/metadata"
algorithms = ["ES256"]

[[issuer]]
issuer = "urn:fifth"
jwks_uri = "https://fifth.example.no/keys"
algorithms = ["ES256"]

[network]
timeout = "5s"
ca_file = "ca.pem"
proxy = "http://proxy.example.no:3128"
cache_dir = "keys"

[[route]]
path = "/journal/{patient}"
methods = ["GET"]
scopes = ["nhn:journal/read"]
public = false
"""


def test_the_example_is_valid() -> None:
    schema = json_schema()
    assert flaws(schema, tomllib.loads(EXAMPLE), schema) == []


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        ("[api]", "[apis]", ".api: required"),
        ("scopes = [", "scope = [", ".api.scope: unknown"),
        ('"nhn:journal"', '"*"', ".api.audience: not"),
        ('"nhn:journal"', "1", ".api.audience: type"),
        ('"RS256"', '"HS256"', ".issuer.algorithms: enum"),
        ('["RS256", "ES256"]', "[]", ".issuer.algorithms: minItems"),
        ('jwks_file = "keys.json"', 'jwks_uri = "x"\njwks_file = "x"', ".issuer: oneOf"),
        ('jwks_uri = "', 'metadata_uri = "x"\njwks_uri = "', ".issuer: oneOf"),
        (
            'jwks_uri = "https://fifth.example.no/keys"',
            'jwks_uri = ""',
            ".issuer.jwks_uri: minLength",
        ),
        ('["keys.example.no:8443"]', '[""]', ".issuer.jwks_hosts: minLength"),
        ('["NzbL', '["+zbL', ".issuer.pin: pattern"),
        ("private = true", 'private = "yes"', ".issuer.private: type"),
        ("unsafe_loopback", "loopback", ".issuer.loopback: unknown"),
        ('"6h"', '"6 hours"', ".issuer.keys_max_age: pattern"),
        ('timeout = "5s"', "timeout = 5", ".network.timeout: type"),
        ('"ca.pem"', '""', ".network.ca_file: minLength"),
        ("cache_dir", "cachedir", ".network.cachedir: unknown"),
        ('"keys.json"', '""', ".issuer.jwks_file: minLength"),
        ("jwks = {", 'jwks_file = "x"\njwks = {', ".issuer: oneOf"),
        ("keys = [", "kees = [", ".issuer.jwks.keys: required"),
        ('"5s"', '"5"', ".issuer.leeway: pattern"),
        ('"5s"', "5", ".issuer.leeway: type"),
        ('"/journal', '"journal', ".route.path: pattern"),
        ('"GET"', '"get"', ".route.methods: pattern"),
        ("public = false", 'public = "no"', ".route.public: type"),
    ],
)
def test_an_editor_marks_what_is_wrong(old: str, new: str, flaw: str) -> None:
    schema = json_schema()
    assert old in EXAMPLE
    assert flaw in flaws(schema, tomllib.loads(EXAMPLE.replace(old, new, 1)), schema)


def test_every_key_is_there_with_a_description() -> None:
    schema = json_schema()
    tables = {"Configuration": schema, **schema["$defs"]}
    for kind in (
        Configuration,
        ApiTable,
        IssuerTable,
        RouteTable,
        RuleTable,
        NetworkTable,
        RegisterTable,
    ):
        table = tables[kind.__name__]
        fields = msgspec.structs.fields(kind)
        assert list(table["properties"]) == [field.name for field in fields]
        assert table["required"] == [field.name for field in fields if field.required]
        assert table["additionalProperties"] is False
        assert table["description"]
        for setting in table["properties"].values():
            assert "$ref" in setting or setting["description"].endswith(".")


def test_every_default_is_a_value_that_may_stand_there() -> None:
    schema = json_schema()
    for table in (schema, *schema["$defs"].values()):
        for name, setting in table["properties"].items():
            if "default" in setting:
                assert flaws(setting, setting["default"], schema) == [], name


def test_it_says_what_it_is_and_is_plain_json() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "Portvakt policy file"
    assert msgspec.json.decode(msgspec.json.encode(schema)) == schema


def test_defaults_and_algorithms_are_those_of_the_policy() -> None:
    issuer = json_schema()["$defs"]["IssuerTable"]["properties"]
    assert "default" not in issuer["leeway"]  # it is the profile's to say
    assert issuer["keys_max_age"]["default"] == "24h"
    assert issuer["max_age_ahead"]["default"] == "30s"
    assert issuer["algorithms"]["items"]["enum"] == list(ALGORITHMS)
