"""Check a DPoP proof at the API (RFC 9449 sections 4.3 and 7.1).

A proof says: whoever sends this request, with this token, now, has this key. Whether the proof was
used before, only a store that all guards share can tell (section 11.1); it is asked when all that
is checked here holds, so that nobody can burn the proof of another.
"""

from collections.abc import Iterable
from hashlib import blake2b, sha256
from hmac import compare_digest
from typing import Any, Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, Refused
from portvakt.http.origin import Origin, normal_path, normalised
from portvakt.http.url import RefusedUrl, path_of
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.claims import Claims
from portvakt.jose.encoding import (
    NotCanonical,
    Object,
    decode_base64url,
    decode_object,
    encode_base64url,
)
from portvakt.jose.header import Header, parse_keyed_header
from portvakt.jose.jwk import Jwk, NotUsable, claimed_thumbprint, import_jwk
from portvakt.jose.jws import UnverifiedJws, take_apart, verify
from portvakt.oauth.dpop_nonce import Nonces
from portvakt.refusal import Code

__all__ = [
    "MAX_AGE",
    "MAX_AHEAD",
    "MAX_PROOF",
    "MAX_TOKEN_ID",
    "PROOF_ALGORITHMS",
    "PROOF_TYPE",
    "DpopRules",
    "Proof",
    "ProofReader",
    "token_hash",
]

#: The ``typ`` of a proof (section 4.2), in the form in which media types are compared.
PROOF_TYPE: Final = "dpop+jwt"

#: Characters of a proof. One with the largest RSA key has 4500.
MAX_PROOF: Final = 8192

#: Characters of ``jti``. What is remembered is a digest of it, so this bounds only the reading.
MAX_TOKEN_ID: Final = 1024

#: Octets of what is remembered of it. Two that are alike would refuse their own sender, and nobody
#: else.
_DIGEST_OCTETS: Final = 16

#: Seconds that the settings of the same names may not go beyond: a proof is made for one request.
MAX_AGE: Final = 300.0
MAX_AHEAD: Final = 60.0

#: What proofs may be signed with: HelseID's nine, and the Edwards curves. A key of ML-DSA alone
#: fills the header that carries it.
PROOF_ALGORITHMS: Final = tuple(row.name for row in ALGORITHMS.values() if row.kty != "AKP")


class DpopRules(Struct, frozen=True, kw_only=True):
    """What proofs must be like at one API.

    Attributes:
        origins: where the API is, as its clients see it.
        algorithms: the values of ``alg`` that are accepted.
        max_age: how many seconds old a proof may be.
        max_ahead: how many seconds ahead of our clock a proof may be.
        nonces: the nonces that a proof must carry one of; None: it needs none.

    Raises:
        ConfigurationError: if they are empty or make no sense.
    """

    origins: tuple[Origin, ...]
    algorithms: frozenset[str] = frozenset(PROOF_ALGORITHMS)
    max_age: float = 30.0
    max_ahead: float = 5.0
    nonces: Nonces | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.origins:
            problems.append(Problem("origins", "must list at least one"))
        if not self.algorithms or not self.algorithms <= set(PROOF_ALGORITHMS):
            known = ", ".join(PROOF_ALGORITHMS)
            problems.append(Problem("algorithms", f"must list some of {known}, and no other"))
        if not 0 < self.max_age <= MAX_AGE:
            problems.append(Problem("max_age", f"must be more than 0s and at most {MAX_AGE:.0f}s"))
        if not 0 <= self.max_ahead <= MAX_AHEAD:
            problems.append(Problem("max_ahead", f"must be from 0s to {MAX_AHEAD:.0f}s"))
        if problems:
            raise ConfigurationError(problems)


class Proof(Struct, frozen=True, gc=False):
    """A proof that holds for one request, unless it was used before.

    Attributes:
        thumbprint: the RFC 7638 thumbprint of the key that its sender has.
        token_id_digest: a digest of ``jti``, to be remembered with the thumbprint.
        issued_at: seconds since 1970, by the clock of the sender.
    """

    thumbprint: str
    token_id_digest: str
    issued_at: float
    _members: dict[str, Any]

    @property
    def claims(self) -> Claims:
        """Every claim, read-only, also those that RFC 9449 does not know."""
        return Claims(self._members)

    # Claims are whatever the client wrote: neither repr shows them (msgspec gives rich one of its
    # own).
    def __repr__(self) -> str:
        """Show whose it is and when it was made."""
        return f"Proof(thumbprint={self.thumbprint!r}, issued_at={self.issued_at})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("thumbprint", self.thumbprint), ("issued_at", self.issued_at)]


