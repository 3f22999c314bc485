"""The tables of ``portvakt.toml`` as plain data: every key there is, and what it means.

The descriptions are the ones that ``portvakt config schema`` gives to editors. Nothing here checks
that the values make a sound policy: :mod:`portvakt.config.compile` does.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.dpop_schema import DpopTable
from portvakt.config.gateway_schema import GatewayTable
from portvakt.config.issuer_schema import Audience, IssuerTable
from portvakt.config.keystore_schema import EncryptionTable, KeystoreTable
from portvakt.config.proxy_schema import ProxyTable
from portvakt.config.records_schema import RecordsTable
from portvakt.config.register_schema import RegisterTable
from portvakt.config.revocation_schema import RevocationTable
from portvakt.config.route_schema import (
    IdentityName,
    IgnoredName,
    Level,
    RouteTable,
    Scope,
    SenderConstraintName,
    SensitivityName,
)
from portvakt.config.store_schema import StoreTable
from portvakt.config.telemetry_schema import TelemetryTable

__all__ = ["ApiTable", "Configuration", "NetworkTable"]

_Text = Annotated[str, Meta(min_length=1)]

#: A number of seconds; in the file, text like ``5s``. The file has no other numbers.
_Duration = float


class ApiTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The API that is protected."""

    audience: Annotated[
        Audience,
        Meta(
            description="The name of this API: the value that aud must contain. There is no 'any'."
        ),
    ]
    scopes: Annotated[
        tuple[Scope, ...],
        Meta(description="Scopes that every token must have, on every route that is not public."),
    ] = ()
    sensitivity: Annotated[
        SensitivityName,
        Meta(
            description="How sensitive the data is: low (a token may live 24h), normal (60m), high "
            "(60m, and only sender-constrained or reference tokens). A route may state its own."
        ),
    ] = "normal"
    security_level: Annotated[
        Level | UnsetType,
        Meta(description="The lowest security level that will do, on every route. 0 demands none."),
    ] = UNSET
    require: Annotated[
        tuple[IdentityName, ...],
        Meta(
            description="What every token must say, on every route: pid, hpr_number, organisation, "
            "organisation_child, supplier. Of the caller: a clinician, not a patient."
        ),
    ] = ()
    ignore: Annotated[
        tuple[IgnoredName, ...],
        Meta(
            description="What the issuer's tokens may say and no route needs: security_level, pid, "
            "hpr_number, organisation."
        ),
    ] = ()
    origin: Annotated[
        _Text | tuple[_Text, ...] | UnsetType,
        Meta(
            description="Where clients reach this API, as https://journal.example.no; several if "
            "it is reached at several, and with the base path that a proxy takes off. Proofs must "
            "be for one of them."
        ),
    ] = UNSET
    metadata: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether the guard tells everyone, below /.well-known, where the API is, "
            "whose tokens it accepts and which scopes there are (RFC 9728), and challenges name "
            "that. Without this it does if origin is one, with https."
        ),
    ] = UNSET
    resource_name: Annotated[
        _Text | UnsetType,
        Meta(description="The name of this API for people, in its metadata."),
    ] = UNSET
    resource_documentation: Annotated[
        _Text | UnsetType,
        Meta(description="The URL of what developers should read, in its metadata."),
    ] = UNSET
    resource_policy_uri: Annotated[
        _Text | UnsetType,
        Meta(description="The URL of what is asked of clients, in its metadata."),
    ] = UNSET
    sender_constraint: Annotated[
        SenderConstraintName | UnsetType,
        Meta(
            description="How a sender proves that a token is theirs, on every route that does not "
            "say otherwise: none (Bearer), dpop or mtls."
        ),
    ] = UNSET
    require_encryption: Annotated[
        bool,
        Meta(
            description="Whether only tokens will do that came encrypted, or are references, on "
            "every route that does not say otherwise."
        ),
    ] = False
    disclose: Annotated[
        bool,
        Meta(
            description="Whether a refusal names the scope, the level or the age that is demanded, "
            "so that a client can ask for it."
        ),
    ] = True


class NetworkTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How issuers are reached. Nothing of this is taken from the environment's own settings."""

    timeout: Annotated[
        _Duration,
        Meta(description="The longest that one exchange may take as a whole, at most 30s."),
    ] = 5.0
    ca_file: Annotated[
        _Text | UnsetType,
        Meta(
            description="A file with certificates (PEM) that are trusted beside the system's, "
            "relative to this file."
        ),
    ] = UNSET
    proxy: Annotated[
        _Text | UnsetType,
        Meta(
            description="The URL of an HTTP proxy for issuers that are neither private nor on this "
            "machine. It decides which addresses their names lead to."
        ),
    ] = UNSET
    register_deadline: Annotated[
        _Duration,
        Meta(description="The longest that a request waits for all its registers, at most 30s."),
    ] = 2.0
    cache_dir: Annotated[
        _Text | UnsetType,
        Meta(
            description="A folder, relative to this file, for the last good keys, so that a "
            "restart serves while an issuer cannot be reached. No other user may write to it."
        ),
    ] = UNSET

    def __repr__(self) -> str:
        """Show no proxy: its URL may hold a password."""
        return f"NetworkTable(timeout={self.timeout})"

    def __rich_repr__(self) -> list[tuple[str, float]]:
        """Show to rich what repr shows."""
        return [("timeout", self.timeout)]


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy: the API that is protected, who may issue tokens for it, and its routes."""

    api: ApiTable
    issuer: Annotated[
        tuple[IssuerTable, ...],
        Meta(description="The issuers whose tokens are accepted, each once.", min_length=1),
    ]
    route: Annotated[
        tuple[RouteTable, ...],
        Meta(
            description="The routes. Without any, every request needs a valid token; with some, a "
            "request that is none of theirs is refused."
        ),
    ] = ()
    network: Annotated[
        NetworkTable,
        Meta(description="How issuers are reached whose keys are fetched."),
    ] = NetworkTable()
    register: Annotated[
        tuple[RegisterTable, ...],
        Meta(description="The registers that routes can ask, each by its name."),
    ] = ()
    dpop: Annotated[
        DpopTable,
        Meta(description="What proofs must be like, where a route asks for them."),
    ] = DpopTable()
    store: Annotated[
        StoreTable | UnsetType,
        Meta(description="Where used proofs and revocations are remembered, for all guards."),
    ] = UNSET
    revocation: Annotated[
        RevocationTable,
        Meta(description="Within which time a revocation holds."),
    ] = RevocationTable()
    records: Annotated[
        RecordsTable | UnsetType,
        Meta(description="Where a record of every decision is kept."),
    ] = UNSET
    encryption: Annotated[
        EncryptionTable | UnsetType,
        Meta(description="The keys that tokens may be encrypted to."),
    ] = UNSET
    keystore: Annotated[
        KeystoreTable | UnsetType,
        Meta(description="The encrypted file with private keys and secrets."),
    ] = UNSET
    proxy: Annotated[
        ProxyTable | UnsetType,
        Meta(description="The proxy in front of this API, that ends its clients' TLS connections."),
    ] = UNSET
    gateway: Annotated[
        GatewayTable | UnsetType,
        Meta(description="How portvakt serve serves, for a proxy in front of any API."),
    ] = UNSET
    telemetry: Annotated[
        TelemetryTable,
        Meta(description="What is told of every decision: a log, metrics, traces."),
    ] = TelemetryTable()
