import tomllib

from hypothesis import given
from hypothesis import strategies as st

from portvakt.config.lines import locate


def test_tables_and_keys_have_the_line_they_stand_on(text: str) -> None:
    lines = locate(text)
    assert lines["api"] == 1
    assert lines["api.audience"] == 2
    assert lines["issuer[0]"] == 5
    assert lines["issuer[0].leeway"] == 9
    assert lines["route[1]"] == 16
    assert lines["route[1].public"] == 18


def test_nothing_within_strings_lists_and_comments_is_taken_for_a_key() -> None:
    text = (
        'a = """\n[b]\nc = 1\n"""\n'
        "d = '''\n[e] = 2'''\n"
        "f = [ # ]\n  { g = 1 },\n  \"]\", '}',\n]\n"
        '# [h]\ni = "\\" # [[j]]" # k = 1\n'
        "l = 3\n"
    )
    tomllib.loads(text)
    assert locate(text) == {"a": 1, "d": 5, "f": 7, "i": 12, "l": 13}


def test_dotted_and_quoted_names_are_taken_apart() -> None:
    text = (
        'a."b.c" = 1\n[ x . "y=z" ]\nw = 1\n[[m]]\n[[m.n]]\n[[m]]\n[[m.n]]\no.p=1\n[m.q]\nr = 1\n'
    )
    tomllib.loads(text)
    assert locate(text) == {
        "a": 1,
        'a."b.c"': 1,
        "x": 2,
        'x."y=z"': 2,
        'x."y=z".w': 3,
        "m": 4,
        "m[0]": 4,
        "m[0].n": 5,
        "m[0].n[0]": 5,
        "m[1]": 6,
        "m[1].n": 7,
        "m[1].n[0]": 7,
        "m[1].n[0].o": 8,
        "m[1].n[0].o.p": 8,
        "m[1].q": 9,
        "m[1].q.r": 10,
    }


def test_line_ends_of_windows_count_once() -> None:
    assert locate("a = 1\r\n\r\nb = 2\r\n") == {"a": 1, "b": 3}


@given(st.text(st.sampled_from("[]{}=.,#'\"\\\n\r a1é")))
def test_any_text_is_survived(text: str) -> None:
    assert all(line >= 1 for line in locate(text).values())
