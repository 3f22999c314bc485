"""Fixtures for pytest, found by it as soon as Portvakt is installed.

A user's own API, tested with honest and hostile tokens in five lines::

    def test_only_valid_tokens_get_in(portvakt_issuer):
        client = TestClient(make_app(portvakt_issuer.guard()))
        for token, status in [
            (portvakt_issuer.token(), 200),
            (portvakt_issuer.forged("none"), 401),
        ]:
            answer = client.get("/", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == status

pytest imports this file in every run, so everything else of Portvakt is imported by the fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portvakt.testing import FakeIssuer, FrozenClock

__all__ = ["portvakt_clock", "portvakt_issuer"]


@pytest.fixture
def portvakt_clock() -> FrozenClock:
    """Time that stands still; ``portvakt_issuer`` and its guards go by it."""
    from portvakt.testing import FrozenClock  # noqa: PLC0415  see above

    return FrozenClock()


@pytest.fixture
def portvakt_issuer(portvakt_clock: FrozenClock) -> FakeIssuer:
    """Return an issuer with new keys whose tokens are for ``test-api``."""
    from portvakt.testing import FakeIssuer  # noqa: PLC0415  see above

    return FakeIssuer(clock=portvakt_clock)
