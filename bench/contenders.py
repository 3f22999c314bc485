"""The contenders: each verifies a token and checks issuer, audience and times, as its docs say."""

from collections.abc import Callable
from typing import Any

import jwt
import payload
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt

from portvakt import FixedKeys, Guard, HttpRequest, JwkSet, TrustedIssuer

Check = Callable[[str], object]


def pyjwt(jwk: dict[str, Any]) -> Check:
    """PyJWT with every check it has for these claims, and the key imported beforehand."""
    key, alg = jwt.PyJWK(jwk).key, jwk["alg"]
    options: Any = {"require": ["exp", "iat", "iss", "aud", "sub", "jti"]}
    if alg == "Ed25519":
        alg = "EdDSA"

    def check(token: str) -> object:
        return jwt.decode(
            token,
            key,
            algorithms=[alg],
            audience=payload.AUDIENCE,
            issuer=payload.ISSUER,
            options=options,
        )

    return check


def joserfc(jwk: dict[str, Any]) -> Check:
    """Joserfc with its claims registry."""
    key, alg = joserfc_jwk.import_key(jwk), jwk["alg"]
    registry = joserfc_jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": payload.ISSUER},
        aud={"essential": True, "value": payload.AUDIENCE},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        client_id={"essential": True},
        jti={"essential": True},
    )

    def check(token: str) -> object:
        decoded = joserfc_jwt.decode(token, key, algorithms=[alg])
        registry.validate(decoded.claims)
        return decoded

    return check


def authlib(jwk: dict[str, Any]) -> Check:
    """Authlib's RFC 9068 validator, with the key imported beforehand."""
    keys = joserfc_jwk.KeySet.import_key_set({"keys": [jwk]})

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib is untyped
        def get_jwks(self) -> Any:
            return keys

    validator = Validator(issuer=payload.ISSUER, resource_server=payload.AUDIENCE)

    def check(token: str) -> object:
        decoded = validator.authenticate_token(token)
        validator.validate_token(decoded, None, None)
        return decoded

    return check


def guard(jwk: dict[str, Any], **more: Any) -> Guard:
    """Portvakt, as a policy with one issuer makes it."""
    issuer = TrustedIssuer(
        issuer=payload.ISSUER, audience=payload.AUDIENCE, algorithms=frozenset({jwk["alg"]})
    )
    keys = JwkSet.from_object({"keys": [jwk]}, issuer.algorithms)
    return Guard(issuers=[issuer], keys=FixedKeys({issuer.issuer: keys}), **more)


def request(token: str, url: str = "/journal/1") -> HttpRequest:
    """Return a request with the headers that an ordinary client sends."""
    return HttpRequest(
        method="GET",
        url=url,
        headers=(
            ("Host", "journal.example.no"),
            ("User-Agent", "client/1.0"),
            ("Accept", "application/json"),
            ("Authorization", f"Bearer {token}"),
            ("X-Request-Id", "1"),
        ),
    )
