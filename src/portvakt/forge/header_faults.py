"""Faults of the header: it names the wrong things, or asks for more than anyone should grant."""

from typing import Final

from portvakt.forge.fault import Applies, Fault, Forgery, header
from portvakt.forge.tokens import TokenBuilder
from portvakt.jose.encoding import encode_object
from portvakt.jose.header import ABSENT, MAX_HEADER, media_type
from portvakt.jose.signer import public_members
from portvakt.refusal import Code

__all__ = ["HEADER_FAULTS"]


def _self_signed(token: TokenBuilder, forgery: Forgery) -> str:
    """Bring the key along that verifies the token."""
    key = public_members(forgery.stranger.public_key)
    return token.header(jwk=key).signed_by(forgery.stranger).build()


def _id_token(token: TokenBuilder, _: Forgery) -> str:
    """Send what says who logged in, in the place of what gives access."""
    return token.header(typ="JWT").claims(nonce="test-nonce", at_hash="test-hash").build()


def _header_repeated(token: TokenBuilder, _: Forgery) -> str:
    """Give alg twice, first as none."""
    return token.header_bytes(b'{"alg":"none",' + token.header_octets()[1:]).build()


def _portable(_: TokenBuilder, forgery: Forgery) -> bool:
    # The larger ML-DSA keys alone are longer than a header may be.
    return len(encode_object(public_members(forgery.stranger.public_key))) < MAX_HEADER // 2


def _named(token: TokenBuilder, _: Forgery) -> bool:
    return token.signer.kid is not None


def _wrong_type(typ: str) -> Applies:
    return lambda token, _: media_type(typ) not in token.issuer.types


HEADER_FAULTS: Final[tuple[Fault, ...]] = (
    Fault(
        "jwk",
        "HDR-01",
        Code.HEADER_FORBIDDEN,
        "Signed with somebody else's key, which the header brings along",
        _self_signed,
        _portable,
        keyless=True,
    ),
    Fault(
        "jku",
        "HDR-02",
        Code.HEADER_FORBIDDEN,
        "The header says where on the internet to fetch the key",
        header(jku="https://attacker.invalid/jwks.json"),
    ),
    Fault(
        "x5u",
        "HDR-03",
        Code.HEADER_FORBIDDEN,
        "The header says where on the internet to fetch the certificate",
        header(x5u="https://attacker.invalid/certificate.pem"),
    ),
    Fault(
        "crit-unknown",
        "HDR-09",
        Code.HEADER_CRITICAL,
        "The header demands an extension that nobody here understands",
        header(crit=["test"], test=1),
    ),
    Fault(
        "crit-empty",
        "HDR-10",
        Code.HEADER_CRITICAL,
        "The header has an empty list of demands, which is not allowed",
        header(crit=[]),
    ),
    Fault(
        "b64",
        "HDR-11",
        Code.HEADER_FORBIDDEN,
        "The header says that the claims are not encoded",
        header(b64=False),
    ),
    Fault(
        "zip",
        "HDR-17",
        Code.HEADER_FORBIDDEN,
        "The header says that the claims are compressed",
        header(zip="DEF"),
    ),
    Fault(
        "enc",
        "HDR-17",
        Code.HEADER_FORBIDDEN,
        "The header says that the claims are encrypted, and they are not",
        header(enc="A256GCM"),
    ),
    Fault(
        "typ-jwt",
        "TYP-04",
        Code.TYPE_REFUSED,
        "typ says JWT, which any kind of token may be",
        header(typ="JWT"),
        _wrong_type("JWT"),
    ),
    Fault(
        "typ-absent",
        "HDR-12",
        Code.TYPE_REFUSED,
        "The header does not say what kind of token it is",
        lambda token, _: token.without_header("typ").build(),
        _wrong_type(ABSENT),
    ),
    Fault(
        "typ-parameter",
        "HDR-13",
        Code.TYPE_REFUSED,
        "typ has a parameter, which makes it another type",
        header(typ="at+jwt;v=1"),
        _wrong_type("at+jwt;v=1"),
    ),
    Fault(
        "typ-number",
        "HDR-12",
        Code.HEADER_PARAMETER,
        "typ is a number",
        header(typ=1),
    ),
    Fault(
        "id-token",
        "TYP-01",
        Code.TYPE_REFUSED,
        "An ID token: it says who logged in and gives access to nothing",
        _id_token,
        _wrong_type("JWT"),
    ),
    Fault(
        "refresh-token",
        "TYP-02",
        Code.TYPE_REFUSED,
        "A refresh token, which only the issuer may see",
        header(typ="rt+jwt"),
        _wrong_type("rt+jwt"),
    ),
    Fault(
        "logout-token",
        "TYP-03",
        Code.TYPE_REFUSED,
        "A logout token, which says that someone is gone",
        header(typ="logout+jwt"),
        _wrong_type("logout+jwt"),
    ),
    Fault(
        "dpop-proof",
        "TYP-03",
        Code.TYPE_REFUSED,
        "A DPoP proof, which goes beside an access token",
        header(typ="dpop+jwt"),
        _wrong_type("dpop+jwt"),
    ),
    Fault(
        "kid-unknown",
        "KEY-20",
        Code.KEY_UNKNOWN,
        "kid is the name of no key of the issuer",
        header(kid="portvakt-unknown"),
        _named,
    ),
    Fault(
        "kid-space",
        "KEY-20",
        Code.KEY_UNKNOWN,
        "kid is the name of the right key, and a space",
        lambda token, _: token.header(kid=f"{token.signer.kid} ").build(),
        _named,
    ),
    Fault(
        "kid-path",
        "HDR-05",
        Code.KEY_UNKNOWN,
        "kid is the path of a file, hoping that someone reads it",
        header(kid="../../../../dev/null"),
        _named,
    ),
    Fault(
        "kid-number",
        "KEY-19",
        Code.HEADER_PARAMETER,
        "kid is a number",
        header(kid=1),
    ),
    Fault(
        "kid-missing",
        "KEY-18",
        Code.KEY_AMBIGUOUS,
        "The header does not say with which of the issuer's keys it is signed",
        lambda token, _: token.without_header("kid").build(),
        lambda _, forgery: forgery.several_keys,
    ),
    Fault(
        "header-repeated",
        "HDR-16",
        Code.HEADER_JSON,
        "The header says alg twice, and not the same",
        _header_repeated,
    ),
    Fault(
        "header-long",
        "HDR-19",
        Code.HEADER_TOO_LONG,
        "The header is far longer than any issuer writes it",
        header(x5c=["A" * MAX_HEADER]),
    ),
)
"""Every near miss in the header."""
