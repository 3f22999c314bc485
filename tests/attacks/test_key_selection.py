"""Family KEY, selection: exactly one key of this issuer, by its exact name, as it is now."""

import unicodedata
from typing import Any, Final

import pytest

from judging import (
    KID,
    NOW,
    guard_with,
    honest,
    new_signer,
    signer_for,
    trusted,
    verdict,
)
from portvakt.guard.guard import Guard
from portvakt.jose.header import Header
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer
from portvakt.net.keys import FixedKeys, KeySource
from portvakt.policy.issuer import TrustedIssuer
from portvakt.refusal import Code
from portvakt.testing.clock import FrozenClock

MINE: Final = signer_for("ES256")
OTHER: Final = new_signer("ES256", KID)


@pytest.mark.attack("KEY-17")
def test_one_name_for_two_keys_of_an_algorithm_is_refused() -> None:
    for keys in ((MINE, OTHER), (OTHER, MINE)):
        guard = guard_with(*(key.public_jwk() for key in keys), algorithms=("ES256",))
        assert verdict(guard, honest().build()) is Code.KEY_AMBIGUOUS
        assert verdict(guard, honest(signer=OTHER).build()) is Code.KEY_AMBIGUOUS
        assert verdict(guard, honest().without_header("kid").build()) is Code.KEY_AMBIGUOUS


@pytest.mark.twin("KEY-17")
def test_one_name_for_keys_of_two_algorithms_is_told_apart() -> None:
    rsa, point = signer_for("RS256").public_jwk(), MINE.public_jwk()
    for keys in ((rsa, point), (point, rsa)):
        guard = guard_with(*keys, algorithms=("RS256", "ES256"))
        assert verdict(guard, honest("RS256").build()) is None
        assert verdict(guard, honest("ES256").build()) is None


@pytest.mark.twin("KEY-17")
def test_one_key_listed_twice_is_one_key() -> None:
    jwk = MINE.public_jwk()
    guard = guard_with(jwk, {**jwk, "x5t": "AAAA"}, jwk, algorithms=("ES256",))
    assert verdict(guard, honest().build()) is None


@pytest.mark.attack("KEY-18")
@pytest.mark.parametrize("named", [("key-1", "key-2"), ("key-1", None), (None, None)], ids=str)
def test_no_name_and_several_keys_is_refused(named: tuple[str | None, ...]) -> None:
    signers = [new_signer("ES256", kid) for kid in named]
    guard = guard_with(*(it.public_jwk() for it in signers), algorithms=("ES256",))
    for signer in signers:
        nameless = honest(signer=signer).without_header("kid").build()
        assert verdict(guard, nameless) is Code.KEY_AMBIGUOUS


@pytest.mark.twin("KEY-18")
@pytest.mark.parametrize("kid", [KID, None])
def test_no_name_and_one_key_is_admitted(kid: str | None) -> None:
    signer = new_signer("ES256", kid)
    rsa = signer_for("RS256").public_jwk()
    guard = guard_with(signer.public_jwk(), rsa, algorithms=("RS256", "ES256"))
    assert verdict(guard, honest(signer=signer).without_header("kid").build()) is None


@pytest.mark.twin("KEY-18")
def test_any_name_fits_the_one_key_that_has_none() -> None:
    signer = new_signer("ES256", None)
    guard = guard_with(signer.public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest(signer=signer).header(kid="anything").build()) is None


@pytest.mark.attack("KEY-18", "KEY-20")
def test_a_name_fits_no_key_without_one_if_there_are_others() -> None:
    signer = new_signer("ES256", None)
    named = new_signer("ES256", "key-2")
    guard = guard_with(signer.public_jwk(), named.public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest(signer=signer).header(kid="key-1").build()) is Code.KEY_UNKNOWN


@pytest.mark.attack("KEY-19")
@pytest.mark.parametrize("kid", [None, 0, 1, True, {}, ["key-1"], {"key-1": 1}, 1.5, ""], ids=repr)
def test_name_that_is_no_string_is_refused(kid: object) -> None:
    guard = guard_with(MINE.public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest().header(kid=kid).build()) is Code.HEADER_PARAMETER


@pytest.mark.attack("KEY-19")
@pytest.mark.parametrize("kid", [None, 0, True, {}, ["key-1"], ""], ids=repr)
def test_key_whose_name_is_no_string_is_not_used(kid: object) -> None:
    guard = guard_with({**MINE.public_jwk(), "kid": kid}, algorithms=("ES256",))
    assert verdict(guard, honest().build()) is Code.KEY_UNKNOWN
    assert verdict(guard, honest().header(kid=str(kid)).build()) in {
        Code.KEY_UNKNOWN,
        Code.HEADER_PARAMETER,
    }


COMPOSED: Final = "nøkkel-é"

