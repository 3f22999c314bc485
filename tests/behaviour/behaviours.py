"""Mark what every adapter has to do: tests that take ``served``, each with one sentence."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from behaviour.serving import Adapter

__all__ = ["Behaviour", "behaviour", "behaviour_of", "every_behaviour"]

F = TypeVar("F", bound=Callable[..., Any])

#: The modules that hold behaviours, in the order in which the documentation has them.
MODULES: Final = ("startup", "admission", "answers", "credentials", "paths", "traffic", "lasting")

_known: Final[dict[Any, Behaviour]] = {}


class Behaviour(NamedTuple):
    """What an adapter has to do.

    Attributes:
        id: the name of its test.
        sentence: what holds, as the documentation says it.
        needs: what an adapter may lack (``Adapter.lacks``) for which it is passed over.
    """

    id: str
    sentence: str
    needs: frozenset[str]

    def why_not(self, adapter: Adapter) -> str | None:
        """Say why it is none of an adapter's; None if it is."""
        return adapter.apart.get(self.id) or adapter.why_not(self.needs)


def behaviour(sentence: str, *needs: str) -> Callable[[F], F]:
    """Mark a test as a behaviour of every adapter, or of every one that has what it *needs*."""

    def mark(test: F) -> F:
        name = test.__name__.removeprefix("test_")
        _known[test] = Behaviour(name, sentence, frozenset(needs))
        return test

    return mark


def behaviour_of(test: object) -> Behaviour | None:
    """What a test shows, if it is a behaviour."""
    return _known.get(test) if callable(test) else None


def every_behaviour() -> list[Behaviour]:
    """Every behaviour there is, in the order of the files."""
    found = []
    for name in MODULES:
        module = import_module(f"behaviour.test_{name}")
        found += [known for test in vars(module).values() if (known := behaviour_of(test))]
    # A module that nobody listed would be missing in the documentation.
    files = {path.stem for path in Path(__file__).parent.glob("test_*.py")}
    assert files == {f"test_{name}" for name in MODULES}, files
    return found
