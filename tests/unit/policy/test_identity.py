"""Out of claims: what is there is read, and what is malformed is never taken for absent."""

from __future__ import annotations

from typing import Any

import pytest

from portvakt import Code, ConfigurationError, Refused
from portvakt.policy.accepted_persons import AcceptedPersons
from portvakt.policy.identity import NO_IDENTITY, IdentityClaims, Organisation, read_identity

LEVELS = {"low": 2, "substantial": 3, "high": 4}
CLAIMS = IdentityClaims(
    security_level=("acr",),
    levels=LEVELS,
    pid=("pid",),
    hpr_number=("hpr",),
    organisation_parent=("parent",),
    organisation_child=("child",),
    organisation_supplier=("supplier",),
    client_name=("name",),
    tenancy=("tenancy", "old_tenancy"),
    authenticated_at=("auth_time",),
    trust_framework=("framework",),
)
WHOLE: dict[str, Any] = {
    "acr": "high",
    "pid": "17056600574",
    "hpr": "009144900",
    "parent": "917897468",
    "child": "922734046",
    "supplier": "994598759",
    "name": "Journal 4.2",
    "old_tenancy": "multi-tenant",
    "auth_time": 1716473563,
    "framework": {"practitioner": {"hpr_nr": {"id": "9144900"}}, "patients": [{}]},
}


def code_of(members: dict[str, Any], claims: IdentityClaims = CLAIMS) -> Code | None:
    try:
        read_identity(members, claims)
    except Refused as refused:
        return refused.refusal.code
    return None


def test_everything_that_is_there_is_read() -> None:
    found = read_identity(WHOLE, CLAIMS)
    assert found.security_level == 4
    assert found.pid is not None
    assert found.pid.number == "17056600574"
    assert found.hpr_number is not None
    assert found.hpr_number.number == "9144900"
    assert isinstance(found.organisation, Organisation)
    units = (found.organisation.parent, found.organisation.child, found.organisation.supplier)
    assert [unit and unit.number for unit in units] == ["917897468", "922734046", "994598759"]
    assert (found.client_name, found.tenancy) == ("Journal 4.2", "multi-tenant")
    assert found.authenticated_at == 1716473563
    assert found.trust_framework is not None
    assert found.trust_framework["practitioner"]["hpr_nr"]["id"] == "9144900"
    assert found.trust_framework["patients"] == ({},)  # read-only, all the way down


def test_nothing_is_there() -> None:
    assert read_identity({"sub": "x"}, CLAIMS) == NO_IDENTITY
    assert read_identity(WHOLE, IdentityClaims()) == NO_IDENTITY


