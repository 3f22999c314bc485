"""Tokens bound to a certificate of the client (RFC 8705 section 3)."""

from hashlib import sha256
from hmac import compare_digest

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, decode_base64url
from portvakt.refusal import Code

__all__ = ["confirm_certificate"]


def confirm_certificate(expected: object, certificate: bytes | None) -> None:
    """Check that a token is bound to the certificate that the client showed.

    Does not verify the certificate, nor look into it: whoever ended the TLS connection has checked
    that the client has its key, and that is what the token is bound to (section 6.5).

    Parameters:
        expected: ``x5t#S256`` of the token's ``cnf``: the SHA-256 digest of a certificate, in
            base64url of exactly 43 characters.
        certificate: the certificate (DER) of the request; None if the client showed none.

    Raises:
        Refused: ``claim_malformed`` if *expected* is no such digest, be it in hexadecimal, padded
            or of another hash; ``certificate_missing`` or ``certificate_wrong`` if the client does
            not show that it is the token's holder.
    """
    # Nothing is ever compared with a digest that is none, nor with a certificate that is not there.
    if type(expected) is not str or len(expected) != 43:
        raise Refused(Code.CLAIM_MALFORMED, "cnf: x5t#S256 is not 43 characters")
    try:
        digest = decode_base64url(expected)
    except NotCanonical:
        raise Refused(Code.CLAIM_MALFORMED, "cnf: x5t#S256 is not base64url") from None
    if not certificate:
        raise Refused(Code.CERTIFICATE_MISSING, "the client showed no certificate")
    if not compare_digest(digest, sha256(certificate).digest()):
        raise Refused(Code.CERTIFICATE_WRONG, "the token is bound to another certificate")
