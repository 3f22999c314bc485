"""Nested tokens (RFC 7519 section 5.2): a signed token inside an encrypted one (RFC 7516).

Decryption is no authentication: whoever has our public key can encrypt. So what comes out is the
text of a token that nobody has verified yet, to be treated as if it had been sent in the open
(RFC 8725 section 2.3).

joserfc decrypts. Before it sees a token, everything that can be judged without a key has been: the
form, the header, the algorithms, the one key, every length, the sender's point. It then fails in
one way only. When a key does not unwrap it stops there, and does not go on with a random one as RFC
7516 section 11.5 suggests: so the time tells whether the key or the tag was wrong. That is what
attacks on RSA1_5 live on; of OAEP and AES key wrap, it tells what the sender knew.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey
from msgspec import Struct

from portvakt.errors import ConfigurationError, Refused
from portvakt.jose.decryption_key import DecryptionKey
from portvakt.jose.encoding import NotCanonical, decode_base64url, decode_object
from portvakt.jose.encryption import CONTENT, KEY_MANAGEMENT, Content
from portvakt.jose.header import MAX_HEADER, MAX_MEMBERS, media_type
from portvakt.jose.jwk import NotUsable, import_ec
from portvakt.jose.jws import MAX_TOKEN
from portvakt.refusal import Code

__all__ = ["DOTS", "Decryption", "encrypt"]

#: A compact serialization has five parts (RFC 7516 section 7.1).
DOTS: Final = 4

#: What nobody follows, understands or does here. ``zip`` is a bomb (RFC 8725 section 2.12).
_FORBIDDEN: Final = ("crit", "zip", "jwk", "jku", "x5u", "b64")

#: Exactly these: a sender's point with more to it has a purpose that nobody knows.
_POINT: Final = frozenset({"kty", "crv", "x", "y"})

#: The one detail of every failure that depends on a key (RFC 7516 section 11.5).
_FAILED: Final = "the token does not decrypt"


class _Algorithms(jwe.JWERegistry):
    """What joserfc may do: the two tables, and tokens as long as ours."""

    max_protected_header_length = MAX_HEADER
    max_encrypted_key_length = MAX_TOKEN
    max_ciphertext_length = MAX_TOKEN


# Header parameters that nobody knows are ignored, as RFC 7516 section 4 demands.
_ALGORITHMS: Final = _Algorithms(
    algorithms=frozenset({*KEY_MANAGEMENT, *CONTENT}), strict_check_header=False
)


class _Opener(Struct, frozen=True):
    """A key of ours, and the same key as joserfc holds it."""

    ours: DecryptionKey
    theirs: RSAKey | ECKey

    def __repr__(self) -> str:
        """Show the name, never the key."""
        return f"_Opener({self.ours!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("ours", self.ours)]


class Decryption:
    """Opens what was encrypted to one of our keys, and verifies nothing.

    Parameters:
        keys: the keys, of which a token names one: the current one, the next, and retired ones as
            long as tokens that were made for them live.

    Raises:
        ConfigurationError: if there is no key, or two have one name.
    """

    __slots__ = ("_openers",)

    def __init__(self, keys: Iterable[DecryptionKey]) -> None:
        openers: dict[str, _Opener] = {}
        for key in keys:
            if key.kid in openers:
                raise ConfigurationError("two keys that decrypt have one kid")
            openers[key.kid] = _Opener(key, _as_joserfc(key))
        if not openers:
            raise ConfigurationError("there is no key that decrypts")
        self._openers: Final = openers

    def decrypt(self, token: str) -> str:
        """Return the text that was encrypted. Nobody knows who wrote it: believe nothing in it.

        Does not check that it is a signed token. Whoever takes it apart does, with the same code as
        for a token in the open: a text with four dots is refused there as an encrypted token, so
        that nesting is one deep, and so is one without a signature. Does not look at ``typ``: the
        type of a token is what its signed header says.

        Parameters:
            token: the characters as received, possibly hostile.

        Raises:
            Refused: at step FORM or DECRYPTION. All failures that depend on a key are one.
        """
        octets = self._octets(token)
        if not octets.isascii():
            raise _refused("what was encrypted is not a compact token")
        return octets.decode("ascii")

    def _octets(self, token: str) -> bytes:
        # (1) Form: length, five parts, canonical encoding.
        if len(token) > MAX_TOKEN:
            raise Refused(Code.TOKEN_TOO_LONG, f"more than {MAX_TOKEN} characters")
        if token.count(".") != DOTS:
            raise Refused(Code.TOKEN_PARTS, f"an encrypted token has {DOTS} dots")
        encoded_header, *encoded = token.split(".")
        try:
            wrapped, iv, ciphertext, tag = map(decode_base64url, encoded)
        except NotCanonical as flaw:
            raise Refused(Code.TOKEN_ENCODING, str(flaw)) from None
        # (2) The header, and the one key that it may mean.
        header = _read_header(encoded_header)
        opener = self._select(header)
        # (3) The content and the wrapped key: every length exactly as the algorithms say.
        content = _content(header)
        _check_lengths(content, iv, ciphertext, tag)
        if len(wrapped) != _wrapped_length(opener.ours, content):
            raise _refused("the encrypted key is not as long as alg and enc say")
        # (4) The sender's point: on the curve of our key (RFC 8725 section 3.4).
        if opener.ours.crv is not None:
            _check_agreement(header, opener.ours.crv)
        # (5) Decrypt. Whatever goes wrong in there is one failure, and nobody is told which.
        try:
            octets = jwe.decrypt_compact(token, opener.theirs, registry=_ALGORITHMS).plaintext
        except Exception:  # noqa: BLE001  a library, a key, and octets that somebody made up
            octets = None
        if octets is None:
            raise Refused(Code.DECRYPTION_FAILED, _FAILED)
        return octets

    def _select(self, header: Mapping[str, Any]) -> _Opener:
        """Select exactly one key: by name, or as the only one for its algorithm."""
        alg = header.get("alg")
        if type(alg) is not str or alg not in KEY_MANAGEMENT:
            raise _refused("alg is not one that is accepted")
        if "kid" not in header:
            fitting = [one for one in self._openers.values() if one.ours.alg == alg]
            if len(fitting) != 1:
                raise _refused("without kid: none of the keys fits, or several do")
            return fitting[0]
        kid = header["kid"]
        if type(kid) is not str:
            raise _refused("kid is not a string")
        opener = self._openers.get(kid)
        if opener is None:
            raise _refused("no key that decrypts has this kid")
        if opener.ours.alg != alg:
            raise _refused("the key of this kid is for another alg")
        return opener

    def __repr__(self) -> str:
        """Show how many keys there are."""
        return f"Decryption({len(self._openers)} keys)"


def encrypt(
    token: str,
    public_jwk: Mapping[str, Any],
    *,
    enc: str = "A256GCM",
    header: Mapping[str, Any] | None = None,
) -> str:
    """Encrypt a signed token for whoever published a key (RFC 7516 section 5.1).

    For tests and for issuers. Does not check that *token* is signed.

    Parameters:
        token: the compact text.
        public_jwk: the key, with its ``alg``, as :meth:`DecryptionKey.public_jwk` writes it.
        enc: how to encrypt the content.
        header: header parameters beside ``alg``, ``enc``, ``kid`` and ``cty``, or instead of them.
    """
    kid = {"kid": public_jwk["kid"]} if "kid" in public_jwk else {}
    protected = {"alg": public_jwk["alg"], "enc": enc, **kid, "cty": "JWT", **(header or {})}
    members = {
        name: public_jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") & public_jwk.keys()
    }
    key = (RSAKey if members["kty"] == "RSA" else ECKey).import_key(members)
    return jwe.encrypt_compact(protected, token, key, registry=_ALGORITHMS)


def _as_joserfc(key: DecryptionKey) -> RSAKey | ECKey:
    private_key = key.private_key
    return RSAKey.import_key(private_key) if key.crv is None else ECKey.import_key(private_key)


def _refused(detail: str) -> Refused:
    return Refused(Code.ENCRYPTION_REFUSED, detail)


def _read_header(encoded: str) -> Mapping[str, Any]:
    if len(encoded) > MAX_HEADER:
        raise _refused("the header is too long")
    try:
        octets = decode_base64url(encoded)
    except NotCanonical as flaw:
        raise Refused(Code.TOKEN_ENCODING, f"header: {flaw}") from None
    if octets.count(b",") + octets.count(b"[") + octets.count(b"{") > MAX_MEMBERS:
        raise _refused("the header has too many members")
    try:
        header = decode_object(octets)
    except NotCanonical as flaw:
        raise _refused(f"header: {flaw}") from None
    for name in _FORBIDDEN:
        if name in header:
            raise _refused(f"the header has {name}")
    # RFC 7519 section 5.2 has it say JWT. Many issuers leave it out, and what is inside is checked
    # anyway; one that says something else means something else.
    if "cty" in header:
        cty = header["cty"]
        if type(cty) is not str or media_type(cty) != "jwt":
            raise _refused("cty is not JWT")
    return header


def _content(header: Mapping[str, Any]) -> Content:
    enc = header.get("enc")
    content = CONTENT.get(enc) if type(enc) is str else None
    if content is None:
        raise _refused("enc is not one that is accepted")
    return content


def _check_lengths(content: Content, iv: bytes, ciphertext: bytes, tag: bytes) -> None:
    if len(iv) != content.iv_length:
        raise _refused(f"the initialization vector has {len(iv)} octets")
    if len(tag) != content.tag_length:
        raise _refused(f"the authentication tag has {len(tag)} octets")
    if not ciphertext or len(ciphertext) % content.block:
        raise _refused("the ciphertext is empty, or no multiple of a block")


def _wrapped_length(key: DecryptionKey, content: Content) -> int:
    row = key.row
    if row.overhead is None:
        return key.wrapped_length
    return content.key_length + row.overhead if row.wraps else 0


def _check_agreement(header: Mapping[str, Any], crv: str) -> None:
    """Check what key agreement needs (RFC 7518 section 4.6.1)."""
    epk = header.get("epk")
    if type(epk) is not dict or epk.keys() != _POINT:
        raise _refused("epk is not a public key on a curve and nothing else")
    if epk["kty"] != "EC" or epk["crv"] != crv:
        raise _refused("epk is not on the curve of our key")
    try:
        import_ec(epk)
        for name in ("apu", "apv"):
            if name in header:
                decode_base64url(_text(header[name]))
    except NotUsable as flaw:
        raise _refused(f"epk: {flaw}") from None
    except NotCanonical as flaw:
        raise _refused(f"apu or apv: {flaw}") from None


def _text(value: object) -> str:
    if type(value) is not str:
        raise NotCanonical("not a string")
    return value
