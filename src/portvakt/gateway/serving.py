"""A policy file → everything that one worker of the gateway answers by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, UnsetType

from portvakt.config.compile import compile_policy
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError, Problem
from portvakt.gateway.forward_auth import ForwardAuth
from portvakt.gateway.identity import IdentityHeaders, IdentityJwt
from portvakt.guard.assembly import assemble_policy
from portvakt.guard.fitting import secrets_of
from portvakt.guard.guard import Guard
from portvakt.stores.memory import MemoryStore
from portvakt.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.config.compile import Policy
    from portvakt.config.gateway import GatewaySettings
    from portvakt.config.gateway_schema import GatewayTable
    from portvakt.config.secrets_schema import SecretTable
    from portvakt.gateway.ext_authz import ExtAuthz
    from portvakt.gateway.identity import Teller
    from portvakt.jose.signer import Signer
    from portvakt.keystore.references import Secrets

__all__ = ["MIN_SECRET", "Serving", "secret_of", "settings_of"]

#: Characters of a shared secret, at least: 128 bits, as hexadecimal digits.
MIN_SECRET: Final = 32


class Serving:
    """One reading of the policy file, and how many requests it is judging.

    Attributes:
        policy: the compiled policy.
        table: its ``[gateway]``, as data.
        settings: the same, compiled.
        guard: who judges.
        metrics: what it counts.
        auth: who answers the proxy.
        ext_authz: who answers Envoy by gRPC; None where nobody does.
        signer: signs who was admitted; None where headers tell it.
        under_way: requests that it is judging now.
    """

    __slots__ = (
        *("_told", "auth", "ext_authz", "guard", "metrics"),
        *("policy", "settings", "signer", "table", "under_way"),
    )

    def __init__(self, path: Path, predecessor: Serving | None = None) -> None:
        """Read the policy file. No socket is opened, and nobody is asked.

        Parameters:
            path: the policy file.
            predecessor: what served until now, whose memory is handed on if it is a process's own.

        Raises:
            ConfigurationError: with everything that is wrong, each with its place and line.
        """
        draft = read_file(path, os.environ)
        self.policy: Final[Policy] = compile_policy(draft)
        try:
            self.table, self.settings = settings_of(self.policy)
            secrets = secrets_of(self.policy)
            secret = _secret(self.table.secret, "gateway.secret", secrets)
            # Not needed here, but what is wrong with it is said before anything listens.
            _secret(self.table.admin_token, "gateway.admin_token", secrets)
            self.signer = _signer(self.table, secrets)
        except ConfigurationError as error:
            raise draft.problems.placed(error) from None
        store = None
        if predecessor is not None and self._same_store(predecessor):
            store = predecessor.guard.parts.store
        # What the policy counts is counted by the guard; where it counts nothing, the gateway does.
        own = None if self.policy.configuration.telemetry.metrics else Metrics()
        observers = () if own is None else (own.counts,)
        self.guard: Final[Guard] = assemble_policy(
            Guard, draft, self.policy, observers=observers, store=store
        )
        standing = self.guard.parts.standing
        if standing is not None and predecessor is not None:
            known = predecessor.guard.parts.standing
            if known is not None:
                standing.follow(known)
        if own is not None:
            own.watch(self.guard.readings)
        self.metrics: Final[Metrics] = self.guard.metrics if own is None else own
        self._told = self._teller()
        self.auth: Final[ForwardAuth] = ForwardAuth(
            self.guard,
            self.settings.preset,
            self.settings.proxies,
            self.settings.certificates,
            self._told,
            secret,
        )
        self.ext_authz = None if self.settings.ext_authz is None else self._ext_authz()
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
        mine, theirs = self.policy.configuration.store, predecessor.policy.configuration.store
        return mine == theirs and isinstance(predecessor.guard.parts.store, MemoryStore)

    def _teller(self) -> Teller:
        identity = self.table.identity
        if self.signer is None:
            return IdentityHeaders(identity.fields)
        origins = self.policy.guarding.origins
        issuer = str(origins[0]) if origins else "portvakt"
        audience = self.policy.configuration.api.audience
        return IdentityJwt(identity.fields, self.signer, issuer, audience, identity.lifetime)


def settings_of(policy: Policy) -> tuple[GatewayTable, GatewaySettings]:
    """Return the ``[gateway]`` of a policy.

    Raises:
        ConfigurationError: if it has none.
    """
    table, settings = policy.configuration.gateway, policy.guarding.gateway
    if table is UNSET or settings is None:
        raise ConfigurationError(
            [Problem("gateway", 'is missing: state at least proxy = "nginx" and listen or trusted')]
        )
    return table, settings


def secret_of(policy: Policy, reference: SecretTable | UnsetType, place: str) -> str | None:
    """Return a shared secret of the policy; None if it states none.

    Raises:
        ConfigurationError: if it is not where the policy says, or too short.
    """
    return _secret(reference, place, secrets_of(policy))


def _secret(reference: SecretTable | UnsetType, place: str, secrets: Secrets) -> str | None:
    if reference is UNSET:
        return None
    secret = secrets.text(reference, place)
    if len(secret) < MIN_SECRET or not secret.isascii() or not secret.isprintable():
        raise ConfigurationError(
            [Problem(place, f"must be at least {MIN_SECRET} visible characters of ASCII")]
        )
    return secret


def _signer(table: GatewayTable, secrets: Secrets) -> Signer | None:
    identity = table.identity
    if identity.form != "jwt" or identity.key is UNSET:
        return None
    algorithm = None if identity.algorithm is UNSET else identity.algorithm
    return secrets.signer(identity.key, "gateway.identity.key", alg=algorithm)
