"""What is read of a proof, what is remembered, and what makes no sense as a rule."""

import math
from typing import Any

import pytest
from rich.pretty import pretty_repr

from judging import new_signer, signer_for
from portvakt.errors import ConfigurationError, Refused
from portvakt.jose.claims import Claims
from portvakt.oauth.dpop import (
    MAX_PROOF,
    MAX_TOKEN_ID,
    PROOF_ALGORITHMS,
    DpopRules,
    ProofReader,
    token_hash,
)
from portvakt.oauth.dpop_making import make_proof
from portvakt.refusal import Code
from proving import BEHIND, NONCES, NOW, PATH, PUBLIC, TOKEN, honest, jkt_of, read, rules, verdict

TIME_LIMITS = [(-30.001, False), (-30, True), (0, True), (5, True), (5.001, False)]


@pytest.mark.parametrize("alg", PROOF_ALGORITHMS)
def test_an_honest_proof_of_every_algorithm_is_read(alg: str) -> None:
    signer = signer_for(alg)
    proof = read(honest(alg).build(), thumbprint=jkt_of(signer))
    assert proof.thumbprint == jkt_of(signer)
    assert proof.issued_at == NOW


def test_every_claim_can_be_read_and_none_changed() -> None:
    written = honest().claims(**{"urn:own": {"a": [1, {"b": 2}]}, "jti": "one"}).build()
    proof = read(written)
    assert isinstance(proof.claims, Claims)
    assert proof.claims["urn:own"]["a"] == (1, Claims({"b": 2}))
    assert proof.claims["htm"] == "GET"
    assert proof.claims["jti"] == "one"


def test_what_is_remembered_of_a_proof_is_short_and_its_own() -> None:
    first, second = (
        read(honest().claims(jti=jti).build()) for jti in ("a" * MAX_TOKEN_ID, "\u00f8\0")
    )
    again = read(honest().claims(jti="\u00f8\0", iat=NOW - 1).build())
    assert first.token_id_digest != second.token_id_digest == again.token_id_digest
    assert len(first.token_id_digest) == len(second.token_id_digest) == 32


def test_a_proof_shows_no_claim() -> None:
    proof = read(honest().claims(jti="secret-jti", own="secret-own").build())
    for shown in (repr(proof), pretty_repr(proof)):
        assert "secret" not in shown
        assert "patients" not in shown
        assert proof.thumbprint in shown


@pytest.mark.parametrize(("offset", "holds"), TIME_LIMITS)
def test_the_window_of_time_is_closed_at_both_ends(offset: float, holds: bool) -> None:
    expected = None if holds else Code.PROOF_TIME
    assert verdict(honest().claims(iat=NOW + offset).build()) is expected


def test_the_window_is_the_rules_own() -> None:
    narrow = ProofReader(rules(max_age=1.0, max_ahead=0.0))
    assert verdict(honest().claims(iat=NOW - 1).build(), by=narrow) is None
    assert verdict(honest().claims(iat=NOW - 1.5).build(), by=narrow) is Code.PROOF_TIME
    assert verdict(honest().claims(iat=NOW + 0.5).build(), by=narrow) is Code.PROOF_TIME


def test_a_proof_is_as_long_as_it_may_be_and_no_longer() -> None:
    def of(length: int) -> str:
        # Four characters more for three octets more, so that every length but one in four is hit.
        for filling in range(MAX_PROOF):
            proof = honest().claims(jti="a", own="a" * filling).build()
            if len(proof) >= length:
                return proof
        raise AssertionError

    longest = of(MAX_PROOF - 3)
    assert len(longest) <= MAX_PROOF
    assert verdict(longest) is None
    assert verdict(of(MAX_PROOF + 1)) is Code.PROOF_MALFORMED


def test_the_header_name_is_read_in_any_case_and_others_are_not() -> None:
    proof = honest().build()
    reader, bound = ProofReader(rules()), jkt_of(signer_for("ES256"))
    given: dict[str, Any] = {
        "method": "GET",
        "target": PATH,
        "token": TOKEN,
        "thumbprint": bound,
        "now": NOW,
    }
    for name in ("DPoP", "dpop", "DPOP"):
        assert reader.read([(name, proof)], **given).thumbprint == bound
    for name in ("X-DPoP", "DPo", "Host", "D_oP"):
        with pytest.raises(Refused) as refused:
            reader.read([(name, proof)], **given)
        assert refused.value.refusal.code is Code.PROOF_MISSING


@pytest.mark.parametrize(
    "target",
    [
        PATH,
        f"{PATH}?a=https://x/",
        f"http://attacker.invalid{PATH}",
        f"https://10.0.0.1:8000{PATH}?b",
        "/patients/%31%37",
        "/a/../patients/17",
    ],
)
@pytest.mark.parametrize("origin", [PUBLIC, BEHIND])
def test_the_path_of_a_request_below_any_origin_is_the_target(target: str, origin: str) -> None:
    assert verdict(honest(url=origin + PATH).build(), target=target) is None


def test_a_request_without_a_path_has_no_proof() -> None:
    root = honest(url=PUBLIC).build()
    assert verdict(root, target="/") is None
    assert verdict(root, target="https://a.test") is None
    for target in ("*", "api.test:443", "", "/a b"):
        assert verdict(root, target=target) is Code.PROOF_TARGET


