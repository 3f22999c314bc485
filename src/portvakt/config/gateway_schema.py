"""The ``[gateway]`` table of the policy file, as plain data: how ``portvakt serve`` serves."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable
from portvakt.http.presets import PRESETS

__all__ = ["FIELDS", "FORMS", "GatewayTable", "IdentityTable", "TlsTable"]

#: What a gateway can tell the API about who was admitted.
FIELDS: Final = (
    "issuer",
    "subject",
    "client_id",
    "scopes",
    "security_level",
    "pid",
    "hpr_number",
    "organisation",
    "organisation_child",
    "supplier",
    "token_id",
    "expires_at",
)
#: All but the person's number, which goes where somebody wrote down that it must.
DEFAULT_FIELDS: Final = tuple(one for one in FIELDS if one != "pid")

#: How it is told.
FORMS: Final = ("headers", "jwt")

_Text = Annotated[str, Meta(min_length=1)]
_Field = Annotated[str, Meta(extra_json_schema={"enum": list(FIELDS)})]
_Duration = float


class TlsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway's own TLS connection with the proxy."""

    certificate: Annotated[
        _Text, Meta(description="The file with the gateway's certificate and its chain, PEM.")
    ]
    key: Annotated[
        _Text,
        Meta(
            description="The file with its private key, PEM (PKCS #8). Others must not be able to "
            "read it."
        ),
    ]
    client_ca: Annotated[
        _Text | UnsetType,
        Meta(
            description="The file with the authorities of the proxy's certificate: whoever shows "
            "none of theirs is not spoken with."
        ),
    ] = UNSET


class IdentityTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the API is told about who was admitted."""

    form: Annotated[
        str,
        Meta(
            description="headers: X-Portvakt-Subject and others. jwt: one short-lived JWT in "
            "X-Portvakt-Token, by whose signature the API sees that it came from here.",
            extra_json_schema={"enum": list(FORMS)},
        ),
    ] = "headers"
    fields: Annotated[
        tuple[_Field, ...],
        Meta(description="What is told. All but pid, if left out."),
    ] = DEFAULT_FIELDS
    key: Annotated[
        SecretTable | UnsetType,
        Meta(description="Where the private key is that signs the JWT: a private JWK, or PEM."),
    ] = UNSET
    algorithm: Annotated[
        _Text | UnsetType,
        Meta(description="With which algorithm, for a key that leaves a choice."),
    ] = UNSET
    lifetime: Annotated[
        _Duration,
        Meta(description="How long the JWT holds: 5s to 5m, never longer than the token."),
    ] = 30.0


class GatewayTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The gateway of ``portvakt serve``, that a proxy asks before it passes a request on."""

    proxy: Annotated[
        str,
        Meta(
            description="Which proxy asks: it decides in which headers the client's method, target "
            "and certificate are. nginx, caddy, traefik, envoy or haproxy.",
            extra_json_schema={"enum": list(PRESETS)},
        ),
    ]
    listen: Annotated[
        _Text,
        Meta(
            description="Where the proxy reaches the gateway: unix:/run/portvakt/gateway.sock, or "
            "an address and a port as 127.0.0.1:8600."
        ),
    ] = "127.0.0.1:8600"
    socket_mode: Annotated[
        str,
        Meta(
            description="Who may connect to the Unix socket, in octal. The proxy has to be able to "
            "write to it.",
            pattern="^0?[0-7]{3}$",
        ),
    ] = "0660"
    trusted: Annotated[
        tuple[_Text, ...],
        Meta(
            description="Where the proxy is: addresses, and networks as 10.0.0.0/8. Nobody else is "
            "answered. Not needed for a Unix socket, nor with a secret."
        ),
    ] = ()
    secret: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="Where the secret is that the proxy shows in X-Portvakt-Secret: at least "
            "32 characters. Whoever lacks it is not answered."
        ),
    ] = UNSET
    workers: Annotated[
        int, Meta(description="How many processes judge, 1 to 64: as many as there are cores.")
    ] = 1
    tls: Annotated[
        TlsTable | UnsetType, Meta(description="The gateway's own TLS, with the proxy.")
    ] = UNSET
    unsafe_plaintext: Annotated[
        bool,
        Meta(
            description="Whether tokens, and what is shown to the admin address, may cross a "
            "network without TLS."
        ),
    ] = False
    identity: Annotated[
        IdentityTable, Meta(description="What the API is told about who was admitted.")
    ] = IdentityTable()
    ext_authz: Annotated[
        _Text | UnsetType,
        Meta(
            description="Where Envoy reaches the gateway by gRPC (ext_authz): an address and a "
            "port, or unix:/path."
        ),
    ] = UNSET
    admin: Annotated[
        _Text,
        Meta(
            description="Where /healthz, /readyz, /metrics and revocation are: an address and a "
            "port, unix:/path, or off."
        ),
    ] = "127.0.0.1:8601"
    admin_token: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="Where the secret is that whoever revokes at the admin address shows as a "
            "Bearer token: at least 32 characters. Without it nothing can be revoked there."
        ),
    ] = UNSET
    header_timeout: Annotated[
        _Duration,
        Meta(
            description="How long a connection may take to send the head of a request, from the "
            "start or since the last one: 1s to 1m."
        ),
    ] = 10.0
    grace: Annotated[
        _Duration,
        Meta(description="How long requests under way may take to end at a stop: 1s to 5m."),
    ] = 10.0
