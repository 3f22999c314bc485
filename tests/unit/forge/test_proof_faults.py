"""The table of broken proofs: each is refused for the reason its row states, and for no other."""

import re
from typing import Final

import pytest

from judging import signer_for
from portvakt.forge.proof_faults import PROOF_FAULTS
from portvakt.forge.proofs import ProofBuilder, ProofFault
from portvakt.oauth.dpop import ProofReader
from portvakt.refusal import Code
from proving import NONCES, NOW, honest, jkt_of, rules, verdict

READERS: Final = {"plain": ProofReader(rules()), "nonces": ProofReader(rules(nonces=NONCES))}
ALGORITHMS: Final = ("ES256", "RS256", "EdDSA")

#: What HelseID's Test Token Service can make wrong about a proof (DOMAIN.md section 2.2).
HELSEID: Final = {
    "DontSetHtuClaimValue",
    "DontSetHtmClaimValue",
    "SetIatValueInThePast",
    "SetIatValueInTheFuture",
    "DontSetAthClaimValue",
    "DontSetAlgHeader",
    "DontSetJwkHeader",
    "DontSetJtiClaim",
    "SetAlgHeaderToASymmetricAlgorithm",
    "SetPrivateKeyInJwkHeader",
    "SetInvalidTypHeaderValue",
    "SetAnInvalidSignature",
    "SetAnInvalidJktValueInToken",
}


def proof_for(kind: str, alg: str = "ES256") -> ProofBuilder:
    return honest(alg, nonce=NONCES.make(NOW) if kind == "nonces" else None)


CASES: Final = [
    pytest.param(
        fault, kind, alg, id=f"{fault.id}-{kind}-{alg}", marks=[pytest.mark.attack(fault.attack)]
    )
    for fault in PROOF_FAULTS
    for kind in READERS
    for alg in ALGORITHMS
    if fault.applies(proof_for(kind, "ES256"))
]


@pytest.mark.parametrize(("fault", "kind", "alg"), CASES)
def test_a_broken_proof_is_refused_for_the_reason_its_row_states(
    fault: ProofFault, kind: str, alg: str
) -> None:
    proof, reader = proof_for(kind, alg), READERS[kind]
    bound = jkt_of(proof.signer)
    # Whether the key is known already, as that of a client who came before, changes nothing.
    assert verdict(*fault.send(proof), by=reader, thumbprint=bound) is fault.code
    assert verdict(proof.build(), by=reader, thumbprint=bound) is None
    assert verdict(*fault.send(proof), by=reader, thumbprint=bound) is fault.code


@pytest.mark.twin(*sorted({fault.attack for fault in PROOF_FAULTS}))
@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_honest_proof_that_every_broken_one_is_made_of_holds(kind: str, alg: str) -> None:
    proof = proof_for(kind, alg)
    assert verdict(proof.build(), by=READERS[kind], thumbprint=jkt_of(proof.signer)) is None


def test_every_fault_has_a_name_an_attack_and_a_title_of_its_own() -> None:
    assert len({fault.id for fault in PROOF_FAULTS}) == len(PROOF_FAULTS)
    assert len({fault.title for fault in PROOF_FAULTS}) == len(PROOF_FAULTS)
    for fault in PROOF_FAULTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fault.id)
        assert re.fullmatch(r"DPOP-\d\d", fault.attack)
        assert fault.title[-1] != "."


def test_every_reason_that_a_proof_can_give_is_given_by_a_fault() -> None:
    reasons = {code for code in Code if code.value.startswith("proof_")} - {Code.PROOF_REPLAYED}
    assert {fault.code for fault in PROOF_FAULTS} == reasons


def test_everything_that_helseid_can_make_wrong_is_there() -> None:
    assert {fault.helseid for fault in PROOF_FAULTS} - {None} == HELSEID


def test_a_builder_shows_neither_token_nor_url() -> None:
    shown = repr(honest())
    assert "patients" not in shown
    assert "token" not in shown
    assert signer_for("ES256").alg in shown
