"""How deep JSON may nest, at the exact bound, of whichever brackets it is made."""

import pytest

from portvakt.jose.encoding import MAX_DEPTH, NotCanonical, decode_object


def nested(objects: int, arrays: int) -> bytes:
    """An object of so many levels: objects outside, arrays inside."""
    return b'{"a":' * objects + b"[" * arrays + b"1" + b"]" * arrays + b"}" * objects


@pytest.mark.parametrize("objects", range(1, MAX_DEPTH + 1))
def test_the_depth_is_counted_over_both_kinds(objects: int) -> None:
    arrays = MAX_DEPTH - objects
    assert decode_object(nested(objects, arrays))
    with pytest.raises(NotCanonical):
        decode_object(nested(objects, arrays + 1))
    with pytest.raises(NotCanonical):
        decode_object(nested(objects + 1, arrays))


@pytest.mark.parametrize(("objects", "arrays"), [(16, 16), (1, 16), (8, 16), (16, 1), (15, 15)])
def test_two_halves_that_are_each_shallow_are_deep_together(objects: int, arrays: int) -> None:
    with pytest.raises(NotCanonical):
        decode_object(nested(objects, arrays))


@pytest.mark.parametrize("levels", [1, 16, 17, 1000, 100_000])
@pytest.mark.parametrize("whole", [True, False])
def test_brackets_alone_are_refused_at_any_depth(levels: int, whole: bool) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        text = opening * levels + (b"1" + closing * levels if whole else b"")
        if whole and opening != b"[" and levels <= MAX_DEPTH:
            assert decode_object(text)
            continue
        with pytest.raises(NotCanonical):
            decode_object(text)


def test_breadth_is_no_depth() -> None:
    text = b'{"a":[' + b",".join([b"[[]]", b'{"b":{}}'] * 100) + b"]}"
    assert len(decode_object(text)["a"]) == 200
