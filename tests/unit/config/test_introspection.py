"""An issuer's introspection table: what is wrong with it, by itself and beside the others."""

from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from portvakt.config.introspection import check_introspection
from portvakt.config.introspection_schema import IntrospectionTable
from portvakt.config.issuer_schema import IssuerTable
from portvakt.config.problems import Problems
from portvakt.config.secrets_schema import SecretTable
from portvakt.errors import ConfigurationError

KEY = SecretTable(keystore="api-key")
SECRET = SecretTable(env="API_SECRET")
NAME = "https://issuer.test"


def table(**settings: Any) -> IntrospectionTable:
    return IntrospectionTable(**{"client_id": "api", "key": KEY, **settings})


def problems_of(*tables: IntrospectionTable, **issuer: Any) -> list[str]:
    problems = Problems()
    issuers = {
        index: IssuerTable(**{"issuer": f"{NAME}/{index}", **issuer})
        for index in range(len(tables))
    }
    check_introspection(dict(enumerate(tables)), issuers, problems)
    try:
        problems.check()
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    "sound",
    [
        table(),
        table(key=UNSET, secret=SECRET),
        table(endpoint="https://other.test/introspect"),
        table(hosts=("tokens.test", "tokens.test:8443")),
        table(signed=True, prefix="ref_", assertion_typ="JWT", timeout=30.0, max_staleness=300.0),
        table(client_id="the api: ø".replace("ø", "o")),
    ],
)
def test_what_is_sound_is_no_problem(sound: IntrospectionTable) -> None:
    assert problems_of(sound) == []


@pytest.mark.parametrize(
    ("flawed", "message"),
    [
        (table(key=UNSET), "introspection: needs key or secret, and not both"),
        (table(secret=SECRET), "introspection: needs key or secret, and not both"),
        (table(key=SecretTable()), "introspection.key: names no secret"),
        (table(key=UNSET, secret=SecretTable(env="1")), "introspection.secret.env: must be"),
        (table(client_id=""), "introspection.client_id: must be"),
        (table(client_id="a\nb"), "introspection.client_id: must be"),
        (table(client_id="å"), "introspection.client_id: must be"),
        (table(assertion_typ="jwt"), "introspection.assertion_typ: must be one of"),
        (
            table(key=UNSET, secret=SECRET, assertion_typ="JWT"),
            "introspection.assertion_typ: is for what a key signs",
        ),
        (table(prefix="a.b"), "introspection.prefix: must be"),
        (table(prefix="a="), "introspection.prefix: must be"),
        (table(prefix="a" * 65), "introspection.prefix: must be"),
        (table(timeout=0.0), "introspection.timeout: must be"),
        (table(timeout=30.1), "introspection.timeout: must be"),
        (table(max_staleness=-1.0), "introspection.max_staleness: must be"),
        (table(max_staleness=300.1), "introspection.max_staleness: must be"),
        (table(endpoint="http://issuer.test/x"), "introspection.endpoint: the URL is not https"),
        (table(endpoint="https://u:p@issuer.test"), "introspection.endpoint: the URL has a user"),
        (
            table(endpoint="https://issuer.test/", hosts=("a.test",)),
            "introspection.hosts: is for an endpoint that the metadata names",
        ),
        (table(hosts=("a.test/x",)), "introspection.hosts[0]: is not a host"),
        (table(hosts=("a.test", "a b")), "introspection.hosts[1]: is not a host"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(flawed: IntrospectionTable, message: str) -> None:
    (problem,) = problems_of(flawed)
    assert problem.startswith(f"issuer[0].{message}")


@pytest.mark.parametrize("name", ["urn:issuer", "https://issuer.test/?a=b", "http://issuer.test"])
def test_an_issuer_whose_name_leads_nowhere_needs_an_endpoint(name: str) -> None:
    (problem,) = problems_of(table(), issuer=name)
    assert problem.startswith("issuer[0].introspection: needs an endpoint")
    assert problems_of(table(endpoint="https://issuer.test/x"), issuer=name) == []
    assert problems_of(table(), issuer=name, metadata_uri="https://issuer.test/meta") == []
    assert problems_of(table(), issuer="") == []  # that it is missing is told elsewhere


def test_on_this_machine_it_may_be_http() -> None:
    local = table(endpoint="http://127.0.0.1:8000/x")
    assert problems_of(local, unsafe_loopback=True) == []
    assert len(problems_of(local)) == 1


def test_several_issuers_tell_their_tokens_apart() -> None:
    assert problems_of(table(prefix="a_"), table(prefix="b_")) == []
    missing = "is missing: several issuers"
    assert [p.partition(": ")[2][: len(missing)] for p in problems_of(table(), table())] == [
        missing,
        missing,
    ]
    for first, second in (("a", "a"), ("a", "ab"), ("ab", "a")):
        (problem,) = problems_of(table(prefix=first), table(prefix=second))
        assert problem.startswith("issuer[1].introspection.prefix: begins like")


def test_a_secret_has_no_place_in_it() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"client_id": "api", "secret": "hush"}, IntrospectionTable)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"client_id": "api", "password": "hush"}, IntrospectionTable)
    assert "api-key" not in repr(table())
