"""How a client proves to an issuer who it is: RFC 7523 section 2.2, and RFC 6749 section 2.3.1.

An assertion is for one issuer and for a few seconds. It is made for the issuer's name and not for
the address of an endpoint, and says by its type what it is: so no other server, and no other place
of the same one, can use what it was sent (draft-ietf-oauth-rfc7523bis; HelseID demands both).
"""

from binascii import b2a_base64
from typing import Any, Final
from urllib.parse import quote_plus

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import parse, verify
from portvakt.jose.signer import Signer, sign_compact

__all__ = [
    "ASSERTION_FORM",
    "ASSERTION_TYPE",
    "Assertion",
    "ClientKey",
    "ClientSecret",
    "InvalidClient",
    "Presented",
    "check_assertion",
    "make_assertion",
]

#: The typ of an assertion (draft-ietf-oauth-rfc7523bis section 4).
ASSERTION_TYPE: Final = "client-authentication+jwt"

#: RFC 7523 section 2.2.
ASSERTION_FORM: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: Seconds that an assertion may live, whatever it says: what lives longer is no proof of now.
MAX_LIFETIME: Final = 60.0

#: Seconds that the clocks of a client and an issuer may differ by.
LEEWAY: Final = 10.0

#: Characters of a ``jti``.
MAX_TOKEN_ID: Final = 256


class Presented(Struct, frozen=True):
    """What a request carries to say who sends it. All of it is secret for as long as it is good.

    Attributes:
        headers: header fields.
        members: members of the form.
    """

    headers: tuple[tuple[str, str], ...] = ()
    members: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Show nothing."""
        return "Presented()"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return []


class ClientKey:
    """A client that signs assertions (``private_key_jwt``).

    Parameters:
        client_id: its name at the issuer.
        signer: its private key; the issuer has the public half.
        typ: the type of its assertions, for issuers that know only ``JWT``.
    """

    __slots__ = ("_signer", "_typ", "client_id")

    def __init__(self, client_id: str, signer: Signer, *, typ: str = ASSERTION_TYPE) -> None:
        self.client_id: Final = client_id
        self._signer = signer
        self._typ = typ

    def present(self, *, audience: str, token_id: str, issued_at: float) -> Presented:
        """Return what one request carries; see :func:`make_assertion`."""
        assertion = make_assertion(
            self._signer,
            client_id=self.client_id,
            audience=audience,
            token_id=token_id,
            issued_at=issued_at,
            typ=self._typ,
        )
        return Presented(
            members=(
                ("client_id", self.client_id),
                ("client_assertion_type", ASSERTION_FORM),
                ("client_assertion", assertion),
            )
        )

    def __repr__(self) -> str:
        """Show the client and the name of its key."""
        return f"ClientKey({self.client_id!r}, {self._signer!r})"


class ClientSecret:
    """A client that shares a secret with the issuer (``client_secret_basic``).

    Parameters:
        client_id: its name at the issuer.
        secret: what both know.
    """

    __slots__ = ("_header", "client_id")

    def __init__(self, client_id: str, secret: str) -> None:
        self.client_id: Final = client_id
        # Each is encoded as a form's value first, so that a colon in either is none between them.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode("ascii")
        self._header = "Basic " + b2a_base64(pair, newline=False).decode("ascii")

    def present(self, *, audience: str, token_id: str, issued_at: float) -> Presented:  # noqa: ARG002  as for a key
        """Return what every request carries."""
        return Presented(headers=(("Authorization", self._header),))

    def __repr__(self) -> str:
        """Show the client."""
        return f"ClientSecret({self.client_id!r})"


def make_assertion(
    signer: Signer,
    *,
    client_id: str,
    audience: str,
    token_id: str,
    issued_at: float,
    lifetime: float = 10.0,
    typ: str = ASSERTION_TYPE,
) -> str:
    """Sign an assertion (RFC 7523 section 3).

    Parameters:
        signer: the client's key.
        client_id: the client.
        audience: the issuer's name.
        token_id: what no other assertion of this client has.
        issued_at: now, in seconds since 1970.
        lifetime: for how many seconds it is good.
        typ: the type that its header states.
    """
    header = {"alg": signer.alg, "typ": typ}
    if signer.kid is not None:
        header["kid"] = signer.kid
    now = int(issued_at)
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "jti": token_id,
        "iat": now,
        "nbf": now,
        "exp": now + int(lifetime),
    }
    return sign_compact(header, claims, signer)


class InvalidClient(ValueError):  # noqa: N818  RFC 6749 section 5.2 calls it so
    """The assertion does not prove that the client sent it. The message holds nothing of it."""


class Assertion(Struct, frozen=True):
    """An assertion that was checked. That it is the first use of it, somebody else must see to.

    Attributes:
        token_id: what tells it from every other of this client.
        expires_at: until when its use has to be remembered, leeway included; seconds since 1970.
    """

    token_id: str
    expires_at: float


def check_assertion(
    assertion: str, keys: JwkSet, *, client_id: str, audience: str, now: float
) -> Assertion:
    """Check an assertion (RFC 7523 section 3).

    Does not check that it was not used before.

    Parameters:
        assertion: the characters as received, possibly hostile.
        keys: the public keys of the client, imported with the algorithms that it may use.
        client_id: the client that the request names.
        audience: the issuer's own name, the only audience that is taken.
        now: seconds since 1970.

    Raises:
        InvalidClient: if it proves nothing.
    """
    # (1) Signed by a key of this client, as what it is.
    try:
        jws = parse(assertion, {})
        if jws.header.typ not in {ASSERTION_TYPE, "jwt"}:
            raise InvalidClient("typ is not that of a client assertion")
        verified = verify(jws, keys.select(jws.header.alg, jws.header.kid))
        claims = decode_object(verified.payload)
    except Refused as refused:
        raise InvalidClient(refused.refusal.code.value) from None
    except NotCanonical as flaw:
        raise InvalidClient(f"payload: {flaw}") from None
    # (2) By the client about itself, for this issuer and nobody else.
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidClient("iss and sub are not the client")
    if claims.get("aud") not in (audience, [audience]):
        raise InvalidClient("aud is not this issuer alone")
    # (3) Now, and not for long.
    exp, iat = _time(claims, "exp"), _time(claims, "iat")
    if not iat - LEEWAY <= now < exp + LEEWAY:
        raise InvalidClient("it is not good now")
    if "nbf" in claims and not _time(claims, "nbf") - LEEWAY <= now:
        raise InvalidClient("it is not good yet")
    if not 0 < exp - iat <= MAX_LIFETIME:
        raise InvalidClient(f"it lives longer than {MAX_LIFETIME:.0f} s")
    # (4) Told from every other.
    token_id = claims.get("jti")
    if type(token_id) is not str or not 0 < len(token_id) <= MAX_TOKEN_ID:
        raise InvalidClient(f"jti is not a string of 1 to {MAX_TOKEN_ID} characters")
    return Assertion(token_id, exp + LEEWAY)


def _time(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if type(value) is not int and type(value) is not float:
        raise InvalidClient(f"{name} is not a number")
    return value
