"""Time that stands still until a test moves it."""

__all__ = ["FrozenClock"]


class FrozenClock:
    """A clock for tests: it shows one time, and another only when told.

    Give it to a guard in the place of the system's clock, and no test needs to sleep::

        clock = FrozenClock()
        guard = Guard.from_file("portvakt.toml", clock=clock)
        clock.advance(3600)

    Parameters:
        at: the time it shows, in seconds since 1970.
    """

    __slots__ = ("_at",)

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self._at = at

    def __call__(self) -> float:
        """Return the time it shows, in seconds since 1970."""
        return self._at

    def advance(self, seconds: float) -> None:
        """Move it forwards; by a negative number, backwards."""
        self._at += seconds

    def set(self, at: float) -> None:
        """Make it show another time, in seconds since 1970."""
        self._at = at

    def __repr__(self) -> str:
        """Show the time it shows."""
        return f"FrozenClock({self._at})"
