"""Say what is wrong with a command line without saying again what may be a token in it.

People put a token where something else is meant, and what is printed ends up in logs of pipelines.
"""

import re
from typing import Any, Final

from typer.core import TyperGroup

__all__ = ["DiscreetGroup", "discreet"]

# A JOSE header in base64url begins with eyJ; three parts may be a token of another kind; and nobody
# means more than a hundred characters, folders apart.
_SECRET: Final = re.compile(
    r"eyJ[\w=.-]{8,}|[\w-]{10,}\.[\w-]{10,}(?:\.[\w-]*)+|[^\s/\\']{101,}", re.ASCII
)


def discreet(text: str) -> str:
    """Leave out of a message what looks like a token."""
    return _SECRET.sub("[left out]", text)


class DiscreetGroup(TyperGroup):
    """Commands whose usage errors leave out what looks like a token."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the command line up to the command."""
        try:
            return super().make_context(*args, **extra)
        except Exception as error:
            _leave_out(error)
            raise

    def invoke(self, *args: Any) -> Any:
        """Read the rest, and run the command."""
        try:
            return super().invoke(*args)
        except Exception as error:
            _leave_out(error)
            raise


def _leave_out(error: Exception) -> None:
    # Where Typer has its class of usage errors depends on its version; all of them have a message.
    message = getattr(error, "message", None)
    if isinstance(message, str) and hasattr(error, "format_message"):
        vars(error)["message"] = discreet(message)
