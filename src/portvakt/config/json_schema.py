"""The JSON Schema of the policy file, for editors that complete and check as one types."""

from typing import Any, Final

import msgspec

from portvakt.config.duration import DURATION, write_duration
from portvakt.config.issuer_schema import KEY_SOURCES
from portvakt.config.schema import Configuration
from portvakt.config.secrets_schema import SOURCES

__all__ = ["json_schema"]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``portvakt.toml``.

    It says what each key means and which form its value has. It cannot say all that makes a policy
    sound: ``portvakt config check`` does.
    """
    tables: dict[str, Any] = msgspec.json.schema(Configuration)["$defs"]
    for table in tables.values():
        for setting in table["properties"].values():
            _write_as_text(setting)
    # A table that is left out has the defaults of its settings, which say so themselves.
    for table in tables.values():
        for setting in table["properties"].values():
            if "$ref" in setting:
                setting.pop("default", None)
    root = tables.pop("Configuration")
    stated = [{"required": [name]} for name in KEY_SOURCES]
    tables["IssuerTable"]["oneOf"] = [*stated, {"not": {"anyOf": stated}}]
    tables["SecretTable"]["oneOf"] = [{"required": [name]} for name in SOURCES]
    schema = {"$schema": DIALECT, **root, "title": "Portvakt policy file", "$defs": tables}
    # What an editor would read: lists where Python has tuples.
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))
    return plain


def _write_as_text(setting: dict[str, Any]) -> None:
    """Describe a number of seconds as what stands in the file: a duration."""
    if setting.get("type") == "number":
        setting["type"] = "string"
        setting["pattern"] = DURATION
        if "default" in setting:
            setting["default"] = write_duration(setting["default"])
