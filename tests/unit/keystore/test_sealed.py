"""Octets under a passphrase: opened by it, and by nothing that is nearly it."""

import json

import pytest

from portvakt.errors import ConfigurationError
from portvakt.keystore import sealed
from portvakt.keystore.sealed import MAX_COST, MIN_COST, seal, unseal

PASSPHRASE = "a long passphrase"
CONTENT = b'{"entries":{}}'
FILE = seal(CONTENT, PASSPHRASE, MIN_COST)


LINE = FILE.split(b"\n")[0]


def with_header(**change: object) -> bytes:
    line, rest = FILE.split(b"\n", 1)
    header = {**json.loads(line), **change}
    return json.dumps(header, separators=(",", ":")).encode() + b"\n" + rest


def test_what_is_sealed_is_opened() -> None:
    assert unseal(FILE, PASSPHRASE) == (CONTENT, MIN_COST)
    assert unseal(FILE.rstrip(b"\n"), PASSPHRASE)[0] == CONTENT
    assert unseal(seal(b"", "ø" * 12, MIN_COST), "ø" * 12)[0] == b""
    assert unseal(seal(b"x", "half \udcff", MIN_COST), "half \udcff")[0] == b"x"


def test_nothing_repeats_and_nothing_shows() -> None:
    again = seal(CONTENT, PASSPHRASE, MIN_COST)
    one, other = (json.loads(it.split(b"\n")[0]) for it in (FILE, again))
    assert one["salt"] != other["salt"]
    assert one["nonce"] != other["nonce"]
    assert b"entries" not in again
    assert PASSPHRASE.encode() not in again


@pytest.mark.parametrize(
    "passphrase", ["", "a long passphras", "a long passphrase ", "A long passphrase"]
)
def test_wrong_passphrase_opens_nothing(passphrase: str) -> None:
    with pytest.raises(
        ConfigurationError, match="the passphrase is wrong, or the file was changed"
    ):
        unseal(FILE, passphrase)


def test_every_changed_octet_is_noticed() -> None:
    for at in range(0, len(FILE) - 1, 3):
        changed = bytearray(FILE)
        changed[at] ^= 1
        with pytest.raises(ConfigurationError):
            unseal(bytes(changed), PASSPHRASE)


@pytest.mark.parametrize(
    "cost", [0, 1, -1, 1000, MIN_COST - 1, MIN_COST // 2, MIN_COST + 1, MAX_COST * 2, 2**40, 2**63]
)
def test_cost_out_of_bounds_is_refused_before_it_is_paid(cost: int) -> None:
    with pytest.raises(ConfigurationError, match=r"out of bounds|damaged"):
        unseal(with_header(cost=cost), PASSPHRASE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "portvakt-keystore-2"}, "this version does not know"),
        ({"format": 1}, "damaged"),
        ({"cost": "16384"}, "damaged"),
        ({"cost": 16384.5}, "damaged"),
        ({"cost": True}, "damaged"),
        ({"salt": ""}, "damaged"),
        ({"salt": "AAAA"}, "damaged"),
        ({"salt": "="}, "damaged"),
        ({"nonce": "AAAA"}, "damaged"),
        ({"more": 1}, "damaged"),
    ],
)  # fmt: skip
def test_other_header_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        unseal(with_header(**change), PASSPHRASE)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\n",
        b"{}\n",
        b"\xff\xfe",
        b"null\nAAAA",
        LINE,
        FILE.replace(b"\n", b""),
        FILE + b"\n",
        FILE + b"AAAA",
        FILE.replace(b"\n", b"\r\n"),
        b'{"format":1,"format":1}\n',
        b"[" * 100_000,
        LINE + b"\n\xff",
        LINE + b"\n",
        LINE + b"\nAAAA",
    ],
)
def test_another_file_is_refused(octets: bytes) -> None:
    with pytest.raises(ConfigurationError):
        unseal(octets, PASSPHRASE)


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hungry:
        def __init__(self, **how: object) -> None:
            pass

        def derive(self, octets: bytes) -> bytes:
            raise MemoryError

    monkeypatch.setattr(sealed, "Scrypt", Hungry)
    with pytest.raises(ConfigurationError, match="too little memory"):
        unseal(FILE, PASSPHRASE)