class ProofReader:
    """Checks the proofs that come with requests.

    The header of a proof holds the key and is the same in every proof of one client, so the keys of
    proofs that passed every check are remembered by it. Nothing else of a proof is.

    Parameters:
        rules: what proofs must be like.
        capacity: how many keys are remembered at most; each takes three kilobytes, a long one more.
    """

    __slots__ = ("_keys", "_rules")

    def __init__(self, rules: DpopRules, capacity: int = 4096) -> None:
        self._rules: Final = rules
        self._keys: Final = _KnownKeys(capacity)

    def read(
        self,
        headers: Iterable[tuple[str, str]],
        *,
        method: str,
        target: str,
        token: str,
        thumbprint: str,
        now: float,
    ) -> Proof:
        """Check the proof of a request in full, but for whether it was used before.

        The numbers are those of RFC 9449 section 4.3. What does not follow them in their order: a
        key is imported (7) before it can verify (6); whether it is the token's (12b) is seen even
        before that, so that a thief with a key of his own costs neither; and no claim (3) is looked
        at before the signature holds. It tells nobody anything: all of it is what the caller sent.

        Parameters:
            headers: name and value of every header line.
            method: the method of the request.
            target: its absolute URL or request target; only the path of it counts.
            token: the access token, already found good, as it was sent.
            thumbprint: the key that the token is bound to: ``jkt`` of its ``cnf``.
            now: seconds since 1970, read once for the whole request.

        Raises:
            Refused: with a code for each check, ``proof_missing`` to ``proof_binding``.
        """
        # (1) One header, (2) one well-formed JWT.
        proof = _only_proof(headers)
        if len(proof) > MAX_PROOF:
            raise Refused(Code.PROOF_MALFORMED, f"the proof has more than {MAX_PROOF} characters")
        try:
            encoded_header, payload, signing_input, signature = take_apart(proof)
        except Refused as flaw:
            raise _malformed(flaw.refusal.detail) from None
        # (4) typ, (5) alg, (7) a public key, and a strong one.
        known = self._keys.get(encoded_header)
        header, key = known or _read_header(encoded_header, self._rules.algorithms, thumbprint)
        # (12b) The token's key. Both are public, so the time that this takes tells nothing.
        if key.thumbprint != thumbprint:
            raise _unbound()
        # (6) The signature, over the octets as they were received.
        jws = UnverifiedJws(header, encoded_header, payload, signing_input, signature)
        try:
            members = decode_object(verify(jws, key).payload)
        except Refused as flaw:
            raise Refused(Code.PROOF_SIGNATURE, flaw.refusal.detail) from None
        except NotCanonical as flaw:
            raise _malformed(f"payload: {flaw}") from None
        # (3) and (8) to (12a).
        token_id, issued_at = self._check_claims(members, method, target, token, now)
        if known is None:
            self._keys.put(encoded_header, header, key)
        digest = blake2b(token_id.encode("utf-8"), digest_size=_DIGEST_OCTETS).hexdigest()
        return Proof(thumbprint, digest, issued_at, members)

    def _check_claims(
        self, members: Object, method: str, target: str, token: str, now: float
    ) -> tuple[str, float]:
        rules, get = self._rules, members.get
        # (3) What must be there. ath, which only an API needs, has a code of its own.
        token_id, htm, htu, issued_at = get("jti"), get("htm"), get("htu"), get("iat")
        if type(token_id) is not str or not 0 < len(token_id) <= MAX_TOKEN_ID:
            raise _malformed(f"jti is not a string of 1 to {MAX_TOKEN_ID} characters")
        if type(htm) is not str or type(htu) is not str:
            raise _malformed("htm or htu is missing, or not a string")
        if type(issued_at) is not int and type(issued_at) is not float:
            raise _malformed("iat is missing, or not a number")
        # (8) The method, in the case in which it came.
        if htm != method:
            raise Refused(Code.PROOF_METHOD, "htm is not the method of the request")
        # (9) The URL.
        self._check_target(htu, target)
        # (10) The nonce. One of another server means nothing where none is asked for.
        nonce = get("nonce")
        if nonce is None:
            if "nonce" in members:
                raise _malformed("nonce is not a string")
            if rules.nonces is not None:
                raise Refused(Code.PROOF_NONCE, "there is no nonce, and one is asked for")
        elif type(nonce) is not str:
            raise _malformed("nonce is not a string")
        elif rules.nonces is not None and not rules.nonces.check(nonce, now):
            raise Refused(Code.PROOF_NONCE, "nonce is too old, or none of ours")
        # (11) The time.
        if not now - rules.max_age <= issued_at <= now + rules.max_ahead:
            raise Refused(Code.PROOF_TIME, "iat is too long ago, or ahead")
        # (12a) The token that it was made for. A proof made for the issuer has none.
        ath = get("ath")
        if type(ath) is not str:
            raise Refused(Code.PROOF_TOKEN, "ath is missing, or not a string")
        # In constant time (DPOP-12), though both are what the same caller sent.
        if not ath.isascii() or not compare_digest(ath, token_hash(token)):
            raise Refused(Code.PROOF_TOKEN, "ath is not the hash of the access token")
        return token_id, float(issued_at)

    def _check_target(self, htu: str, target: str) -> None:
        try:
            path = normal_path(path_of(target))
            urls = [origin.text + path for origin in self._rules.origins]
            if htu in urls or normalised(htu) in urls:
                return
        except RefusedUrl as flaw:
            raise Refused(Code.PROOF_TARGET, f"htu, or the request: {flaw}") from None
        raise Refused(Code.PROOF_TARGET, "htu is another URL than that of the request")

    def __repr__(self) -> str:
        """Show how many keys are remembered."""
        return f"ProofReader({len(self._keys)} keys)"


