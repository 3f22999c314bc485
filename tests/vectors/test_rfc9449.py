"""The examples of RFC 9449: three proofs of one key, an access token and its hash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from portvakt.errors import Refused
from portvakt.http.origin import Origin
from portvakt.oauth.dpop import DpopRules, Proof, ProofReader, token_hash
from portvakt.refusal import Code

if TYPE_CHECKING:
    from pathlib import Path

#: The API of sections 7.1 and 9, and the issuer of section 5, each with the other as an origin.
READER = ProofReader(
    DpopRules(
        origins=(
            Origin.parse("https://resource.example.org"),
            Origin.parse("https://server.example.com"),
        )
    )
)
AT_THE_API = "protected-resource-request"


@pytest.fixture(scope="module")
def examples(vectors: Path) -> dict[str, Any]:
    file = vectors / "rfc9449-dpop" / "examples.json"
    if not file.is_file():
        pytest.skip("the examples of RFC 9449 are not there")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def example(examples: dict[str, Any], figure: str) -> dict[str, Any]:
    return next(one for one in examples["proofs"] if one["figure"] == figure)


def read(examples: dict[str, Any], proof: dict[str, Any], **more: Any) -> Proof:
    # The proofs were made in July 2019; the token is opaque, and bound to the key of section 6.1.
    given = {
        "method": proof["payload"]["htm"],
        "target": proof["payload"]["htu"],
        "token": examples["opaque_access_token"],
        "thumbprint": proof["jkt_rfc7638"],
        "now": float(proof["payload"]["iat"]),
    }
    return READER.read([("DPoP", proof["jwt"])], **{**given, **more})


def test_the_proof_of_section_7_1_holds(examples: dict[str, Any]) -> None:
    proof = example(examples, AT_THE_API)
    found = read(examples, proof)
    assert found.thumbprint == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    assert found.issued_at == 1562262618
    assert dict(found.claims) == proof["payload"]


def test_the_hash_of_the_token_is_that_of_the_example(examples: dict[str, Any]) -> None:
    assert token_hash(examples["opaque_access_token"]) == examples["ath"]


@pytest.mark.parametrize("figure", ["dpop-proof-jwt", "token-request-rt"])
def test_a_proof_for_the_issuer_has_a_good_signature_and_no_token(
    examples: dict[str, Any], figure: str
) -> None:
    with pytest.raises(Refused) as refused:
        read(examples, example(examples, figure))
    assert refused.value.refusal.code is Code.PROOF_TOKEN


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "POST"}, Code.PROOF_METHOD),
        ({"target": "/other"}, Code.PROOF_TARGET),
        ({"token": "another"}, Code.PROOF_TOKEN),
        ({"thumbprint": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4J"}, Code.PROOF_BINDING),
        ({"now": 1562262618.0 + 31}, Code.PROOF_TIME),
        ({"now": 1800000000.0}, Code.PROOF_TIME),
    ],
    ids=str,
)
def test_the_proof_of_section_7_1_holds_for_nothing_else(
    examples: dict[str, Any], change: dict[str, Any], code: Code
) -> None:
    with pytest.raises(Refused) as refused:
        read(examples, example(examples, AT_THE_API), **change)
    assert refused.value.refusal.code is code
