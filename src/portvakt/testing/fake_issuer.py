"""An issuer that exists in a test only: it has keys, publishes them, and signs what it is told."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, cast

from portvakt.config.compile import compile_policy
from portvakt.config.load import read_data
from portvakt.config.route_schema import CARRIED
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.forge.tokens import TokenBuilder
from portvakt.guard.guard import Guard
from portvakt.http.request import HttpRequest
from portvakt.jose.signer import Signer
from portvakt.policy.issuer import TrustedIssuer
from portvakt.profiles.profile import load_profile
from portvakt.testing.clock import FrozenClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portvakt.clock import Clock

__all__ = ["FakeIssuer"]


class FakeIssuer:
    """An issuer with keys of its own, for testing an API with honest and hostile tokens.

    Every instance has new keys, so that one never verifies the tokens of another::

        issuer = FakeIssuer(audience="my-api")
        guard = issuer.guard(route=[{"path": "/journal", "scopes": ["my-api/read"]}])
        honest = issuer.request(issuer.token(scopes=["my-api/read"]), url="/journal")
        assert guard.check_blocking(honest).admitted
        hostile = issuer.request(issuer.forged("expired"), url="/journal")
        assert not guard.check_blocking(hostile).admitted

    Parameters:
        issuer: its name, the value of ``iss``.
        audience: the API that its tokens are for.
        profile: write tokens as this issuer does: the name of a profile, as ``helseid-test``. The
            token then says all that the issuer's tokens may say of persons and organisations, about
            people who do not exist.
        alg: the algorithm it signs with; ES256, or the first of the profile's.
        clock: what time it is; a :class:`FrozenClock` of its own by default.

    Attributes:
        signer: the key that signs. The key set holds a second one, like that of any issuer that is
            about to change keys; it signs nothing.
        clock: what time it is.
        trusted: what an API believes about this issuer: the policy that honest tokens fulfil.
    """

    def __init__(
        self,
        issuer: str | None = None,
        *,
        audience: str = "test-api",
        profile: str | None = None,
        alg: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        known = None if profile is None else load_profile(profile)
        if alg is None:
            alg = "ES256" if known is None else known.algorithms[0]
        if issuer is None:
            issuer = "https://issuer.test" if known is None else known.issuer
        self._profile = profile
        self.signer: Final = Signer.generate(alg)
        self._next_signer = Signer.generate(alg, "key-2")
        # Typed as what it nearly always is, so that a test may write issuer.clock.advance(60).
        self.clock: Final = cast("FrozenClock", clock) if clock is not None else FrozenClock()
        self.trusted: Final = self._trusted(issuer, audience, alg)

    def _trusted(self, issuer: str | None, audience: str, alg: str) -> TrustedIssuer:
        if self._profile is None:
            return TrustedIssuer(
                issuer=issuer or "", audience=audience, algorithms=frozenset({alg})
            )
        table = {"profile": self._profile, "algorithms": [alg], "jwks": self.jwks()}
        if issuer is not None:
            table["issuer"] = issuer
        # Whatever the issuer says of people is for the policy under test to decide.
        api = {"audience": audience, "ignore": list(CARRIED)}
        return compile_policy(read_data({"api": api, "issuer": [table]})).issuers[0]

    def jwks(self) -> dict[str, Any]:
        """Return the public keys, ready to be served or to be put in line in a policy."""
        return {"keys": [self.signer.public_jwk(), self._next_signer.public_jwk()]}

    def config(self, **overrides: Any) -> dict[str, Any]:
        """Return a policy that trusts this issuer, shaped like the policy file.

        Parameters:
            overrides: whole tables that are added or take the place of others, as
                ``route=[{"path": "/healthz", "public": True}]``.
        """
        issuer = {
            "issuer": self.trusted.issuer,
            "jwks": self.jwks(),
            "algorithms": sorted(self.trusted.algorithms),
        }
        if self._profile is not None:
            issuer["profile"] = self._profile
        return {"api": {"audience": self.trusted.audience}, "issuer": [issuer], **overrides}

    def guard(self, **overrides: Any) -> Guard:
        """Return a guard that trusts this issuer and goes by its clock.

        By a clock that stands still it is a minute old: one that has just been made refuses proofs
        of possession for some seconds, as it cannot know what was used before.

        Parameters:
            overrides: see :meth:`config`.
        """
        config, clock = self.config(**overrides), cast("object", self.clock)
        if not isinstance(clock, FrozenClock):
            return Guard.from_config(config, clock=self.clock)
        clock.advance(-60)
        try:
            return Guard.from_config(config, clock=clock)
        finally:
            clock.advance(60)

    def builder(self, scopes: Iterable[str] = ()) -> TokenBuilder:
        """Return an honest token that is not written yet, for changes that :meth:`token` lacks.

        Parameters:
            scopes: what it grants.
        """
        return TokenBuilder(self.trusted, self.signer, now=self.clock(), scopes=scopes)

    def token(
        self,
        *,
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
        without: Iterable[str] = (),
        without_header: Iterable[str] = (),
    ) -> str:
        """Return an honest token with any change you like, signed with this issuer's key.

        Parameters:
            scopes: what it grants.
            claims: claims that are added or take the place of others.
            header: header parameters likewise.
            without: claims that it does not have.
            without_header: header parameters that it does not have.
        """
        draft = self.builder(scopes).claims(**(claims or {})).header(**(header or {}))
        return draft.without(*without).without_header(*without_header).build()

    def forged(self, fault: str, scopes: Iterable[str] = ()) -> str:
        """Return a token that is wrong in one thing and right in everything else.

        Parameters:
            fault: the id of a row of ``portvakt.forge.faults.FAULTS``, as ``expired`` or ``none``.
            scopes: what it would grant.

        Raises:
            ValueError: if there is no such fault, or it is none against this issuer.
        """
        known = {row.id: row for row in FAULTS}
        if fault not in known:
            near = get_close_matches(fault, known, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"there is no fault {fault!r}{meant}")
        token = self.builder(scopes)
        forgery = Forgery.against(token, several_keys=True)
        if not known[fault].applies(token, forgery):
            raise ValueError(f"the fault {fault!r} is none against this issuer")
        return known[fault].apply(token, forgery)

    def request(
        self,
        token: str | None = None,
        method: str = "GET",
        url: str = "/",
        headers: Iterable[tuple[str, str]] = (),
    ) -> HttpRequest:
        """Return a request that carries *token* as a bearer token.

        Parameters:
            token: the token; None for a request without one.
            method: the method.
            url: the request target.
            headers: further headers.
        """
        credential = () if token is None else (("Authorization", f"Bearer {token}"),)
        return HttpRequest(method=method, url=url, headers=(*credential, *headers))

    def __repr__(self) -> str:
        """Show its name and algorithm, never a key."""
        return f"FakeIssuer({self.trusted.issuer!r}, alg={self.signer.alg})"
