"""A policy file and the environment, or data of the same shape → Configuration."""

import re
import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from portvakt.config.environment import override
from portvakt.config.problems import Problems
from portvakt.config.schema import Configuration
from portvakt.config.tables import read_configuration

__all__ = ["Draft", "load_data", "load_file", "read_data", "read_file"]

#: Octets of a policy file; a key set in line takes a few thousand.
MAX_FILE: Final = 1024 * 1024

_POSITION: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)\Z")


class Draft(Struct):
    """A policy as it was read: perhaps wrong, and compiled only to find out what else is.

    Attributes:
        configuration: what was read, with stand-ins where *problems* says so.
        problems: what is wrong with it so far.
        directory: where the files it names are looked for.
        path: the policy file; None for data.
    """

    configuration: Configuration
    problems: Problems
    directory: Path
    path: Path | None = None


def load_file(path: str | PathLike[str], environ: Mapping[str, str]) -> Configuration:
    """Read a policy file and what the environment overrides.

    Checks the form of every setting. Does not check that the values make a sound policy, nor read
    the key files it names: :func:`portvakt.config.compile.compile_policy` does.

    Parameters:
        path: the TOML file, in UTF-8.
        environ: the environment, whose ``PORTVAKT_…`` variables override the file.

    Raises:
        ConfigurationError: with every problem, each with its place and line.
    """
    return _checked(read_file(path, environ))


def load_data(config: Mapping[str, Any]) -> Configuration:
    """Read a policy given as data; see :func:`load_file`. The environment is not read.

    Raises:
        ConfigurationError: with every problem, each with its place.
    """
    return _checked(read_data(config))


def _checked(draft: Draft) -> Configuration:
    draft.problems.check()
    return draft.configuration


def read_file(path: str | PathLike[str], environ: Mapping[str, str]) -> Draft:
    """Read a policy file into a draft, which knows what is wrong with it.

    Raises:
        ConfigurationError: if there is no such file, or it is not TOML: there is no draft then.
    """
    text = _text(path)
    problems = Problems(str(path), text)
    tables = _tables(text, problems)
    override(tables, environ, problems)
    return Draft(read_configuration(tables, problems), problems, Path(path).parent, Path(path))


def read_data(config: Mapping[str, Any]) -> Draft:
    """Read data into a draft; the files it names are looked for in the working directory."""
    problems = Problems()
    if not isinstance(config, Mapping):
        problems.fail("the policy must be a mapping, shaped like the policy file")
    return Draft(read_configuration(config, problems), problems, Path())


def _text(path: str | PathLike[str]) -> str:
    problems = Problems(str(path))
    try:
        with Path(path).open("rb") as file:
            octets = file.read(MAX_FILE + 1)
    except OSError as error:
        problems.fail(f"the policy file cannot be read: {error.strerror}", cause=error)
    except ValueError:
        problems.fail("the policy file cannot be read: its name holds a null character")
    if len(octets) > MAX_FILE:
        problems.fail(f"the policy file is longer than {MAX_FILE} octets")
    try:
        # Editors on Windows put a byte order mark in front; it changes nothing.
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        problems.fail("the policy file is not UTF-8: save it in that encoding", line)


def _tables(text: str, problems: Problems) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        problems.fail("the policy file is not usable TOML: it nests too deep")
    except tomllib.TOMLDecodeError as error:
        what = _POSITION.sub("", str(error))
        position = _POSITION.search(str(error))
        if position and position[1]:
            what += f", column {position[2]}"
            problems.fail(f"the policy file is not TOML: {what}", int(position[1]))
        problems.fail(f"the policy file is not TOML: {what}", text.rstrip().count("\n") + 1)
    except ValueError:
        problems.fail("the policy file is not usable TOML: it holds a number that is too long")
