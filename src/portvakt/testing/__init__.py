"""For users' own tests: honest and hostile tokens, and time that stands still.

With pytest, the fixtures ``portvakt_issuer`` and ``portvakt_clock`` are there as soon as Portvakt
is installed (see :mod:`portvakt.testing.plugin`). Without it, make a :class:`FakeIssuer` yourself::

    issuer = FakeIssuer(audience="my-api")
    guard = issuer.guard()
    assert guard.check_blocking(issuer.request(issuer.token())).admitted
    assert not guard.check_blocking(issuer.request(issuer.forged("expired"))).admitted

The names are resolved at their first use: pytest loads the plugin in every run of every project
that has Portvakt installed, and must not pay for what it does not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from portvakt.testing.clock import FrozenClock
    from portvakt.testing.fake_client import FakeClient
    from portvakt.testing.fake_issuer import FakeIssuer

__all__ = ["FakeClient", "FakeIssuer", "FrozenClock"]

_HOMES: Final = {
    "FakeClient": "portvakt.testing.fake_client",
    "FakeIssuer": "portvakt.testing.fake_issuer",
    "FrozenClock": "portvakt.testing.clock",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'portvakt.testing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