def test_an_identity_shows_no_one() -> None:
    from rich.pretty import pretty_repr

    found = read_identity(WHOLE, CLAIMS)
    for text in (repr(found), str(found), pretty_repr(found), pretty_repr(found.organisation)):
        for value in ("17056600574", "9144900", "917897468", "Journal"):
            assert value not in text


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("acr", [4, None, True, [], {}, ["high"], "HIGH", "", "1337"]),
        ("pid", [17056600574, None, True, [], {}, "", "1705660057", "17056600574 ", "１" * 11]),
        ("hpr", [431001110, None, [], "", "0", "000", "1" * 10, "12a"]),
        ("parent", [917897468, None, [], {}, "", "91789746", "917897469"]),
        ("child", [922734046, None, "922734047"]),
        ("supplier", [None, "NO:ORGNR:994598759", "0192:994598759"]),
        ("name", [1, None, [], "x" * 257, "a\nb", "a\u202eb"]),
        ("tenancy", [None, {}, "a\0b"]),
        ("framework", [None, "{}", [], {}, True, [{"practitioner": {}}]]),
        ("auth_time", ["1716473563", None, True, -1, 10**13, [], float("inf")]),
    ],
)
def test_what_is_malformed_refuses(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(Refused) as refused:
            read_identity({**WHOLE, name: value}, CLAIMS)
        assert refused.value.refusal.code is Code.IDENTITY_MALFORMED, value
        assert name in str(refused.value.refusal.detail)
        if isinstance(value, str) and len(value) > 3:
            assert value not in str(refused.value.refusal.detail)


def test_a_kind_that_is_not_accepted_is_a_reason_of_its_own() -> None:
    assert code_of({"pid": "03851598730"}) is Code.IDENTITY_REFUSED
    tolerant = IdentityClaims(pid=("pid",), persons=AcceptedPersons.for_tests())
    assert code_of({"pid": "03851598730"}, tolerant) is None


def test_two_names_for_one_thing_must_agree() -> None:
    assert code_of({"tenancy": "a", "old_tenancy": "a"}) is None
    assert code_of({"tenancy": "a", "old_tenancy": "b"}) is Code.IDENTITY_MALFORMED
    assert code_of({"tenancy": "a", "old_tenancy": None}) is Code.IDENTITY_MALFORMED


ALIASES = IdentityClaims(
    security_level=("level", "assurance"),
    levels={"3": 3, "4": 4, "high": 4},
    pid=("pid", "old_pid"),
    hpr_number=("hpr", "old_hpr"),
    organisation_parent=("parent", "old_parent"),
    authenticated_at=("auth_time", "old_time"),
)


@pytest.mark.parametrize(
    ("members", "code"),
    [
        # The same in other words.
        ({"level": "4", "assurance": "high"}, None),
        ({"hpr": "9144900", "old_hpr": "009144900"}, None),
        ({"auth_time": 5, "old_time": 5.0}, None),
        # Another level, person or time, whichever comes first.
        ({"level": "3", "assurance": "high"}, Code.IDENTITY_MALFORMED),
        ({"level": "4", "assurance": "3"}, Code.IDENTITY_MALFORMED),
        ({"pid": "17056600574", "old_pid": "55507608360"}, Code.IDENTITY_REFUSED),
        ({"hpr": "9144900", "old_hpr": "9144901"}, Code.IDENTITY_MALFORMED),
        ({"parent": "917897468", "old_parent": "994598759"}, Code.IDENTITY_MALFORMED),
        ({"auth_time": 5, "old_time": 6}, Code.IDENTITY_MALFORMED),
        # In Python True is 1, and what is sound does not make up for what is not.
        ({"auth_time": 1, "old_time": True}, Code.IDENTITY_MALFORMED),
        ({"auth_time": True, "old_time": 1}, Code.IDENTITY_MALFORMED),
        ({"pid": "17056600574", "old_pid": None}, Code.IDENTITY_MALFORMED),
        ({"pid": [], "old_pid": "17056600574"}, Code.IDENTITY_MALFORMED),
        ({"level": "4", "assurance": ["high"]}, Code.IDENTITY_MALFORMED),
        ({"auth_time": 0, "old_time": 5}, Code.IDENTITY_MALFORMED),
    ],
)
def test_aliases_say_the_same_each_in_its_own_words(
    members: dict[str, Any], code: Code | None
) -> None:
    assert code_of(members, ALIASES) is code


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"pid": "pid"}, "pid"),
        ({"pid": ["pid"]}, "pid"),
        ({"hpr_number": ("",)}, "hpr_number"),
        ({"tenancy": (1,)}, "tenancy"),
        ({"authenticated_at": None}, "authenticated_at"),
        ({"levels": {"high": 5}}, "levels"),
        ({"levels": {"high": 0}}, "levels"),
        ({"levels": {"high": True}}, "levels"),
        ({"levels": {"high": "4"}}, "levels"),
        ({"levels": {4: 4}}, "levels"),
        ({"levels": {}}, "levels"),
        ({"security_level": ()}, "levels"),
        ({"iso6523": "false"}, "iso6523"),
        ({"strict_check_digits": 0}, "strict_check_digits"),
    ],
)
def test_claims_that_would_never_be_found_are_a_mistake(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationError) as mistake:
        IdentityClaims(**{"security_level": ("acr",), "levels": {"high": 4}, **change})
    assert [problem.place for problem in mistake.value.problems] == [place]


def test_organisations_may_be_objects() -> None:
    claims = IdentityClaims(organisation_parent=("consumer",), iso6523=True)
    honest = {"authority": "iso6523-actorid-upis", "ID": "0192:991825827"}
    found = read_identity({"consumer": honest}, claims).organisation
    assert found is not None
    assert found.parent is not None
    assert found.parent.number == "991825827"
    assert found.child is None
    for value in (
        *("991825827", None, [], [honest], {}, {"ID": honest["ID"]}),
        *({**honest, "authority": "x"}, {**honest, "authority": [honest["authority"]]}),
        *({**honest, "ID": "991825827"}, {**honest, "ID": [honest["ID"]]}, {**honest, "ID": None}),
        *({**honest, "ID": "0192:991825828"}, {**honest, "ID": "0007:991825827"}),
    ):
        assert code_of({"consumer": value}, claims) is Code.IDENTITY_MALFORMED


def test_wrong_check_digits_are_tolerated_where_the_policy_says_so() -> None:
    lenient = IdentityClaims(organisation_parent=("parent",), strict_check_digits=False)
    assert code_of({"parent": "999977776"}) is Code.IDENTITY_MALFORMED
    assert code_of({"parent": "999977776"}, lenient) is None
    assert code_of({"parent": "99997777"}, lenient) is Code.IDENTITY_MALFORMED


def test_what_may_be_carried_is_known_beforehand() -> None:
    assert CLAIMS.carried == {"security_level", "pid", "hpr_number", "organisation"}
    assert IdentityClaims(pid=("pid",)).carried == {"pid"}
    assert IdentityClaims(client_name=("name",)).carried == frozenset()
    # A part of an organisation is about it, whether or not the whole is named too.
    assert IdentityClaims(organisation_supplier=("supplier",)).carried == {"organisation"}
    assert IdentityClaims(organisation_child=("child",)).carried == {"organisation"}
    assert set(WHOLE) < set(CLAIMS.names)