def test_a_token_that_is_not_ascii_has_no_hash() -> None:
    assert verdict(honest().build(), token="\u00f8") is Code.PROOF_TOKEN


def test_a_nonce_that_nobody_asks_for_is_not_looked_at() -> None:
    assert verdict(honest(nonce="of the issuer").build()) is None


def test_a_nonce_is_asked_for_before_the_time_is_judged() -> None:
    # A client whose clock is wrong learns the nonce all the same (RFC 9449 section 8).
    asking = ProofReader(rules(nonces=NONCES))
    assert verdict(honest().claims(iat=1).build(), by=asking) is Code.PROOF_NONCE


def remembering(reader: ProofReader) -> int:
    return len(reader._keys)


def test_a_key_is_remembered_when_its_proof_holds_in_full() -> None:
    reader = ProofReader(rules())
    for broken in (honest().claims(htm="PUT"), honest().claims(ath="a"), honest().claims(iat=1)):
        assert verdict(broken.build(), by=reader) is not None
        assert remembering(reader) == 0
    assert verdict(honest().build(), by=reader) is None
    assert remembering(reader) == 1
    assert verdict(honest().build(), by=reader) is None
    assert remembering(reader) == 1
    assert repr(reader) == "ProofReader(1 keys)"


def test_the_memory_is_bounded_and_keeps_the_keys_that_are_in_use() -> None:
    reader = ProofReader(rules(), capacity=4)
    known = honest()
    assert verdict(known.build(), by=reader) is None
    for serial in range(20):
        assert verdict(honest().header(kid=f"key-{serial}").build(), by=reader) is None
        assert remembering(reader) <= 4
        assert verdict(known.build(), by=reader) is None
        encoded = known.build().partition(".")[0]
        assert encoded in {*reader._keys._young, *reader._keys._old}


def test_both_generations_are_counted() -> None:
    reader = ProofReader(rules(), capacity=4)
    for serial in range(4):
        assert verdict(honest().header(kid=f"key-{serial}").build(), by=reader) is None
    assert remembering(reader) == 4
    assert verdict(honest().build(), by=reader) is None
    assert remembering(reader) == 3


def test_a_known_key_is_still_compared_with_that_of_the_token() -> None:
    reader, other = ProofReader(rules()), new_signer("ES256")
    assert verdict(honest().build(), by=reader) is None
    assert verdict(honest().build(), by=reader, thumbprint=jkt_of(other)) is Code.PROOF_BINDING


def test_readers_do_not_share_what_they_know() -> None:
    narrow = ProofReader(rules(algorithms=frozenset({"RS256"})))
    assert verdict(honest().build()) is None
    assert verdict(honest().build(), by=narrow) is Code.PROOF_ALGORITHM


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("origins", ()),
        ("algorithms", frozenset()),
        ("algorithms", frozenset({"ES256", "none"})),
        ("algorithms", frozenset({"HS256"})),
        ("algorithms", frozenset({"ML-DSA-44"})),
        ("max_age", 0.0),
        ("max_age", 300.1),
        ("max_age", math.nan),
        ("max_ahead", -0.1),
        ("max_ahead", 60.1),
        ("max_ahead", math.inf),
    ],
)
def test_rules_that_make_no_sense_are_refused(setting: str, value: Any) -> None:
    with pytest.raises(ConfigurationError) as error:
        rules(**{setting: value})
    assert [problem.place for problem in error.value.problems] == [setting]


def test_rules_at_their_limits_are_taken() -> None:
    assert isinstance(rules(max_age=300.0, max_ahead=60.0), DpopRules)
    assert isinstance(rules(max_ahead=0.0), DpopRules)


def test_a_proof_that_is_made_is_read() -> None:
    made = make_proof(
        signer_for("ES256"),
        method="GET",
        url=f"{PUBLIC}{PATH}?page=1#a",
        token=TOKEN,
        nonce="n",
        token_id="one",
        issued_at=NOW,
        claims={"own": 1},
    )
    claims = read(made).claims
    assert dict(claims) == {
        "jti": "one",
        "htm": "GET",
        "htu": PUBLIC + PATH,
        "iat": NOW,
        "ath": token_hash(TOKEN),
        "nonce": "n",
        "own": 1,
    }


def test_a_proof_for_an_issuer_has_neither_token_nor_nonce() -> None:
    made = make_proof(
        signer_for("ES256"),
        method="POST",
        url="https://issuer.test/token",
        token_id="one",
        issued_at=NOW,
    )
    assert verdict(made, method="POST", target="/token") is Code.PROOF_TARGET
    assert verdict(honest().without("ath").build()) is Code.PROOF_TOKEN


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"url": "no url"}, "no proof can be made for this URL"),
        ({"claims": {"jti": "a", "ath": "b"}, "token": "a"}, "a proof states ath, jti itself"),
    ],
)
def test_a_proof_that_lies_is_not_made(more: dict[str, Any], why: str) -> None:
    given = {"method": "GET", "url": PUBLIC, "token_id": "one", "issued_at": NOW}
    with pytest.raises(ConfigurationError, match=why):
        make_proof(signer_for("ES256"), **{**given, **more})
