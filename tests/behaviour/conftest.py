"""Each behaviour with each adapter that has it, over a real port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from behaviour.adapters import ADAPTERS
from behaviour.behaviours import behaviour_of
from behaviour.sample import NONCE_KEY, Sample
from behaviour.serving import Adapter, Served

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a behaviour every adapter that has what it needs."""
    behaviour = behaviour_of(metafunc.function)
    names = [name for name in ("served", "adapter") if name in metafunc.fixturenames]
    if behaviour is None or not names:
        return
    adapters = [adapter for adapter in ADAPTERS if behaviour.why_not(adapter) is None]
    # The server is started once: tests are put in its order.
    metafunc.parametrize(
        names[0],
        adapters,
        ids=[adapter.name for adapter in adapters],
        indirect=names[0] == "served",
        scope="session",
    )


@pytest.fixture(scope="session")
def _nonce_key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(NONCE_KEY, "n" * 32)
        yield


@pytest.fixture(scope="session")
def served(request: pytest.FixtureRequest, _nonce_key: None) -> Iterator[Served]:
    """The sample API behind an adapter."""
    adapter: Adapter = request.param
    sample = Sample()
    with adapter.serve(sample) as address:
        yield (adapter.client or Served)(adapter, sample, address)


@pytest.fixture
def sample(_nonce_key: None) -> Sample:
    """A sample API that nobody serves yet."""
    return Sample()
