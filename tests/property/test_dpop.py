"""Whatever is sent as a proof, it holds or is refused; and nothing but the client's own holds."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.oauth.dpop import ProofReader
from proving import NONCES, NOW, honest, rules, verdict

PROOF = honest().build()
ASKING = ProofReader(rules(nonces=NONCES))

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
segments = st.binary(max_size=80).map(encode_base64url) | st.text("aZ9-_=+/,", max_size=40)


@given(st.text(max_size=120) | st.lists(segments, max_size=6).map(".".join))
@example("..")
@example("\ud800.a.a")
def test_any_text_is_refused(proof: str) -> None:
    assert verdict(proof) is not None
    assert verdict(proof, by=ASKING) is not None


@given(st.lists(st.text(max_size=20) | st.just(PROOF), min_size=2, max_size=4))
def test_any_texts_are_refused(proofs: list[str]) -> None:
    assert verdict(*proofs) is not None


@given(
    st.dictionaries(
        st.sampled_from(["typ", "alg", "jwk", "kid", "crit", "x5c", "b64", "own"]), json_values
    ),
)
def test_any_header_is_judged(members: dict[str, Any]) -> None:
    try:
        proof = honest().header(**members).build()
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    verdict(proof)


@given(
    st.dictionaries(
        st.sampled_from(
            ["kty", "crv", "x", "y", "n", "e", "alg", "kid", "use", "key_ops", "d", "k", "x5c"]
        ),
        st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "P-521", "Ed25519", "sig", "AQAB"])
        | segments
        | json_values,
    ),
    st.sampled_from(["ES256", "RS256", "EdDSA"]),
)
def test_any_key_is_judged(members: dict[str, Any], alg: str) -> None:
    try:
        written = encode_object({"typ": "dpop+jwt", "alg": alg, "jwk": members})
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    assert verdict(honest().header_bytes(written).build()) is not None


@given(
    st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce", "own"]), json_values
    )
)
def test_any_signed_claims_are_judged(claims: dict[str, Any]) -> None:
    try:
        proof = honest(nonce=NONCES.make(NOW)).claims(**claims).build()
    except (ValueError, OverflowError, UnicodeEncodeError):
        return
    changed = claims.keys() & {"htm", "htu", "ath"}
    for reader in (None, ASKING):
        assert (verdict(proof, by=reader) is not None) >= bool(changed)


@given(st.binary(max_size=200))
def test_any_signed_octets_are_refused(payload: bytes) -> None:
    assert verdict(honest().payload(payload).build()) is not None


@given(
    st.text(max_size=40) | st.text("/.%2e?#\\@: \n", max_size=20),
    st.text(max_size=10),
    st.text(max_size=20),
    st.text(max_size=43),
)
def test_any_request_is_judged(target: str, method: str, token: str, thumbprint: str) -> None:
    assert verdict(PROOF, target=target) is not None
    assert verdict(PROOF, method=method) is not None
    assert verdict(PROOF, token=token) is not None
    assert verdict(PROOF, thumbprint=thumbprint) is not None


@settings(max_examples=400)
@given(st.integers(0, len(PROOF) - 1), st.characters(max_codepoint=0x2FF))
def test_a_changed_character_is_never_accepted(position: int, character: str) -> None:
    changed = PROOF[:position] + character + PROOF[position + 1 :]
    assert (verdict(changed) is None) == (changed == PROOF)


def test_every_changed_character_is_refused() -> None:
    for position, character in enumerate(PROOF):
        other = "A" if character != "A" else "B"
        assert verdict(PROOF[:position] + other + PROOF[position + 1 :]) is not None


@given(st.integers(0, len(PROOF)), st.text(min_size=1, max_size=4))
def test_an_inserted_character_is_never_accepted(position: int, characters: str) -> None:
    assert verdict(PROOF[:position] + characters + PROOF[position:]) is not None


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 400))
def test_a_shortened_proof_is_never_accepted(position: int, length: int) -> None:
    assert verdict(PROOF[:position] + PROOF[position + length :]) is not None


def test_the_honest_proof_is_accepted() -> None:
    assert verdict(PROOF) is None
