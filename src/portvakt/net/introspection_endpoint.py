"""One exchange with one issuer about one reference token."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.jose.jws import parse, verify
from portvakt.net.discovery import Discovery
from portvakt.net.fetch import Fetch
from portvakt.oauth.client_auth import ClientKey, ClientSecret
from portvakt.oauth.introspection import (
    FORM_TYPE,
    JSON_TYPE,
    SIGNED_TYPE,
    MalformedAnswer,
    read_answer,
    read_signed_answer,
    write_question,
)
from portvakt.policy.access_token import check_introspected
from portvakt.policy.issuer import TrustedIssuer

if TYPE_CHECKING:
    from collections.abc import Callable

    from portvakt.net.answer import Fetched
    from portvakt.net.keys import KeySource
    from portvakt.policy.token import AccessToken

__all__ = ["IntrospectionEndpoint", "Place"]

#: What an issuer answers to a question that it does not understand. It says nothing of the issuer
#: as a whole: a token can be of a form that it chokes on.
_NOT_UNDERSTOOD = 400


class Place(NamedTuple):
    """Where to ask, and whether the answer must be signed."""

    url: str
    signed: bool


class IntrospectionEndpoint(Struct, frozen=True, kw_only=True):
    """Where one issuer answers for its reference tokens, and as whom it is asked.

    Attributes:
        issuer: the policy for its tokens.
        where: a URL, or the metadata that names one.
        fetch: how it is asked.
        client: as whom.
        signed: whether answers must be signed (RFC 9701); None: if its metadata says that it signs
            them, with an algorithm that the policy allows.
        prefix: how every reference token of this issuer begins; empty if nothing is known.
        timeout: seconds for one question as a whole, with what has to be found out for it.
        max_staleness: for how many seconds an answer serves, where the data is not so sensitive
            that it is asked each time.
    """

    issuer: TrustedIssuer
    where: str | Discovery
    fetch: Fetch
    client: ClientKey | ClientSecret
    signed: bool | None = None
    prefix: str = ""
    timeout: float = 5.0
    max_staleness: float = 10.0

    @property
    def source(self) -> str:
        """Where it is asked, as far as that is known without asking."""
        return self.where if isinstance(self.where, str) else self.where.source

    async def find(self) -> Place:
        """Return where to ask; looks into the metadata, if that is what says it.

        Raises:
            FetchError: if the metadata cannot be had, or names no endpoint that may be asked.
        """
        if isinstance(self.where, str):
            return Place(self.where, self.signed is True)
        url, algorithms = await self.where.introspection()
        offered = not algorithms.isdisjoint(self.issuer.algorithms)
        return Place(url, offered if self.signed is None else self.signed)

    def forget(self) -> None:
        """Look again where to ask before the next question: it may have moved."""
        if not isinstance(self.where, str):
            self.where.forget()

    async def ask(
        self,
        place: Place,
        token: str,
        *,
        keys: KeySource,
        wall_clock: Callable[[], float],
        revocable: bool,
    ) -> AccessToken:
        """Ask about one token, and check all that the answer says.

        Parameters:
            place: where.
            token: the token, found to be of the form of this issuer's.
            keys: the keys that answers are signed with.
            wall_clock: seconds since 1970.
            revocable: whether the token will be asked for its handles.

        Raises:
            Refused: if it is not active, or not good for this API now.
            MalformedAnswer: if nobody can tell what the issuer says.
            FetchError: if it does not answer.
            Unavailable: if the keys that the answer is signed with cannot be had.
        """
        began = wall_clock()
        # (1) For the issuer by its name, and so for no other server, wherever the endpoint is.
        presented = self.client.present(
            audience=self.issuer.issuer, token_id=secrets.token_urlsafe(16), issued_at=began
        )
        answer = await self.fetch.send(
            "POST",
            place.url,
            accept=SIGNED_TYPE if place.signed else JSON_TYPE,
            headers=(("Content-Type", FORM_TYPE), *presented.headers),
            content=write_question(token, presented.members),
            accepted={200, _NOT_UNDERSTOOD},
        )
        # (2) An answer, and of the kind that was asked for: no falling back on the other.
        if answer.status == _NOT_UNDERSTOOD:
            raise MalformedAnswer("the server answered 400")
        if answer.media_type != (SIGNED_TYPE if place.signed else JSON_TYPE):
            raise MalformedAnswer(f"the answer is not {SIGNED_TYPE if place.signed else JSON_TYPE}")
        # (3) What it says, signed or not.
        if place.signed:
            said = await self._verified(answer, keys, began, wall_clock)
        else:
            said = read_answer(answer.body), answer.body, None
        members, text, thumbprint = said
        # (4) The same checks as of a token that says so itself.
        return check_introspected(
            members,
            text,
            self.issuer,
            wall_clock(),
            key_thumbprint=thumbprint,
            revocable=revocable,
        )

    async def _verified(
        self,
        answer: Fetched,
        keys: KeySource,
        began: float,
        wall_clock: Callable[[], float],
    ) -> tuple[dict[str, Any], bytes, str | None]:
        issuer = self.issuer
        try:
            # What is no ASCII becomes a character that is in no JWS.
            jws = parse(answer.body.decode("ascii", "replace").strip(), {})
            header = jws.header
            if header.alg not in issuer.algorithms:
                raise MalformedAnswer("alg of the signed answer is not one that the policy allows")
            found = keys.current(issuer, header)
            if found is None:
                found = await keys.fetch(issuer, header)
            verified = verify(jws, found.select(header.alg, header.kid))
        except Refused as refused:
            # Nobody but the issuer is to blame for that, so the caller is not refused for it.
            raise MalformedAnswer(f"the signed answer: {refused.refusal.code.value}") from None
        members = read_signed_answer(
            verified,
            issuer=issuer.issuer,
            audiences={self.client.client_id, issuer.audience},
            earliest=began - issuer.leeway,
            latest=wall_clock() + issuer.max_age_ahead,
        )
        return members, verified.payload, verified.key_thumbprint

    def __repr__(self) -> str:
        """Show whose it is."""
        return f"IntrospectionEndpoint({self.issuer.issuer!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("issuer", self.issuer.issuer)]
