"""The tables of ``portvakt.toml`` as plain data: every key there is, and what it means.

The descriptions are the ones that ``portvakt config schema`` gives to editors. Nothing here checks
that the values make a sound policy: :mod:`portvakt.config.compile` does.
"""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.dpop_schema import DpopTable
from portvakt.config.feeds_schema import EventsTable, StatusListUris, StatusMaxAge
from portvakt.config.gateway_schema import GatewayTable
from portvakt.config.introspection_schema import IntrospectionTable
from portvakt.config.keystore_schema import EncryptionTable, KeystoreTable
from portvakt.config.proxy_schema import ProxyTable
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
from portvakt.jose.algorithms import ALGORITHMS

__all__ = ["KEY_SOURCES", "ApiTable", "Configuration", "IssuerTable", "NetworkTable"]

#: The settings that say where an issuer's keys are: one of them, or none for its metadata.
KEY_SOURCES: Final = ("jwks", "jwks_file", "jwks_uri", "metadata_uri")

_VISIBLE: Final = r"^[!#-\[\]-~]{1,256}$"
_NOT_ANY: Final = {"not": {"enum": ["*", "unspecified"]}}

#: The name of one API, as it stands in ``aud``.
_Audience = Annotated[str, Meta(pattern=_VISIBLE, extra_json_schema=_NOT_ANY)]
_Algorithm = Annotated[str, Meta(extra_json_schema={"enum": list(ALGORITHMS)})]
_Text = Annotated[str, Meta(min_length=1)]

#: A number of seconds; in the file, text like ``5s``. The file has no other numbers.
_Duration = float

#: An RFC 7638 thumbprint with SHA-256.
THUMBPRINT: Final = r"^[A-Za-z0-9_-]{43}$"

# A public key set is no secret, but someone will put a private one here by mistake: so it is never
# shown, and neither a message nor a repr quotes it.
_KEY_SET: Final = {
    "properties": {"keys": {"type": "array", "items": {"type": "object"}, "minItems": 1}},
    "required": ["keys"],
}


class ApiTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The API that is protected."""

    audience: Annotated[
        _Audience,
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


class IssuerTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One issuer whose tokens are accepted, and on which conditions."""

    profile: Annotated[
        _Text | UnsetType,
        Meta(
            description="What is known of this issuer, by name (portvakt profile list), or a TOML "
            "file of your own, relative to this one. Every setting here overrides it."
        ),
    ] = UNSET
    issuer: Annotated[
        Annotated[str, Meta(pattern=_VISIBLE)] | UnsetType,
        Meta(description="The exact value of iss, as text. Needed unless the profile has it."),
    ] = UNSET
    algorithms: Annotated[
        Annotated[tuple[_Algorithm, ...], Meta(min_length=1)] | UnsetType,
        Meta(
            description="The signature algorithms that are allowed; needed without a profile. "
            "There is no 'none', and no algorithm with a shared secret."
        ),
    ] = UNSET
    jwks_file: Annotated[
        _Text | UnsetType,
        Meta(
            description="A file with the issuer's public keys as a JWK set, relative to this file."
        ),
    ] = UNSET
    jwks: Annotated[
        dict[str, Any] | UnsetType,
        Meta(
            description="The issuer's public keys in line, as a JWK set.",
            extra_json_schema=_KEY_SET,
        ),
    ] = UNSET
    jwks_uri: Annotated[
        _Text | UnsetType,
        Meta(
            description="The URL that the issuer publishes its keys at. Without any of jwks, "
            "jwks_file, jwks_uri and metadata_uri, its metadata is looked for where OpenID Connect "
            "and RFC 8414 put it."
        ),
    ] = UNSET
    metadata_uri: Annotated[
        _Text | UnsetType,
        Meta(description="The URL of the issuer's metadata, if it is at neither of those places."),
    ] = UNSET
    jwks_hosts: Annotated[
        tuple[_Text, ...],
        Meta(
            description="Hosts, as host or host:port, that the metadata may name for the keys, "
            "beside its own."
        ),
    ] = ()
    person_kinds: Annotated[
        tuple[_Text, ...] | UnsetType,
        Meta(
            description="The kinds of person numbers that are accepted, where the profile says "
            "which claim has them: fodselsnummer, d-number, fh-number, tenor-synthetic and others."
        ),
    ] = UNSET
    strict_check_digits: Annotated[
        bool | UnsetType,
        Meta(description="Whether numbers of persons and organisations need right check digits."),
    ] = UNSET
    pin: Annotated[
        tuple[Annotated[str, Meta(pattern=THUMBPRINT)], ...],
        Meta(
            description="RFC 7638 SHA-256 thumbprints of the only keys that may be used, of those "
            "that are fetched."
        ),
    ] = ()
    private: Annotated[
        bool,
        Meta(
            description="Whether the issuer is on a private network. Without this its address must "
            "be a public one; with it, it is dialled directly and never through the proxy."
        ),
    ] = False
    unsafe_loopback: Annotated[
        bool,
        Meta(
            description="Whether the issuer may be on this machine, and its URLs http there. For "
            "development only."
        ),
    ] = False
    keys_max_age: Annotated[
        _Duration,
        Meta(
            description="How long the last good keys serve while the issuer cannot be reached. "
            "After that the answer is 503."
        ),
    ] = 86400.0
    typ: Annotated[
        Annotated[tuple[_Text, ...], Meta(min_length=1)] | UnsetType,
        Meta(
            description="The values of typ that are allowed in the token's header; 'absent' stands "
            'for a token without one. Without a profile ["at+jwt"].'
        ),
    ] = UNSET
    audience: Annotated[
        _Audience | UnsetType,
        Meta(description="What this issuer calls this API in aud, if not what [api] says."),
    ] = UNSET
    other_audiences: Annotated[
        tuple[_Audience, ...] | UnsetType,
        Meta(description="Names of other APIs that may stand in aud beside this one's."),
    ] = UNSET
    required_claims: Annotated[
        tuple[_Text, ...] | UnsetType,
        Meta(
            description="Claims that must be there, beside iss, aud, exp and iat. Without a "
            'profile ["sub", "client_id", "jti"].'
        ),
    ] = UNSET
    leeway: Annotated[
        _Duration | UnsetType,
        Meta(
            description="How much the issuer's clock and ours may differ, at most 300s. Without a "
            "profile 5s."
        ),
    ] = UNSET
    max_lifetime: Annotated[
        _Duration | UnsetType,
        Meta(
            description="The longest time between iat and exp that this issuer's tokens may have, "
            "whatever the sensitivity of the data; without it, the sensitivity decides."
        ),
    ] = UNSET
    max_age_ahead: Annotated[
        _Duration,
        Meta(description="How far ahead of our clock iat may lie, at most 300s."),
    ] = 30.0
    introspection: Annotated[
        IntrospectionTable | UnsetType,
        Meta(
            description="How it is asked about its reference tokens (RFC 7662). A token without a "
            "dot is a reference."
        ),
    ] = UNSET
    status_lists: StatusListUris = ()
    status_max_age: StatusMaxAge = 300.0
    events: Annotated[
        EventsTable | UnsetType,
        Meta(description="What it tells of sessions that ended and accounts that were disabled."),
    ] = UNSET

    def __repr__(self) -> str:
        """Show whose table it is, and no key."""
        return f"IssuerTable(issuer={self.issuer!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("issuer", self.issuer)]


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
