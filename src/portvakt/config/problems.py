"""All that is wrong with one policy: each thing with its place, and where that comes from."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NoReturn

from portvakt.config.lines import locate
from portvakt.config.place import shown, upwards
from portvakt.errors import ConfigurationError, Problem

__all__ = ["Problems", "must_be_one_of"]


class Problems:
    """What is wrong with a policy, until there is nothing more to find.

    Parameters:
        source: the name of the file, or None.
        text: what the file says, to find the lines of problems in; empty where there is none.
    """

    __slots__ = ("_found", "_source", "_text", "_void", "variables")

    def __init__(self, source: str | None = None, text: str = "") -> None:
        self._source = source
        self._text = text
        self._found: dict[tuple[str, str], None] = {}
        self._void: set[str] = set()
        #: Which environment variable set a place, or made the table that is there.
        self.variables: dict[str, str] = {}

    def add(self, place: str, message: str) -> None:
        """Note what is wrong at a place, unless the place is void."""
        if not any(one in self._void for one in upwards(place)):
            self._found[place, message] = None

    def void(self, place: str, message: str | None = None) -> None:
        """Note that a stand-in takes a place from here on, and what was wrong there.

        What is later found wrong with the stand-in, or within it, is nobody's mistake.
        """
        if message is not None:
            self.add(place, message)
        self._void.add(place)

    def extend(self, prefix: str, error: ConfigurationError) -> None:
        """Note the problems of a part, whose places are relative to *prefix*."""
        for problem in error.problems:
            place = f"{prefix}.{problem.place}" if prefix and problem.place else problem.place
            self.add(place or prefix, problem.message)

    def fail(
        self, message: str, line: int | None = None, *, cause: Exception | None = None
    ) -> NoReturn:
        """Give up: nothing can be read, so there is nothing else to find."""
        raise ConfigurationError([Problem("", message, line)], source=self._source) from cause

    def check(self) -> None:
        """Raise if anything was noted.

        Raises:
            ConfigurationError: with every problem, in the order of the file; those that are not of
                the file come last.
        """
        if self._found:
            raise self._error()

    def placed(self, error: ConfigurationError, prefix: str = "") -> ConfigurationError:
        """Return an error about a policy that was right so far, with the lines of its places."""
        self.extend(prefix, error)
        return self._error()

    def _error(self) -> ConfigurationError:
        lines = locate(self._text)
        problems = [self._placed(lines, *one) for one in self._found]
        problems.sort(key=lambda problem: (problem.line is None, problem.line or 0))
        return ConfigurationError(problems, source=self._source)

    def _placed(self, lines: dict[str, int], place: str, message: str) -> Problem:
        line = None
        for one in upwards(place):
            if one in self.variables:
                told = f"{message} (environment: {self.variables[one]})"
                return Problem(shown(place), told)
            if line is None:
                line = lines.get(one)
        return Problem(shown(place), message, line)


def must_be_one_of(known: Iterable[str], word: str) -> str:
    """Say which words there are, and which one may have been meant."""
    words = tuple(known)
    near = get_close_matches(word.lower()[:64], words, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"must be one of {', '.join(words)}{meant}"
