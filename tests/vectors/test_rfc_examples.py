"""The examples of RFC 7515, 7638, 8037 and their key sets, through the code of production."""

import pytest

from portvakt.errors import Refused
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.jwk import thumbprint
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.refusal import Code

# RFC 7515 appendices A.1 to A.3 sign the same claims, written with CRLF and spaces.
CLAIMS = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
ENCODED_CLAIMS = (
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)

KEY_A2 = {
    "kty": "RSA",
    "n": (
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0"
        "Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXnd"
        "S5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5Ihl"
        "JH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
    ),
    "e": "AQAB",
}
TOKEN_A2 = (
    f"eyJhbGciOiJSUzI1NiJ9.{ENCODED_CLAIMS}."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
    "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
    "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
    "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)

KEY_A3 = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
TOKEN_A3 = (
    f"eyJhbGciOiJFUzI1NiJ9.{ENCODED_CLAIMS}."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

KEY_A4 = {
    "kty": "EC",
    "crv": "P-521",
    "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
    "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
}
TOKEN_A4 = (
    "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA."
    "AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7Xdt"
    "AG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn"
)

KEY_8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
TOKEN_8037 = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

# Appendix A.1: an HMAC, and its key. Appendix A.5: no signature at all.
KEY_A1 = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
TOKEN_A1 = (
    f"eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{ENCODED_CLAIMS}."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
TOKEN_A5 = f"eyJhbGciOiJub25lIn0.{ENCODED_CLAIMS}."

EXAMPLES = {
    "RFC 7515 A.2, RS256": ("RS256", KEY_A2, TOKEN_A2, CLAIMS),
    "RFC 7515 A.3, ES256": ("ES256", KEY_A3, TOKEN_A3, CLAIMS),
    "RFC 7515 A.4, ES512": ("ES512", KEY_A4, TOKEN_A4, b"Payload"),
    "RFC 8037 A.4, EdDSA": ("EdDSA", KEY_8037, TOKEN_8037, b"Example of Ed25519 signing"),
}


def payload_of(key: dict[str, str], token: str, allowed: list[str]) -> bytes:
    keys = JwkSet.from_object({"keys": [key]}, allowed)
    jws = parse(token, {})
    return verify(jws, keys.select(jws.header.alg, jws.header.kid)).payload


@pytest.mark.parametrize(("alg", "key", "token", "payload"), EXAMPLES.values(), ids=EXAMPLES)
def test_example_is_verified(alg: str, key: dict[str, str], token: str, payload: bytes) -> None:
    assert payload_of(key, token, [alg]) == payload


@pytest.mark.parametrize(("alg", "key", "token", "payload"), EXAMPLES.values(), ids=EXAMPLES)
def test_example_with_another_payload_is_refused(
    alg: str, key: dict[str, str], token: str, payload: bytes
) -> None:
    header, encoded, signature = token.split(".")
    assert decode_base64url(encoded) == payload
    altered = f"{header}.{encoded[:-2]}{'Aw' if encoded[-2:] != 'Aw' else 'Bg'}.{signature}"
    with pytest.raises(Refused) as caught:
        payload_of(key, altered, [alg])
    assert caught.value.refusal.code is Code.SIGNATURE_INVALID


def test_hmac_example_has_no_key_here() -> None:
    with pytest.raises(Refused) as caught:
        payload_of(KEY_A1, TOKEN_A1, list(ALGORITHMS))
    assert caught.value.refusal.code is Code.KEY_UNKNOWN


def test_unsecured_example_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        parse(TOKEN_A5, {})
    assert caught.value.refusal.code is Code.TOKEN_PARTS


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param(KEY_8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", id="RFC 8037 A.3"),
        pytest.param(
            {
                "kty": "RSA",
                "n": (
                    "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1"
                    "L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4"
                    "QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO"
                    "pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF"
                    "Cur-kEgU8awapJzKnqDKgw"
                ),
                "e": "AQAB",
                "alg": "RS256",
                "kid": "2011-04-29",
            },
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
            id="RFC 7638 section 3.1",
        ),
    ],
)
def test_thumbprint_is_the_published_one(key: dict[str, str], expected: str) -> None:
    assert thumbprint(key) == expected
    assert JwkSet.from_object({"keys": [key]}, ["RS256", "EdDSA"]).keys[0].thumbprint == expected
