"""An issuer of reference tokens on loopback: metadata, keys, and an endpoint that answers for them.

::

    with Introspecting("issuer.test", hosts) as issuer:
        token = issuer.grant(scope="journal")
        ...
        issuer.revoke(token)
        issuer.answer = silent  # from the next question on

Everything is as in production but for names and certificates: see :mod:`publishing`. The endpoint
asks for the client's proof before it answers, takes no assertion twice, and signs where it is asked
to (RFC 9701).
"""

from __future__ import annotations

import json
import time
from base64 import b64decode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote_plus

from key_server import by_path, whole
from portvakt.jose.encoding import decode_base64url
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.discovery import Discovery
from portvakt.net.fetch import Fetch
from portvakt.net.introspection_endpoint import IntrospectionEndpoint
from portvakt.oauth.client_auth import ClientKey, ClientSecret, InvalidClient, check_assertion
from portvakt.oauth.introspection import SIGNED_TYPE
from publishing import Published

if TYPE_CHECKING:
    from pathlib import Path

    from key_server import Behaviour, Exchange, Names

__all__ = ["CLIENT", "CLIENT_KEY", "SECRET", "Introspecting"]

CLIENT: Final = "the api:1"
SECRET: Final = "a secret: 100 % of it"
CLIENT_KEY: Final = Signer.generate("ES256", "api-key")


class Introspecting(Published):
    """A published issuer that also answers for reference tokens.

    Attributes:
        tokens: what it says of each token; of others, that they are not active.
        asked: the tokens it was asked about by a client that proved itself, in order.
        refused: how many questions came from nobody it knows.
        answer: how it behaves instead, if it misbehaves.
        signer: what it signs with.
        header, claims: what it writes into a signed answer instead of what is right.
        revoke_after: after so many more answers about it a token is not active.
    """

    def __init__(self, host: str, names: Names) -> None:
        super().__init__(host, names)
        self.metadata["introspection_endpoint"] = f"https://{host}/introspect"
        self.tokens: dict[str, Any] = {}
        self.asked: list[str] = []
        self.refused = 0
        self.answer: Behaviour | None = None
        self.signer = self.issuer.signer
        self.header: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.revoke_after: dict[str, int] = {}
        self._used: set[str] = set()
        self._keys = JwkSet.from_object({"keys": [CLIENT_KEY.public_jwk()]}, ["ES256"])

    def publish(self, *what: Any, **how: Any) -> None:
        super().publish(*what, **how)
        self.server.answer = by_path({"/introspect": self._introspect}, self.server.answer)

    def grant(self, token: str | None = None, **claims: Any) -> str:
        """Issue a reference token; returns it."""
        name = f"{self.host}-{len(self.tokens)}".replace(".", "-") if token is None else token
        payload = self.issuer.token(claims=claims).split(".")[1]
        self.tokens[name] = {
            "active": True,
            "token_type": "Bearer",
            **json.loads(decode_base64url(payload)),
        }
        return name

    def revoke(self, token: str) -> None:
        """Say from the next question on that it is not active."""
        del self.tokens[token]

    def offer_signatures(self) -> None:
        """Say in the metadata that answers are signed."""
        self.metadata["introspection_signing_alg_values_supported"] = [self.signer.alg]
        self.publish()

    def endpoint(self, names: Names, ca_file: Path, **settings: Any) -> IntrospectionEndpoint:
        """How a guard asks it: with a key, where its metadata says."""
        fetch = Fetch(names, ca_file=ca_file, timeout=2.0)
        given: dict[str, Any] = {
            "issuer": self.issuer.trusted,
            "where": Discovery(self.issuer.trusted.issuer, fetch),
            "fetch": fetch,
            "client": ClientKey(CLIENT, CLIENT_KEY),
        }
        return IntrospectionEndpoint(**{**given, **settings})

    async def _introspect(self, exchange: Exchange) -> None:
        request = exchange.request
        form = parse_qs(request.body.decode("ascii"), strict_parsing=True)
        if request.method != "POST" or not self._proved(dict(request.headers), form):
            self.refused += 1
            await whole(b'{"error":"invalid_client"}', status=401)(exchange)
            return
        (token,) = form["token"]
        self.asked.append(token)
        if self.answer is not None:
            await self.answer(exchange)
            return
        members = self.tokens.get(token, {"active": False})
        if token in self.revoke_after:
            self.revoke_after[token] -= 1
            if self.revoke_after[token] == 0:
                self.revoke(token)
        if dict(request.headers)["accept"] == SIGNED_TYPE:
            kind, body = SIGNED_TYPE, self._signed(members)
        else:
            kind, body = "application/json", json.dumps(members).encode()
        await whole(body, headers=[("Content-Type", kind)])(exchange)

    def _signed(self, members: Any) -> bytes:
        head = {"alg": self.signer.alg, "kid": self.signer.kid, "typ": "token-introspection+jwt"}
        body = {
            "iss": self.issuer.trusted.issuer,
            "aud": CLIENT,
            "iat": int(time.time()),
            "token_introspection": members,
        }
        return sign_compact({**head, **self.header}, {**body, **self.claims}, self.signer).encode()

    def _proved(self, headers: dict[str, str], form: dict[str, list[str]]) -> bool:
        if "client_assertion" in form:
            try:
                proof = check_assertion(
                    form["client_assertion"][0],
                    self._keys,
                    client_id=form["client_id"][0],
                    audience=self.issuer.trusted.issuer,
                    now=time.time(),
                )
            except InvalidClient:
                return False
            fresh = form["client_id"] == [CLIENT] and proof.token_id not in self._used
            self._used.add(proof.token_id)
            return fresh
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        pair = b64decode(encoded).decode("ascii").split(":")
        return scheme == "Basic" and [unquote_plus(one) for one in pair] == [CLIENT, SECRET]


def with_secret() -> ClientSecret:
    """The client, with the secret that the endpoint knows."""
    return ClientSecret(CLIENT, SECRET)
