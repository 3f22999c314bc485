"""A token and the certificate it is bound to."""

from __future__ import annotations

import base64
from hashlib import sha1, sha256, sha512
from typing import Final

import pytest

from certificates import der_of, digest_of, issue
from portvakt.errors import Refused
from portvakt.oauth.mtls import confirm_certificate
from portvakt.refusal import Code

CLIENT: Final = der_of(issue("client.test"))
DIGEST: Final = digest_of(CLIENT)


def code_of(expected: object, certificate: bytes | None = CLIENT) -> Code:
    with pytest.raises(Refused) as caught:
        confirm_certificate(expected, certificate)
    detail = caught.value.refusal.detail or ""
    assert not isinstance(expected, str) or not expected or expected not in detail
    return caught.value.refusal.code


def test_the_certificate_that_a_token_is_bound_to_confirms_it() -> None:
    assert len(DIGEST) == 43
    confirm_certificate(DIGEST, CLIENT)


def test_the_example_of_the_rfc() -> None:
    # RFC 8705 appendix A.
    certificate = base64.b64decode(
        "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMz"
        "cwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW"
        "9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1"
        "E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY="
    )
    confirm_certificate("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0", certificate)


def test_a_token_of_another_certificate_is_refused() -> None:
    assert code_of(DIGEST, der_of(issue("client.test"))) is Code.CERTIFICATE_WRONG
    assert code_of(DIGEST, CLIENT + b"\0") is Code.CERTIFICATE_WRONG
    assert code_of("A" * 43) is Code.CERTIFICATE_WRONG


@pytest.mark.parametrize("certificate", [None, b""])
def test_without_a_certificate_there_is_nothing_to_compare(certificate: bytes | None) -> None:
    assert code_of(DIGEST, certificate) is Code.CERTIFICATE_MISSING
    empty = digest_of(b"")
    assert code_of(empty, certificate) is Code.CERTIFICATE_MISSING


@pytest.mark.parametrize(
    "expected",
    [
        None, 1, True, [], {}, DIGEST.encode(), "", DIGEST[:-1], f"{DIGEST}=", f"{DIGEST}A",
        sha256(CLIENT).hexdigest(), base64.b64encode(sha1(CLIENT).digest()).decode(),
        base64.urlsafe_b64encode(sha1(CLIENT).digest()).decode().rstrip("="),
        base64.urlsafe_b64encode(sha512(CLIENT).digest()).decode().rstrip("="),
        DIGEST[:-1] + chr(ord(DIGEST[-1]) + 1), f"{DIGEST[:-1]}\n", f" {DIGEST[1:]}", "é" * 43,
        "\ud800" * 43, "+" * 43,
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_digest_is_malformed_whatever_is_shown(expected: object) -> None:
    for certificate in (CLIENT, None):
        assert code_of(expected, certificate) is Code.CLAIM_MALFORMED
