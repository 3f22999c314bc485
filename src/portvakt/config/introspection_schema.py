"""An issuer's ``introspection`` table, as plain data: who is asked about reference tokens."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable

__all__ = ["ASSERTION_TYPES", "IntrospectionTable"]

#: The types that a client's assertion may have; see :mod:`portvakt.oauth.client_auth`.
ASSERTION_TYPES: Final = ("client-authentication+jwt", "JWT")

_Text = Annotated[str, Meta(min_length=1)]
_Duration = float


class IntrospectionTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an issuer is asked about its reference tokens (RFC 7662)."""

    client_id: Annotated[_Text, Meta(description="The name of this API as the issuer's client.")]
    key: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="Where the private key is that this API proves its name with "
            "(private_key_jwt): a private JWK. Either this or secret."
        ),
    ] = UNSET
    secret: Annotated[
        SecretTable | UnsetType,
        Meta(
            description="Where the secret is that this API shares with the issuer "
            "(client_secret_basic). Either this or key."
        ),
    ] = UNSET
    endpoint: Annotated[
        _Text | UnsetType,
        Meta(description="The URL to ask at. Without it, the issuer's metadata says."),
    ] = UNSET
    hosts: Annotated[
        tuple[_Text, ...],
        Meta(
            description="Hosts, as host or host:port, that the metadata may name for it, beside "
            "its own."
        ),
    ] = ()
    signed: Annotated[
        bool | UnsetType,
        Meta(
            description="Whether answers must be signed (RFC 9701). Without it they must be where "
            "the issuer's metadata says that it signs them."
        ),
    ] = UNSET
    prefix: Annotated[
        _Text | UnsetType,
        Meta(
            description="What every reference token of this issuer begins with. Needed where "
            "several issuers have reference tokens."
        ),
    ] = UNSET
    assertion_typ: Annotated[
        str,
        Meta(
            description="The typ of what the key signs, for an issuer that knows only JWT.",
            extra_json_schema={"enum": list(ASSERTION_TYPES)},
        ),
    ] = ASSERTION_TYPES[0]
    timeout: Annotated[
        _Duration,
        Meta(description="The longest that a request waits for the answer, at most 30s."),
    ] = 5.0
    max_staleness: Annotated[
        _Duration,
        Meta(
            description="For how long an answer serves, at most 5m. For data of high sensitivity "
            "the issuer is asked each time."
        ),
    ] = 10.0
