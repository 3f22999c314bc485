"""What proofs, references, encryption and revocation need: named where it is missing."""

import json
from typing import Any

import pytest

from portvakt import ConfigurationError, Guard
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
API = {"audience": "test-api"}
STORE = {"url": "memory://"}
REFERENCES = {"client_id": "api", "key": {"env": "API_KEY"}, "endpoint": "https://a.test/ask"}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", json.dumps(Signer.generate("ES256").private_jwk()))
    key = DecryptionKey.generate("ECDH-ES", "a")
    monkeypatch.setenv("API_ENCRYPTION", json.dumps(key.private_jwk()))
    monkeypatch.setenv("NONCE_KEY", "n" * 32)
    monkeypatch.setenv("SHORT", "n" * 31)


def config(issuer: dict[str, Any] | None = None, **tables: Any) -> dict[str, Any]:
    made = ISSUER.config(**tables)
    made["issuer"][0].update(issuer or {})
    return made


def problems(issuer: dict[str, Any] | None = None, **tables: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        Guard.from_config(config(issuer, **tables), clock=ISSUER.clock)
    return [str(one) for one in error.value.problems]


def guard(issuer: dict[str, Any] | None = None, **tables: Any) -> Guard:
    return Guard.from_config(config(issuer, **tables), clock=ISSUER.clock)


@pytest.mark.parametrize(
    ("tables", "place", "message"),
    [
        (
            {"api": {**API, "sender_constraint": "dpop"}, "store": STORE},
            "api.sender_constraint",
            "needs [api] origin",
        ),
        (
            {
                "api": {**API, "sender_constraint": "dpop"},
                "route": [{"path": "/", "sender_constraint": "none"}],
                "store": STORE,
            },
            "api.sender_constraint",
            "needs [api] origin",
        ),
        (
            {
                "api": {**API, "origin": "https://a.test"},
                "route": [{"path": "/", "sender_constraint": "dpop"}],
            },
            "route[0].sender_constraint",
            "needs a [store]",
        ),
        (
            {"api": {**API, "sender_constraint": "dpopp"}},
            "api.sender_constraint",
            "did you mean dpop?",
        ),
        (
            {"route": [{"path": "/", "sender_constraint": "both"}]},
            "route[0].sender_constraint",
            "one of none, dpop, mtls",
        ),
        ({"api": {**API, "sensitivity": "high"}}, "api.sensitivity", "opens to nobody"),
        (
            {"route": [{"path": "/", "sensitivity": "high"}]},
            "route[0].sensitivity",
            "opens to nobody",
        ),
        (
            {"api": {**API, "require_encryption": True}},
            "api.require_encryption",
            "needs [encryption]",
        ),
        (
            {"route": [{"path": "/", "unsafe_on_stale": "admit"}]},
            "route[0].unsafe_on_stale",
            "add a [store]",
        ),
        (
            {"route": [{"path": "/", "unsafe_on_stale": "yes"}], "store": STORE},
            "route[0].unsafe_on_stale",
            'must be "refuse" or "admit"',
        ),
        ({"revocation": {"max_staleness": "5s"}}, "revocation.max_staleness", "without a store"),
        (
            {"route": [{"path": "/", "public": True, "sender_constraint": "mtls"}]},
            "route[0]",
            "public",
        ),
        (
            {"route": [{"path": "/", "public": True, "require_encryption": True}]},
            "route[0]",
            "public",
        ),
        (
            {
                "api": {**API, "origin": "https://a.test"},
                "store": STORE,
                "dpop": {"nonce_keys": [{"env": "SHORT"}]},
            },
            "dpop.nonce_keys[0]",
            "32 octets",
        ),
        (
            {
                "api": {**API, "origin": "https://a.test"},
                "store": STORE,
                "dpop": {"nonce_keys": [{"env": "NOT_SET"}]},
            },
            "dpop.nonce_keys[0]",
            "not set",
        ),
        ({"encryption": {"keys": {"env": "API_KEY"}}}, "encryption.keys", ""),
        ({"encryption": {"keys": {"keystore": "a"}}}, "encryption.keys.keystore", "add [keystore]"),
        (
            {"keystore": {"file": "nowhere", "passphrase": {"env": "NONCE_KEY"}}},
            "keystore.file",
            "portvakt keys generate",
        ),
        (
            {"keystore": {"file": "nowhere", "passphrase": {"env": "NOT_SET"}}},
            "keystore.passphrase",
            "not set",
        ),
        (
            {"store": {"url": "redis://127.0.0.1:1", "password": {"env": "NOT_SET"}}},
            "store.password",
            "not set",
        ),
        (
            {
                "dpop": {"nonce_keys": [{"keystore": "a"}]},
                "store": {**STORE, "password": {"keystore": "b"}},
            },
            "dpop.nonce_keys[0].keystore",
            "add [keystore]",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_place(
    tables: dict[str, Any], place: str, message: str
) -> None:
    found = problems(**tables)
    assert any(one.startswith(f"{place}: ") and message in one for one in found), found


@pytest.mark.parametrize(
    ("issuer", "place", "message"),
    [
        ({"events": {"push": True}}, "issuer[0].events", "need a [store]"),
        (
            {"introspection": {**REFERENCES, "key": {"env": "NOT_SET"}}},
            "issuer[0].introspection.key",
            "not set",
        ),
        (
            {"introspection": {"client_id": "api", "secret": {"keystore": "a"}}},
            "issuer[0].introspection.secret.keystore",
            "add [keystore]",
        ),
        (
            {"events": {"poll": "https://a.test/e", "token": {"keystore": "a"}}},
            "issuer[0].events.token.keystore",
            "add [keystore]",
        ),
    ],
)
def test_so_is_what_an_issuers_table_lacks(
    issuer: dict[str, Any], place: str, message: str
) -> None:
    found = problems(issuer)
    assert any(one.startswith(f"{place}: ") and message in one for one in found), found


def test_what_has_all_it_takes_is_a_policy() -> None:
    bound = guard(
        api={**API, "origin": "https://a.test", "sender_constraint": "dpop", "sensitivity": "high"},
        store=STORE,
        dpop={"nonce_keys": [{"env": "NONCE_KEY"}]},
    )
    assert bound.parts.possession is not None
    assert bound.parts.possession.rules.nonces is not None
    references = guard({"introspection": REFERENCES}, api={**API, "sensitivity": "high"})
    assert references.parts.introspection is not None
    assert references.parts.store is None
    sealed = guard(
        api={**API, "require_encryption": True}, encryption={"keys": {"env": "API_ENCRYPTION"}}
    )
    assert sealed.parts.decryption is not None
    stale = guard(store=STORE, route=[{"path": "/", "unsafe_on_stale": "admit"}])
    assert stale.routes.rules[0].requirement.unsafe_on_stale
    listed = guard(
        {"status_lists": ["https://a.test/1"]}, route=[{"path": "/", "unsafe_on_stale": "admit"}]
    )
    assert listed.parts.standing is not None
    assert listed.parts.standing.mirror is None


def test_a_route_may_say_otherwise_than_the_api() -> None:
    made = guard(
        api={**API, "sender_constraint": "mtls", "require_encryption": True},
        encryption={"keys": {"env": "API_ENCRYPTION"}},
        route=[
            {"path": "/a"},
            {"path": "/b", "sender_constraint": "none", "require_encryption": False},
        ],
    )
    one, other = (rule.requirement for rule in made.routes.rules)
    assert one.sender_constraint is not None
    assert (one.sender_constraint.value, one.require_encryption) == ("mtls", True)
    assert other.sender_constraint is not None
    assert (other.sender_constraint.value, other.require_encryption) == ("none", False)


def test_what_lets_in_without_knowing_is_said_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard(store=STORE, route=[{"path": "/a"}, {"path": "/b", "unsafe_on_stale": "admit"}])
    said = "a token is admitted though nobody knows if it was revoked lately"
    assert [record.message for record in caplog.records] == [
        f"route[1]: unsafe_on_stale is set: {said}"
    ]


def test_an_origin_that_is_wrong_is_not_missing_too() -> None:
    api = {**API, "origin": "http://a.test", "sender_constraint": "dpop"}
    (told,) = problems(api=api, store=STORE)
    assert told.startswith("api.origin: ")


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:8000/api"])
def test_a_developers_machine_is_an_origin_over_http(origin: str) -> None:
    guard(api={**API, "origin": origin, "sender_constraint": "dpop"}, store=STORE)


def test_two_keys_that_decrypt_need_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    key = DecryptionKey.generate("ECDH-ES", "a").private_jwk()
    monkeypatch.setenv("API_ENCRYPTION", json.dumps({"keys": [key, key]}))
    (told,) = problems(encryption={"keys": {"env": "API_ENCRYPTION"}})
    assert told == "encryption.keys: two keys that decrypt have one kid"


def test_a_memory_of_one_process_does_not_serve_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    (told,) = problems(store=STORE)
    assert told.startswith("store.url: memory:// is the memory of one process, and WEB_CONCURRENCY")
