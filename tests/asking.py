"""What the tests of introspection share: a way out with answers laid down, clocks, an issuer."""

import asyncio
import json
from collections.abc import Collection
from typing import Any, Final, cast
from urllib.parse import parse_qs

from portvakt.jose.encoding import decode_base64url
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.signer import Signer, sign_compact
from portvakt.net.address import FetchError
from portvakt.net.answer import Fetched, Headers
from portvakt.net.fetch import Fetch
from portvakt.net.introspection import Introspection
from portvakt.net.introspection_endpoint import IntrospectionEndpoint
from portvakt.net.keys import FixedKeys, KeySource
from portvakt.net.question import Limits
from portvakt.oauth.client_auth import ClientSecret
from portvakt.oauth.introspection import JSON_TYPE, SIGNED_TYPE
from portvakt.policy.token import AccessToken
from portvakt.testing import FakeIssuer
from portvakt.testing.clock import FrozenClock

NOW: Final = 1_800_000_000.0
ISSUER: Final = FakeIssuer(clock=FrozenClock(NOW))
ENDPOINT: Final = "https://issuer.test/introspect"
CLIENT: Final = "the-api"
DOWN: Final = FetchError("the server answered 500")
INACTIVE: Final = {"active": False}


def claims_of(issuer: FakeIssuer = ISSUER, **claims: Any) -> dict[str, Any]:
    """What an honest issuer answers about an active token."""
    payload = issuer.token(claims=claims).split(".")[1]
    return {"active": True, "token_type": "Bearer", **json.loads(decode_base64url(payload))}


def answered(body: object, kind: str = JSON_TYPE, status: int = 200) -> Fetched:
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Fetched(status, (("content-type", kind),), octets)


def signed(
    members: object,
    *,
    issuer: FakeIssuer = ISSUER,
    signer: Signer | None = None,
    header: dict[str, Any] | None = None,
    kind: str = SIGNED_TYPE,
    **claims: Any,
) -> Fetched:
    """What an honest issuer answers when it is asked for a signature; None leaves a claim out."""
    signer = signer or issuer.signer
    head = {"alg": signer.alg, "kid": signer.kid, "typ": "token-introspection+jwt"}
    body = {
        "iss": issuer.trusted.issuer,
        "aud": CLIENT,
        "iat": int(issuer.clock()),
        "token_introspection": members,
        **claims,
    }
    body = {name: value for name, value in body.items() if value is not None}
    return answered(sign_compact({**head, **(header or {})}, body, signer).encode(), kind)


class WayOut:
    """Has the method of :class:`portvakt.net.fetch.Fetch` that asks; notes what was asked.

    Attributes:
        answers: what is answered about each token; about others, that it is not active.
        asked: the tokens, in order.
        sent: the forms, likewise.
        headers: the header fields, likewise.
        accepts: the media types that were wanted, likewise.
        at_once: the most that were asked about at the same time.
        open: set while answers come.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        self.sent: list[dict[str, list[str]]] = []
        self.headers: list[Headers] = []
        self.accepts: list[str] = []
        self.now = self.at_once = 0
        self.open = asyncio.Event()
        self.open.set()

    @property
    def port(self) -> Fetch:
        """Itself, as what it stands for."""
        return cast("Fetch", self)

    async def send(
        self,
        method: str,
        url: str,
        *,
        accept: str,
        headers: Headers = (),
        content: bytes = b"",
        accepted: Collection[int] = (200,),
    ) -> Fetched:
        assert (method, url) == ("POST", ENDPOINT)
        form = parse_qs(content.decode("ascii"), keep_blank_values=True, strict_parsing=True)
        assert form["token_type_hint"] == ["access_token"]
        (token,) = form["token"]
        self.asked.append(token)
        self.sent.append(form)
        self.headers.append(headers)
        self.accepts.append(accept)
        self.now += 1
        self.at_once = max(self.at_once, self.now)
        # As it is when it is asked, whatever becomes of it before the answer arrives.
        answer = self.answers.get(token, INACTIVE)
        try:
            await self.open.wait()
        finally:
            self.now -= 1
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Fetched) else answered(answer)


class Asking:
    """The introspection under test, and all that surrounds it."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        capacity: int = 100,
        revocable: bool = False,
        keys: KeySource | None = None,
        **endpoint: Any,
    ) -> None:
        self.clock = FrozenClock(5000)
        self.wall = FrozenClock(NOW)
        self.out = WayOut()
        self.issuer = ISSUER.trusted
        jwks = JwkSet.from_object(ISSUER.jwks(), self.issuer.algorithms)
        self.introspection = Introspection(
            [self.endpoint(**endpoint)],
            keys or FixedKeys({self.issuer.issuer: jwks}),
            revocable=revocable,
            capacity=capacity,
            limits=limits or Limits(),
            clock=self.clock,
        )

    def endpoint(self, **changes: Any) -> IntrospectionEndpoint:
        settings: dict[str, Any] = {
            "issuer": self.issuer,
            "where": ENDPOINT,
            "fetch": self.out.port,
            "client": ClientSecret(CLIENT, "secret"),
        }
        return IntrospectionEndpoint(**{**settings, **changes})

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.wall.advance(seconds)

    def current(self, token: str, max_staleness: float = 10.0) -> AccessToken | None:
        return self.introspection.current(self.issuer, token, max_staleness, self.wall())

    async def fetch(self, token: str, max_staleness: float = 10.0) -> AccessToken:
        return await self.introspection.fetch(self.issuer, token, max_staleness, self.wall())

    def start(self, token: str, max_staleness: float = 10.0) -> asyncio.Task[AccessToken]:
        return asyncio.ensure_future(self.fetch(token, max_staleness))