NEARLY: Final = {
    "key-1": [
        "Key-1",
        "KEY-1",
        "key-1 ",
        " key-1",
        "key-1\0",
        "key-1\n",
        "key-01",
        "key-",
        "key-11",
    ],
    "1": ["01", "1.0", "+1", "１", "1\u200b", "¹"],
    COMPOSED: [unicodedata.normalize("NFD", COMPOSED), COMPOSED.upper(), "nokkel-e"],
    "Kk": ["\u212ak", "KK", "kk"],
    "ss": ["ß", "SS", "\u017fs"],
    "a.b": ["a/b", "a%2eb", "axb"],
}


@pytest.mark.attack("KEY-20")
@pytest.mark.parametrize(
    ("kid", "near"), [(kid, it) for kid, all_ in NEARLY.items() for it in all_]
)
def test_name_that_is_nearly_right_is_refused(kid: str, near: str) -> None:
    guard = guard_with(Signer("ES256", kid, MINE._private_key).public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest().header(kid=near).build()) is Code.KEY_UNKNOWN


@pytest.mark.twin("KEY-20")
@pytest.mark.parametrize("kid", NEARLY)
def test_name_that_is_right_is_admitted(kid: str) -> None:
    guard = guard_with({**MINE.public_jwk(), "kid": kid}, algorithms=("ES256",))
    assert verdict(guard, honest().header(kid=kid).build()) is None


def two_issuers(**kids: str) -> tuple[Guard, dict[str, Signer]]:
    """Return a guard of issuers a and b, each with a key of this name."""
    signers = {name: new_signer("ES256", kid) for name, kid in kids.items()}
    issuers = {name: trusted("ES256", issuer=f"https://{name}.test") for name in kids}
    keys = {
        issuers[name].issuer: JwkSet.from_object({"keys": [signer.public_jwk()]}, ["ES256"])
        for name, signer in signers.items()
    }
    guard = Guard(issuers=issuers.values(), keys=FixedKeys(keys), clock=FrozenClock(NOW))
    return guard, signers


@pytest.mark.attack("KEY-21", "JWKS-16", "CLM-15")
def test_key_of_another_trusted_issuer_is_not_used() -> None:
    guard, signers = two_issuers(a="same", b="same")
    forged = honest(signer=signers["b"]).claims(iss="https://a.test").build()
    assert verdict(guard, forged) is Code.SIGNATURE_INVALID
    guard, signers = two_issuers(a="of-a", b="of-b")
    forged = honest(signer=signers["b"]).claims(iss="https://a.test").build()
    assert verdict(guard, forged) is Code.KEY_UNKNOWN


@pytest.mark.twin("KEY-21", "JWKS-16", "CLM-15")
def test_each_issuer_is_admitted_with_its_own_key() -> None:
    guard, signers = two_issuers(a="same", b="same")
    for name, signer in signers.items():
        token = honest(signer=signer).claims(iss=f"https://{name}.test").build()
        assert verdict(guard, token) is None


class Rotating(KeySource):
    """A source whose keys change."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.replace(*keys)

    def replace(self, *keys: dict[str, Any]) -> None:
        self.keys = JwkSet.from_object({"keys": list(keys)}, ["ES256"])

    def current(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return self.keys

    async def fetch(self, _: TrustedIssuer, header: Header | None = None) -> JwkSet:
        return self.keys


@pytest.mark.attack("KEY-23", "CACHE-07", "JWKS-14", "JWKS-26")
def test_token_of_a_withdrawn_key_is_refused_though_it_was_admitted_before() -> None:
    old, new = new_signer("ES256", "old"), new_signer("ES256", "new")
    source = Rotating(old.public_jwk(), new.public_jwk())
    guard = Guard(issuers=[trusted("ES256")], keys=source, clock=FrozenClock(NOW))
    token = honest(signer=old).build()
    assert verdict(guard, token) is None
    source.replace(new.public_jwk())
    assert verdict(guard, token) is Code.KEY_UNKNOWN
    source.replace({**new.public_jwk(), "kid": "old"})
    assert verdict(guard, token) is Code.SIGNATURE_INVALID


@pytest.mark.twin("KEY-23", "CACHE-07", "JWKS-14", "JWKS-26")
def test_tokens_of_both_keys_are_admitted_while_both_are_published() -> None:
    old, new = new_signer("ES256", "old"), new_signer("ES256", "new")
    source = Rotating(old.public_jwk())
    guard = Guard(issuers=[trusted("ES256")], keys=source, clock=FrozenClock(NOW))
    assert verdict(guard, honest(signer=old).build()) is None
    source.replace(old.public_jwk(), new.public_jwk())
    assert verdict(guard, honest(signer=old).build()) is None
    assert verdict(guard, honest(signer=new).build()) is None


@pytest.mark.attack("KEY-23")
def test_key_of_another_environment_is_not_known() -> None:
    production, test = new_signer("ES256", "2026"), new_signer("ES256", "2026-test")
    guard = guard_with(production.public_jwk(), algorithms=("ES256",))
    assert verdict(guard, honest(signer=test).build()) is Code.KEY_UNKNOWN
    assert verdict(guard, honest(signer=test).header(kid="2026").build()) is Code.SIGNATURE_INVALID
