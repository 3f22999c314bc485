"""A policy file → everything that one worker of the gateway answers by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portvakt.gateway.forward_auth import ForwardAuth
from portvakt.gateway.identity import IdentityHeaders, IdentityJwt
from portvakt.gateway.reading import Reading
from portvakt.guard.assembly import assemble_policy
from portvakt.guard.guard import Guard
from portvakt.stores.memory import MemoryStore
from portvakt.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.gateway.ext_authz import ExtAuthz
    from portvakt.gateway.identity import Teller

__all__ = ["Serving"]


class Serving:
    """One reading of the policy file, and how many requests it is judging.

    Attributes:
        reading: what the file says to a gateway.
        guard: who judges.
        metrics: what it counts.
        auth: who answers the proxy.
        ext_authz: who answers Envoy by gRPC; None where nobody does.
        under_way: requests that it is judging now.
    """

    __slots__ = ("_told", "auth", "ext_authz", "guard", "metrics", "reading", "under_way")

    def __init__(self, path: Path, predecessor: Serving | None = None) -> None:
        """Read the policy file. No socket is opened, and nobody is asked.

        Parameters:
            path: the policy file.
            predecessor: what served until now, whose memory is handed on if it is a process's own.

        Raises:
            ConfigurationError: with everything that is wrong, each with its place and line.
        """
        self.reading: Final = Reading(path)
        policy, settings = self.reading.policy, self.reading.settings
        store = None
        if predecessor is not None and self._same_store(predecessor):
            store = predecessor.guard.parts.store
        # What the policy counts is counted by the guard; where it counts nothing, the gateway does.
        own = None if policy.configuration.telemetry.metrics else Metrics()
        observers = () if own is None else (own.counts,)
        self.guard: Final[Guard] = assemble_policy(
            Guard, self.reading.draft, policy, observers=observers, store=store
        )
        standing = self.guard.parts.standing
        known = None if predecessor is None else predecessor.guard.parts.standing
        if standing is not None and known is not None:
            standing.follow(known)
        if own is not None:
            own.watch(self.guard.readings)
        self.metrics: Final[Metrics] = self.guard.metrics if own is None else own
        self._told: Final = self._teller()
        self.auth: Final = ForwardAuth(
            self.guard,
            settings.preset,
            settings.proxies,
            settings.certificates,
            self._told,
            self.reading.secret,
        )
        self.ext_authz = None if settings.ext_authz is None else self._ext_authz()
        self.under_way = 0

    def _ext_authz(self) -> ExtAuthz:
        # gRPC is imported where the policy asks for it.
        from portvakt.gateway.ext_authz import ExtAuthz

        return ExtAuthz(
            self.guard,
            trusts=lambda asking: self.auth.believes(asking.headers, asking.peer),
            identity=lambda decision: self._told.tell(decision.token, decision.at),
        )

    def _same_store(self, predecessor: Serving) -> bool:
        # Stores that others reach too are opened anew: what they remember is theirs.
        mine = self.reading.policy.configuration.store
        theirs = predecessor.reading.policy.configuration.store
        return mine == theirs and isinstance(predecessor.guard.parts.store, MemoryStore)

    def _teller(self) -> Teller:
        identity, signer = self.reading.table.identity, self.reading.signer
        if signer is None:
            return IdentityHeaders(identity.fields)
        policy = self.reading.policy
        origins = policy.guarding.origins
        issuer = origins[0].text if origins else "portvakt"
        audience = policy.configuration.api.audience
        return IdentityJwt(identity.fields, signer, issuer, audience, identity.lifetime)