def token_hash(token: str) -> str:
    """Return what ``ath`` must be for an access token (section 4.2).

    Raises:
        Refused: ``proof_token``, if the token has characters beyond ASCII and so has no hash.
    """
    try:
        return encode_base64url(sha256(token.encode("ascii")).digest())
    except UnicodeEncodeError:
        raise Refused(Code.PROOF_TOKEN, "the access token is not ASCII") from None


def _malformed(detail: str | None) -> Refused:
    return Refused(Code.PROOF_MALFORMED, detail)


def _only_proof(headers: Iterable[tuple[str, str]]) -> str:
    proof = None
    for name, value in headers:
        if len(name) == 4 and name.lower() == "dpop":
            if proof is not None:
                raise Refused(Code.PROOF_REPEATED, "several DPoP headers")
            proof = value
    if proof is None:
        raise Refused(Code.PROOF_MISSING, "there is no DPoP header")
    if "," in proof:
        # Whatever joins header lines of one name into one puts commas between them.
        raise Refused(Code.PROOF_REPEATED, "a list in the DPoP header")
    return proof


def _unbound() -> Refused:
    return Refused(Code.PROOF_BINDING, "the token is bound to another key than the proof's")


def _read_header(encoded: str, algorithms: frozenset[str], thumbprint: str) -> tuple[Header, Jwk]:
    try:
        header, jwk = parse_keyed_header(encoded)
    except Refused as flaw:
        raise _malformed(flaw.refusal.detail or flaw.refusal.code.value) from None
    # (4) The type, as media types are compared.
    if header.typ != PROOF_TYPE:
        raise Refused(Code.PROOF_TYPE, "typ is not dpop+jwt")
    # (5) The algorithm: there is no row for none and none for a shared secret.
    if header.alg not in algorithms:
        raise Refused(Code.PROOF_ALGORITHM, "alg is not one that proofs may have here")
    # (12b) The key, if it is one at all, by what of it is public.
    claimed = claimed_thumbprint(jwk)
    if claimed is not None and claimed != thumbprint:
        raise _unbound()
    # (7) The key: public, strong, for signatures, for this algorithm.
    try:
        key = import_jwk(jwk, frozenset({header.alg}))
    except NotUsable as flaw:
        raise Refused(Code.PROOF_KEY, f"jwk: {flaw}") from None
    if _is_padded(jwk):
        raise Refused(Code.PROOF_KEY, "jwk: n has a leading zero octet")
    return header, key


def _is_padded(jwk: object) -> bool:
    """Whether an imported key has an n that is not minimal: it would have another thumbprint.

    From an issuer that is tolerated. Here one key would be two, and the proof is made by software
    that the client can put right.
    """
    return isinstance(jwk, dict) and "n" in jwk and decode_base64url(jwk["n"])[0] == 0


class _KnownKeys:
    """A bounded memory of keys by the encoded header that holds them.

    Two generations: when the young one is full it becomes the old one, and an old key that is seen
    again is young again. A header decides its key entirely, so nothing here ever becomes wrong.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, capacity: int) -> None:
        self._half: Final = max(1, capacity // 2)
        self._young: dict[str, tuple[Header, Jwk]] = {}
        self._old: dict[str, tuple[Header, Jwk]] = {}

    def get(self, encoded: str) -> tuple[Header, Jwk] | None:
        entry = self._young.get(encoded)
        if entry is None:
            entry = self._old.get(encoded)
            if entry is not None:
                self.put(encoded, *entry)
        return entry

    def put(self, encoded: str, header: Header, key: Jwk) -> None:
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[encoded] = (header, key)

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
