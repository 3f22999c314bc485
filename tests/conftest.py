"""What holds for every test: no chance, nothing from the machine's own settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same cases in every run: a test that fails today failed yesterday. `make test` is quick;
# HYPOTHESIS_PROFILE=thorough looks further.
settings.register_profile("usual", derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", settings.get_profile("usual"), max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

# The first writes docs/attacks.md, and fails a run in which an attack was not tried. The others
# have what tests of fetching share: one exchange, and whole issuers.
pytest_plugins = [
    *("attacks_report", "fetching", "publishing"),
    *("servers", "store_servers", "real_places", "figures", "behind"),
]

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _no_overrides_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PORTVAKT_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return REPOSITORY


@pytest.fixture(scope="session")
def vectors() -> Path:
    """The published test data, which lie beside the repository and are no part of it."""
    folder = REPOSITORY.parent / "shared" / "vectors"
    if not folder.is_dir():
        pytest.skip("the published vectors are not beside this repository: ../shared/vectors")
    return folder
