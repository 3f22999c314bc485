"""What nobody guards: an error at start-up where it can be seen, and refused in any case."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from behaviour.behaviours import behaviour

if TYPE_CHECKING:
    from behaviour.sample import Sample
    from behaviour.serving import Adapter, Served


@behaviour("A forgotten route is an error at start-up, which names it.", "routes")
@pytest.mark.attack("API-04")
def test_forgotten_at_start(adapter: Adapter, sample: Sample) -> None:
    assert adapter.forget is not None
    text = adapter.forget(sample)
    assert "/forgotten" in text
    for guarded in ("/healthz", "/journal", "/stated", "/me"):
        assert guarded not in text
    assert sample.reached == []


@behaviour("A path without a rule is refused at run time.")
@pytest.mark.attack("API-04", "API-09")
@pytest.mark.parametrize("path", ["/unguarded", "/nowhere", "/"])
def test_unruled(served: Served, path: str) -> None:
    with served.unreached():
        assert served.get(path).status in {401, 403}
        assert served.get(path, served.sample.issuer.forged("expired")).status in {401, 403}
        # Whoever has a token may be told that there is nothing.
        assert served.get(path, served.token("read")).status in {403, 404}
