"""The near misses of DPoP proofs: wrong in one thing and right in everything else.

Each row states the check that it tries, in the order of RFC 9449 section 4.3, and what HelseID's
Test Token Service calls it if that can make it too.
"""

from collections.abc import Callable
from typing import Any, Final

from portvakt.forge.fault import throwaway
from portvakt.forge.proofs import ProofBuilder, ProofFault, Send
from portvakt.jose.encoding import encode_base64url, encode_object
from portvakt.jose.signer import Signer
from portvakt.oauth.dpop import MAX_AGE, MAX_AHEAD, MAX_TOKEN_ID
from portvakt.refusal import Code

__all__ = ["PROOF_FAULTS"]


def _claims(**claims: Any) -> Send:
    return lambda proof: (proof.claims(**claims).build(),)


def _without(*names: str) -> Send:
    return lambda proof: (proof.without(*names).build(),)


def _header(**parameters: Any) -> Send:
    return lambda proof: (proof.header(**parameters).build(),)


def _without_header(*names: str) -> Send:
    return lambda proof: (proof.without_header(*names).build(),)


def _jwk(**members: Any) -> Send:
    return lambda proof: (proof.jwk(**members).build(),)


def _stranger(proof: ProofBuilder) -> Signer:
    return throwaway(proof.signer.alg, "stranger")


def _symmetric(proof: ProofBuilder) -> tuple[str, ...]:
    """Bring a shared secret along in the place of a key."""
    secret = {"kty": "oct", "k": encode_base64url(bytes(32))}
    return (proof.header(alg="HS256", jwk=secret).signature(bytes(32)).build(),)


def _json(proof: ProofBuilder) -> tuple[str, ...]:
    """Write the flattened JSON serialization of RFC 7515 section 7.2.2, without its commas."""
    header, payload, signature = proof.build().split(".")
    return (encode_object({"protected": f"{header}.{payload}.{signature}"}).decode(),)


def _padded(proof: ProofBuilder) -> tuple[str, ...]:
    return (f"{proof.build()}=",)


def _two(proof: ProofBuilder) -> tuple[str, ...]:
    return proof.build(), proof.by(proof.signer).build()


def _private(proof: ProofBuilder) -> tuple[str, ...]:
    """Give the private key of this client away, as some libraries once did."""
    secret = {
        name: value
        for name, value in proof.signer.private_jwk().items()
        if name not in {"alg", "kid", "use"}
    }
    return (proof.header(jwk=secret).build(),)


def _moved(change: Callable[[str], str]) -> Send:
    return lambda proof: (proof.claims(htu=change(proof.url)).build(),)


def _expects_nonce(proof: ProofBuilder) -> bool:
    return proof.nonce is not None


