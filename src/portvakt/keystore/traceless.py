"""Errors that lead back to nothing: no variable on their way holds a secret."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from portvakt.errors import ConfigurationError

__all__ = ["traceless"]

P = ParamSpec("P")
T = TypeVar("T")


def traceless(function: Callable[P, T]) -> Callable[P, T]:
    """Raise a ConfigurationError anew from here, without the frames it came through.

    Whoever reports errors may show the variables of every frame of a traceback, and those of a key
    store hold passphrases and keys. Other errors are passed on as they are: there should be none.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ConfigurationError as error:
            problems = error.problems
        del args, kwargs
        # Outside of the handler, so that the first error is not its context.
        raise ConfigurationError(problems)

    return called
