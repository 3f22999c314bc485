"""A bulk file is split into its units, however it is cut into pieces; or it is none."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portvakt.registers.bulk import MAX_OBJECT, MalformedBulk, pieces, split
from unit.registers.conftest import main_unit, sub_unit


def cut(text: bytes, *places: int) -> Iterator[bytes]:
    at = 0
    for place in sorted(place % (len(text) + 1) for place in places):
        yield text[at:place]
        at = place
    yield text[at:]


_SCALAR = st.none() | st.booleans() | st.integers() | st.text('{}[]",:\\ aø\n')
_MEMBER = st.recursive(
    _SCALAR, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6
)
_OBJECTS = st.lists(st.dictionaries(st.text('{}[]",\\x'), _MEMBER, max_size=4), max_size=5)


@given(_OBJECTS, st.lists(st.integers(0, 500), max_size=8), st.sampled_from([None, 1]))
def test_the_objects_of_any_array_come_out_one_by_one(
    objects: list[dict[str, Any]], places: list[int], indent: int | None
) -> None:
    text = f" {json.dumps(objects, indent=indent, ensure_ascii=False)}\r\n".encode()
    assert [json.loads(one) for one in split(cut(text, *places))] == objects


@given(_OBJECTS, st.integers(0, 500), st.integers(0, 500))
def test_an_array_that_is_cut_off_is_no_array(
    objects: list[dict[str, Any]], end: int, place: int
) -> None:
    text = json.dumps(objects).encode()
    with pytest.raises(MalformedBulk):
        list(split(cut(text[: end % len(text)], place)))


@given(st.binary() | st.text('[]{}",:\\ a1').map(str.encode), st.integers(0, 50))
def test_anything_is_split_or_malformed(text: bytes, place: int) -> None:
    try:
        objects = list(split(cut(text, place)))
    except MalformedBulk:
        return
    assert b"".join(text.split()).startswith(b"[")
    assert all(one.startswith(b"{") and one.endswith(b"}") for one in objects)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"null",
        b"<html>",
        b"[",
        b"[1]",
        b'["{}"]',
        b"[[]]",
        b"[{}",
        b"[{},",
        b"[{},]",
        b"[,{}]",
        b"[{}{}]",
        b"[{}]]",
        b"[{}] {}",
        b"[{]",
        b'[{"a": "b]',
        b"\x1f\x8b",
        b"[" + b'{"a":' * 12 + b"1" + b"}" * 12 + b"]",
    ],
)
def test_what_is_no_array_of_objects(text: bytes) -> None:
    with pytest.raises(MalformedBulk):
        list(split([text]))


def test_an_empty_array_has_no_objects() -> None:
    assert list(split([b"[]"])) == []


def test_an_object_without_an_end_is_not_kept() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b'[{"a": "'
        while True:
            taken += 1000
            yield b"a" * 1000

    with pytest.raises(MalformedBulk, match="too long"):
        list(split(endless()))
    assert taken <= MAX_OBJECT + 2000


@pytest.mark.parametrize("evil", [b'{"' * 40_000, b"{[" * 40_000, b'{"\\' * 30_000, b"{" * 80_000])
def test_what_nests_without_end_costs_no_time(evil: bytes) -> None:
    with pytest.raises(MalformedBulk):
        list(split([b"[", evil]))


def test_real_units_come_out_as_they_are() -> None:
    units = [main_unit(), sub_unit(), main_unit(aktivitet=["a"] * 1000)]
    assert list(split([b"[" + b",\n".join(units) + b"]"])) == units


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_is_read_compressed_or_not(tmp_path: Path, compressed: bool) -> None:
    content = b"[" + b" " * 1_000_000 + b"]"
    path = tmp_path / "bulk"
    path.write_bytes(gzip.compress(content) if compressed else content)
    found = list(pieces(path, 1_000_002))
    assert b"".join(found) == content
    assert max(map(len, found)) <= 256 * 1024
    with pytest.raises(MalformedBulk, match="more than 1000001 octets"):
        list(pieces(path, 1_000_001))


def test_several_gzip_files_in_one_are_one(tmp_path: Path) -> None:
    path = tmp_path / "bulk"
    path.write_bytes(gzip.compress(b"[{}") + gzip.compress(b"]"))
    assert b"".join(pieces(path, 100)) == b"[{}]"


_GZIP = gzip.compress(b"[" + b"{}, " * 1000 + b"{}]", mtime=0)


@pytest.mark.parametrize(
    "content",
    [
        _GZIP[:-1],
        _GZIP[:40],
        _GZIP[:2],
        _GZIP[:-8] + b"\0" * 8,
        _GZIP[:20] + b"\xff" * 20 + _GZIP[40:],
        _GZIP + b"more",
    ],
)
def test_a_gzip_file_that_is_broken(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bulk"
    path.write_bytes(content)
    with pytest.raises(MalformedBulk, match="broken or cut off"):
        list(pieces(path, 100_000))


def test_a_bomb_stops_early(tmp_path: Path) -> None:
    path = tmp_path / "bulk"
    path.write_bytes(gzip.compress(b"[" + b" " * 50_000_000))
    taken: list[bytes] = []
    with pytest.raises(MalformedBulk, match="more than 1000000 octets"):
        taken.extend(pieces(path, 1_000_000))
    assert sum(map(len, taken)) <= 1_000_000