PROOF_FAULTS: Final[tuple[ProofFault, ...]] = (
    ProofFault(
        "missing",
        "DPOP-21",
        Code.PROOF_MISSING,
        "There is no proof, only the token",
        lambda _: (),
    ),
    # (1) and (2): one well-formed JWT.
    ProofFault("two", "DPOP-01", Code.PROOF_REPEATED, "Two proofs, each of them honest", _two),
    ProofFault(
        "list",
        "DPOP-01",
        Code.PROOF_REPEATED,
        "Two proofs in one header, with a comma between them",
        lambda proof: (", ".join(_two(proof)),),
    ),
    ProofFault("empty", "DPOP-02", Code.PROOF_MALFORMED, "The header is empty", lambda _: ("",)),
    ProofFault(
        "unsigned",
        "DPOP-02",
        Code.PROOF_MALFORMED,
        "The signature is left out",
        lambda proof: (proof.signature(b"").build(),),
    ),
    ProofFault(
        "encrypted",
        "DPOP-02",
        Code.PROOF_MALFORMED,
        "Five parts, as if it were encrypted",
        lambda proof: (f"{proof.build()}.AA.AA",),
    ),
    ProofFault("json", "DPOP-02", Code.PROOF_MALFORMED, "A JSON object in its place", _json),
    ProofFault("padded", "DPOP-02", Code.PROOF_MALFORMED, "Padding at its end", _padded),
    ProofFault(
        "crit",
        "DPOP-02",
        Code.PROOF_MALFORMED,
        "The header demands an extension that nobody here understands",
        _header(crit=["test"], test=1),
    ),
    ProofFault(
        "jku",
        "DPOP-02",
        Code.PROOF_MALFORMED,
        "The header says where on the internet to fetch the key",
        _header(jku="https://attacker.invalid/jwks.json"),
    ),
    ProofFault(
        "payload-repeated",
        "DPOP-02",
        Code.PROOF_MALFORMED,
        "The claims say htm twice, and not the same",
        lambda proof: (proof.payload(b'{"htm":"PUT",' + proof.payload_octets()[1:]).build(),),
    ),
    # (3) What must be there.
    ProofFault(
        "jti-missing",
        "DPOP-03",
        Code.PROOF_MALFORMED,
        "It has no name by which it could be seen to be used twice",
        _without("jti"),
        helseid="DontSetJtiClaim",
    ),
    ProofFault("jti-number", "DPOP-03", Code.PROOF_MALFORMED, "jti is a number", _claims(jti=1)),
    ProofFault(
        "jti-long",
        "DPOP-18",
        Code.PROOF_MALFORMED,
        "jti is far longer than anyone needs",
        _claims(jti="a" * (MAX_TOKEN_ID + 1)),
    ),
    ProofFault(
        "htm-missing",
        "DPOP-03",
        Code.PROOF_MALFORMED,
        "It does not say for which method it is",
        _without("htm"),
        helseid="DontSetHtmClaimValue",
    ),
    ProofFault(
        "htu-missing",
        "DPOP-03",
        Code.PROOF_MALFORMED,
        "It does not say for which URL it is",
        _without("htu"),
        helseid="DontSetHtuClaimValue",
    ),
    ProofFault(
        "iat-missing",
        "DPOP-03",
        Code.PROOF_MALFORMED,
        "It does not say when it was made",
        _without("iat"),
    ),
    ProofFault(
        "iat-text",
        "DPOP-03",
        Code.PROOF_MALFORMED,
        "The time is text, not a number",
        lambda proof: (proof.claims(iat=str(proof.now)).build(),),
    ),
    # (4) typ.
    ProofFault(
        "typ-jwt",
        "DPOP-04",
        Code.PROOF_TYPE,
        "typ says JWT, which any kind of token may be",
        _header(typ="JWT"),
        helseid="SetInvalidTypHeaderValue",
    ),
    ProofFault(
        "typ-absent",
        "DPOP-04",
        Code.PROOF_TYPE,
        "The header does not say that it is a proof",
        _without_header("typ"),
    ),
    ProofFault(
        "access-token",
        "DPOP-19",
        Code.PROOF_TYPE,
        "An access token in the place of a proof",
        _header(typ="at+jwt"),
    ),
    # (5) alg.
    ProofFault(
        "alg-missing",
        "DPOP-05",
        Code.PROOF_MALFORMED,
        "The header does not say how it is signed",
        _without_header("alg"),
        helseid="DontSetAlgHeader",
    ),
    ProofFault(
        "alg-none",
        "DPOP-05",
        Code.PROOF_ALGORITHM,
        "The header says that it is not signed",
        _header(alg="none"),
    ),
    ProofFault(
        "alg-symmetric",
        "DPOP-05",
        Code.PROOF_ALGORITHM,
        "Signed with a secret that it brings along itself",
        _symmetric,
        helseid="SetAlgHeaderToASymmetricAlgorithm",
    ),
    # (6) The signature.
    ProofFault(
        "another-signer",
        "DPOP-06",
        Code.PROOF_SIGNATURE,
        "It shows the client's key and is signed with another one",
        lambda proof: (proof.signed_by(_stranger(proof)).build(),),
    ),
    ProofFault(
        "signature",
        "DPOP-06",
        Code.PROOF_SIGNATURE,
        "The signature is one of another proof of the same client",
        lambda proof: (_resigned(proof),),
        helseid="SetAnInvalidSignature",
    ),
    # (7) The key.
    ProofFault(
        "jwk-missing",
        "DPOP-07",
        Code.PROOF_KEY,
        "It does not show the key",
        _without_header("jwk"),
        helseid="DontSetJwkHeader",
    ),
    ProofFault(
        "jwk-private",
        "DPOP-07",
        Code.PROOF_KEY,
        "It gives the private key away",
        _private,
        helseid="SetPrivateKeyInJwkHeader",
    ),
    ProofFault("jwk-enc", "DPOP-22", Code.PROOF_KEY, "The key is for encrypting", _jwk(use="enc")),
    ProofFault(
        "jwk-operations",
        "DPOP-22",
        Code.PROOF_KEY,
        "The key is not for verifying",
        _jwk(key_ops=["encrypt"]),
    ),
    # (8) The method.
    ProofFault(
        "htm-other",
        "DPOP-08",
        Code.PROOF_METHOD,
        "It is for another method",
        lambda proof: (proof.claims(htm="GET" if proof.method != "GET" else "POST").build(),),
    ),
    ProofFault(
        "htm-small",
        "DPOP-08",
        Code.PROOF_METHOD,
        "It writes the method in small letters, which is another method",
        lambda proof: (proof.claims(htm=proof.method.lower()).build(),),
    ),
    # (9) The URL.
    ProofFault(
        "htu-host",
        "DPOP-09",
        Code.PROOF_TARGET,
        "It is for another API",
        _claims(htu="https://other-api.invalid/"),
    ),
    ProofFault(
        "htu-path",
        "DPOP-09",
        Code.PROOF_TARGET,
        "It is for another path of this API",
        _moved(lambda url: f"{url}x"),
    ),
    ProofFault(
        "htu-slash",
        "DPOP-09",
        Code.PROOF_TARGET,
        "It is for the path with a slash at its end, which is another one",
        _moved(lambda url: f"{url}/"),
    ),
    ProofFault(
        "htu-http",
        "DPOP-09",
        Code.PROOF_TARGET,
        "It is for the same address without encryption",
        _moved(lambda url: url.replace("https:", "http:", 1)),
        applies=lambda proof: proof.url.startswith("https:"),  # not on a developer's own machine
    ),
    ProofFault(
        "htu-user",
        "DPOP-09",
        Code.PROOF_TARGET,
        "Its URL has a user name, behind which another host may hide",
        _moved(lambda url: url.replace("//", "//api@", 1)),
    ),
    # (10) The nonce.
    ProofFault(
        "nonce-number", "DPOP-10", Code.PROOF_MALFORMED, "nonce is a number", _claims(nonce=1)
    ),
    ProofFault(
        "nonce-missing",
        "DPOP-10",
        Code.PROOF_NONCE,
        "It has no nonce, and this API asks for one",
        _without("nonce"),
        _expects_nonce,
    ),
    ProofFault(
        "nonce-other",
        "DPOP-10",
        Code.PROOF_NONCE,
        "Its nonce is one of another server",
        _claims(nonce="A" * 22),
        _expects_nonce,
    ),
    # (11) The time.
    ProofFault(
        "iat-past",
        "DPOP-11",
        Code.PROOF_TIME,
        "It was made long ago",
        lambda proof: (proof.claims(iat=proof.now - MAX_AGE - 1).build(),),
        helseid="SetIatValueInThePast",
    ),
    ProofFault(
        "iat-future",
        "DPOP-11",
        Code.PROOF_TIME,
        "It was made for later",
        lambda proof: (proof.claims(iat=proof.now + MAX_AHEAD + 1).build(),),
        helseid="SetIatValueInTheFuture",
    ),
    # (12) The token, and its key.
    ProofFault(
        "ath-missing",
        "DPOP-12",
        Code.PROOF_TOKEN,
        "It does not say for which token it is",
        _without("ath"),
        helseid="DontSetAthClaimValue",
    ),
    ProofFault(
        "ath-other",
        "DPOP-12",
        Code.PROOF_TOKEN,
        "It is for another token",
        _claims(ath=encode_base64url(bytes(32))),
    ),
    ProofFault(
        "for-the-issuer",
        "DPOP-20",
        Code.PROOF_TOKEN,
        "It was made for the issuer, who gets no token along with it",
        _without("ath", "nonce"),
        lambda proof: proof.nonce is None,
    ),
    ProofFault(
        "another-key",
        "DPOP-13",
        Code.PROOF_BINDING,
        "It is an honest proof, of somebody else's key",
        lambda proof: (proof.by(_stranger(proof)).build(),),
        helseid="SetAnInvalidJktValueInToken",
    ),
)
"""Every near miss, with an ``id`` of its own."""


def _resigned(proof: ProofBuilder) -> str:
    """Sign another proof, and put that signature under this one."""
    signature = proof.by(proof.signer).build().rpartition(".")[2]
    return f"{proof.build().rpartition('.')[0]}.{signature}"
