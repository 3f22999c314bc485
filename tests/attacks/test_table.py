"""The table of attacks: it must notice what is missing, or it proves nothing."""

import pytest

from attacks_report import CATALOGUE, Tried, problems, read_catalogue, render

SMALL = """
[[family]]
name = "AAA"
title = "some"
[family.ids]
01 = "tested"
02 = "a trap"
03 = "not here"
[family.accepts]
02 = "the standard allows it"
[family.without_test]
03 = "There is no such thing here."
[[family]]
name = "BBB"
title = "others"
later = "They come later."
[family.ids]
01 = "of another part"
"""
FAMILIES = read_catalogue(SMALL)


def complete() -> Tried:
    tests = Tried(passed={"bad", "good"})
    tests.hostile["AAA-01"].add("bad")
    tests.honest["AAA-01"].add("good")
    tests.honest["AAA-02"].add("good")
    return tests


def test_complete_table_has_no_problems() -> None:
    assert not list(problems(FAMILIES, complete()))


def test_attack_without_a_hostile_test_is_a_problem() -> None:
    tests = complete()
    del tests.hostile["AAA-01"]
    assert list(problems(FAMILIES, tests)) == ["AAA-01: no hostile test that passed"]


@pytest.mark.parametrize("id_", ["AAA-01", "AAA-02"])
def test_attack_without_an_honest_twin_is_a_problem(id_: str) -> None:
    tests = complete()
    del tests.honest[id_]
    assert list(problems(FAMILIES, tests)) == [f"{id_}: no honest twin that passed"]


def test_test_that_did_not_pass_proves_nothing() -> None:
    tests = complete()
    tests.passed.discard("bad")
    assert list(problems(FAMILIES, tests)) == ["AAA-01: no hostile test that passed"]
    tests = complete()
    tests.failed.add("bad")
    assert list(problems(FAMILIES, tests)) == ["AAA-01: no hostile test that passed"]


def test_unknown_id_is_a_problem() -> None:
    tests = complete()
    tests.hostile["AAA-04"].add("bad")
    tests.honest["CCC-01"].add("good")
    assert [line.partition(":")[0] for line in problems(FAMILIES, tests)] == ["AAA-04", "CCC-01"]


def test_reason_that_no_longer_holds_is_a_problem() -> None:
    tests = complete()
    tests.hostile["AAA-03"].add("bad")
    assert [line.partition(":")[0] for line in problems(FAMILIES, tests)] == ["AAA-03"]


def test_attack_of_a_later_part_may_be_tested_but_then_with_its_twin() -> None:
    tests = complete()
    tests.hostile["BBB-01"].add("bad")
    assert list(problems(FAMILIES, tests)) == ["BBB-01: no honest twin that passed"]
    tests.honest["BBB-01"].add("good")
    assert not list(problems(FAMILIES, tests))


def test_reason_for_an_id_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="04"):
        read_catalogue(SMALL.replace('03 = "There', '04 = "There'))


def test_table_names_every_id_and_says_why_not() -> None:
    text = render(FAMILIES, complete())
    assert "| AAA-01 | tested | `bad` | `good` |" in text
    assert "| AAA-02 | a trap | never: the standard allows it | `good` |" in text
    assert "- **AAA-03** (not here): There is no such thing here." in text
    assert "They come later." in text
    assert "- BBB-01: of another part" in text


def test_catalogue_has_all_its_ids() -> None:
    ids = [
        attack.id for family in read_catalogue(CATALOGUE.read_text()) for attack in family.attacks
    ]
    assert len(ids) == len(set(ids)) == 288
