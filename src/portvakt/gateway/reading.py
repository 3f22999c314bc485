"""A policy file → what a gateway is told by it, before there is a guard."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from msgspec import UNSET, UnsetType

from portvakt.config.compile import compile_policy
from portvakt.config.load import read_file
from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.fitting import secrets_of

if TYPE_CHECKING:
    from pathlib import Path

    from portvakt.config.compile import Policy
    from portvakt.config.gateway import GatewaySettings
    from portvakt.config.gateway_schema import GatewayTable
    from portvakt.config.secrets_schema import SecretTable
    from portvakt.jose.signer import Signer
    from portvakt.keystore.references import Secrets

__all__ = ["MIN_SECRET", "Reading"]

#: Characters of a shared secret, at least: 128 bits, as hexadecimal digits.
MIN_SECRET: Final = 32


class Reading:
    """What a policy file says to a gateway. No socket is opened, and nobody is asked.

    Parameters:
        path: the policy file.

    Raises:
        ConfigurationError: with everything that is wrong, each with its place and line.

    Attributes:
        draft: the policy as it was read.
        policy: the compiled policy.
        table: its ``[gateway]``, as data.
        settings: the same, compiled.
        secret: what the proxy shows; None where its address alone tells.
        admin_token: what whoever revokes shows; None where nobody can.
        signer: signs who was admitted; None where headers tell it.
    """

    def __init__(self, path: Path) -> None:
        self.draft: Final = read_file(path, os.environ)
        self.policy: Final[Policy] = compile_policy(self.draft)
        try:
            self.table, self.settings = _gateway_of(self.policy)
            secrets = secrets_of(self.policy)
            self.secret = _secret(self.table.secret, "gateway.secret", secrets)
            self.admin_token = _secret(self.table.admin_token, "gateway.admin_token", secrets)
            self.signer = _signer(self.table, secrets)
        except ConfigurationError as error:
            raise self.draft.problems.placed(error) from None

    # It holds secrets, and there are tracebacks that show every variable.
    def __repr__(self) -> str:
        """Show nothing of what it knows."""
        return "Reading()"


def _gateway_of(policy: Policy) -> tuple[GatewayTable, GatewaySettings]:
    table, settings = policy.configuration.gateway, policy.guarding.gateway
    if table is UNSET or settings is None:
        raise ConfigurationError(
            [Problem("gateway", 'is missing: state at least proxy = "nginx" and listen or trusted')]
        )
    return table, settings


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
