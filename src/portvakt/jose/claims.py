"""The claims of a signed object, read-only all the way down."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Claims"]


class Claims(Mapping[str, Any]):
    """The members of a JSON object: objects come out as :class:`Claims`, arrays as tuples.

    A token that is remembered is handed out many times, so no one may change it (CACHE-10).
    Wrapping on reading costs nothing until a claim is read; freezing everything at first sight
    would cost more than reading the JSON (measured).
    """

    __slots__ = ("_members",)

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members

    def __getitem__(self, name: str) -> Any:
        """Return the claim *name*; raises KeyError if the token does not have it."""
        return _read_only(self._members[name])

    def __contains__(self, name: object) -> bool:
        """Whether the token has the claim, whatever it says there."""
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._members)

    def __len__(self) -> int:
        """Return the number of claims."""
        return len(self._members)

    def __repr__(self) -> str:
        """Show the names only: values may be personal."""
        return f"Claims({', '.join(self._members)})"

    def __rich_repr__(self) -> Iterator[str]:
        """Show to rich what repr shows."""
        return iter(self._members)


def _read_only(value: Any) -> Any:
    if type(value) is dict:
        return Claims(value)
    if type(value) is list:
        return tuple(map(_read_only, value))
    return value
