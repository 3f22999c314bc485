"""The payload that is measured: 25 claims, shaped like a token of the Norwegian health sector.

Names and lengths are those of a real HelseID token; every value is synthetic.
"""

from typing import Any

ISSUER = "https://sts.example.no"
AUDIENCE = "example:journal.api"


def claims(now: int, serial: int) -> dict[str, Any]:
    """Return the claims of the token with this serial number, issued at this time."""
    client = "helseid://claims/client"
    identity = "helseid://claims/identity"
    return {
        "iss": ISSUER,
        "nbf": now,
        "iat": now,
        "exp": now + 3600,
        "aud": AUDIENCE,
        "scope": [
            "openid",
            "profile",
            "helseid://scopes/identity/pid",
            "helseid://scopes/identity/security_level",
            "helseid://scopes/hpr/hpr_number",
            "helseid://scopes/identity/assurance_level",
            "example:journal.api/read",
        ],
        "amr": ["pwd"],
        "client_id": "00000000-1111-2222-3333-444444444444",
        "client_amr": "private_key_jwt",
        f"{client}/claims/orgnr_parent": "100000008",
        "nhn:sfm:journal-id": "00000000-5555-6666-7777-888888888888",
        "sub": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "auth_time": now,
        "idp": "testidp-oidc",
        f"{identity}/pid": "00000000000",
        f"{identity}/security_level": "4",
        f"{identity}/assurance_level": "high",
        "helseid://claims/hpr/hpr_number": "000000000",
        "oldsub": "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB=",
        f"{client}/amr": "rsa_private_key",
        f"{client}/claims/orgnr_supplier": "100000016",
        "e-helse:sfm.api/client/claims/sfm-id": "00000000-9999-aaaa-bbbb-cccccccccccc",
        f"{client}/client_tenancy": "multi-tenant",
        "sid": "00000000000000000000000000000000",
        "jti": f"{serial:032X}",
    }
