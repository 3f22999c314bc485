"""What the pages say of the code is what the code says.

``UPDATE_DOCS=1 make test ARGS=tests/docs`` writes what is generated anew.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from typer.main import get_command

import portvakt
from behaviour.adapters import ADAPTERS
from behaviour.behaviours import every_behaviour
from docs.conftest import PAGES, REPOSITORY
from portvakt.cli import app
from portvakt.config.duration import write_duration
from portvakt.config.json_schema import json_schema
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.refusal import Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BEGIN, END = "<!-- begin generated -->\n", "<!-- end generated -->\n"


def refusals() -> Iterator[str]:
    yield "| code | step | status | error | what the caller is told |"
    yield "|---|---|---|---|---|"
    for code in Code:
        error = f"`{code.error}`" if code.error else "none"
        step = code.step.name.lower().replace("_", " ")
        check = f"{code.step}, {step}"
        yield f"| `{code.value}` | {check} | {code.status} | {error} | {code.sentence} |"


def adapters() -> Iterator[str]:
    yield f"| behaviour | {' | '.join(adapter.title for adapter in ADAPTERS)} |"
    yield f"|---{'|---' * len(ADAPTERS)}|"
    reasons: dict[str, int] = {}
    for behaviour in every_behaviour():
        cells = []
        for adapter in ADAPTERS:
            reason = behaviour.why_not(adapter)
            cells.append(f"({reasons.setdefault(reason, len(reasons) + 1)})" if reason else "yes")
        yield f"| {behaviour.sentence} | {' | '.join(cells)} |"
    yield ""
    yield from (f"{number}. {reason[0].upper()}{reason[1:]}." for reason, number in reasons.items())


def policy_file() -> Iterator[str]:
    schema = json_schema()
    for name, place in schema["properties"].items():
        item = place.get("items", place)
        title = f"[{name}]" if item is place else f"[[{name}]]"
        yield from table_of(title, resolve(item, schema))
        for key, setting in resolve(item, schema)["properties"].items():
            inner = resolve(setting, schema)
            if inner is not setting and "properties" in inner and inner != resolve(SECRET, schema):
                yield from table_of(f"[{name}.{key}]", inner)


#: Where a secret is: a value of several settings, which the page explains in words.
SECRET = {"$ref": "#/$defs/SecretTable"}


def table_of(title: str, table: dict[str, Any]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for key, setting in table["properties"].items():
        required = key in table.get("required", ())
        default = "required" if required else shown(setting)
        yield f"| `{key}` | {default} | {setting['description']} |"
    yield ""


def resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    if reference is None:
        return node
    found: dict[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found


def shown(setting: dict[str, Any]) -> str:
    """The default of a setting, as one would write it in TOML."""
    if "default" not in setting:
        return ""
    value = setting["default"]
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if setting.get("type") == "integer":
        return f"`{value}`"
    if value == {}:
        return "`{}`"
    if isinstance(value, dict):
        return "`{ " + ", ".join(f'{name} = "{text}"' for name, text in value.items()) + " }`"
    if isinstance(value, int | float):
        return f'`"{write_duration(value)}"`'
    if isinstance(value, str):
        return f'`"{value}"`'
    words = ", ".join(f'"{word}"' for word in value)
    return f"`[{words}]`"


@pytest.mark.parametrize(
    ("page", "table"),
    [
        ("docs/reference/refusals.md", refusals),
        ("docs/reference/policy-file.md", policy_file),
        ("docs/reference/adapters.md", adapters),
    ],
)
def test_a_generated_table_is_up_to_date(page: str, table: Callable[[], Iterator[str]]) -> None:
    path = REPOSITORY / page
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    expected = head + BEGIN + "\n".join(table()).rstrip() + "\n" + END + tail

    if os.environ.get("UPDATE_DOCS"):
        path.write_text(expected, encoding="utf-8")
        text = expected
    assert text == expected, "UPDATE_DOCS=1 make test ARGS=tests/docs"


def test_every_public_name_is_in_the_reference() -> None:
    text = (REPOSITORY / "docs/reference/python.md").read_text(encoding="utf-8")

    assert [name for name in portvakt.__all__ if f"| `{name}` |" not in text] == []


def test_every_attribute_that_the_reference_names_exists() -> None:
    text = (REPOSITORY / "docs/reference/python.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        cells = re.findall(r"`([A-Za-z_]+)(?:\([^`]*\))?`", line)
        if not line.startswith("| `") or not hasattr(portvakt, cells[0]):
            continue
        owner = getattr(portvakt, cells[0])
        known = {*dir(owner), *getattr(owner, "__annotations__", ())}
        assert [name for name in cells[1:] if name not in known and name != cells[0]] == [], line


def test_every_command_and_option_is_in_the_reference_and_no_other() -> None:
    text = (REPOSITORY / "docs/reference/command-line.md").read_text(encoding="utf-8")

    commands = dict(walk(get_command(app), "portvakt"))

    written = re.findall(r"^\| `(portvakt [a-z ]+?)(?: [A-Z]+)?` \|", text, re.MULTILINE)
    assert sorted(written) == sorted(commands)
    options = {option for found in commands.values() for option in found}
    assert set(re.findall(r"`(--[a-z-]+)", text)) - {"--help"} == options


def walk(command: Any, name: str) -> Iterator[tuple[str, set[str]]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        options = {one for parameter in command.params for one in parameter.opts}
        yield name, {one for one in options if one.startswith("--") and one != "--help"}
        return
    for word, one in inner.items():
        yield from walk(one, f"{name} {word}")


def test_the_readme_names_every_algorithm() -> None:
    line = next(
        line
        for line in (REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("Algorithms: ")
    )
    named = []
    for words in re.split(r", | and ", line.removeprefix("Algorithms: ").rstrip(".")):
        stem, *others = words.split("/")
        named += [stem, *(re.sub(r"\d+$", "", stem) + other for other in others)]

    assert sorted(named) == sorted(ALGORITHMS)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_or_heading_leads_somewhere(page: str) -> None:
    path = REPOSITORY / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        found = (path.parent / file) if file else path
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in map(anchor, titles), target


def anchor(title: str) -> str:
    """The name that a heading gets on the forge's web page."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
