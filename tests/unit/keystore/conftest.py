from collections.abc import Callable
from pathlib import Path

import pytest

from portvakt.keystore.encrypted_file import EncryptedFile
from portvakt.keystore.sealed import MIN_COST

PASSPHRASE = "a long passphrase"

Make = Callable[[], EncryptedFile]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.portvakt"


@pytest.fixture
def store(path: Path) -> EncryptedFile:
    """A key store with nothing in it, made to be opened quickly."""
    return EncryptedFile.create(path, PASSPHRASE, cost=MIN_COST)


@pytest.fixture
def opened(path: Path) -> Make:
    """Open the file anew, as another process does."""
    return lambda: EncryptedFile.open(path, PASSPHRASE)
