"""The ``[[issuer]]`` tables of the policy file, as plain data: whose tokens are accepted."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.feeds_schema import EventsTable, StatusListUris, StatusMaxAge
from portvakt.config.introspection_schema import IntrospectionTable
from portvakt.jose.algorithms import ALGORITHMS

__all__ = ["KEY_SOURCES", "THUMBPRINT", "Audience", "IssuerTable"]

#: The settings that say where an issuer's keys are: one of them, or none for its metadata.
KEY_SOURCES: Final = ("jwks", "jwks_file", "jwks_uri", "metadata_uri")

_VISIBLE: Final = r"^[!#-\[\]-~]{1,256}$"
_NOT_ANY: Final = {"not": {"enum": ["*", "unspecified"]}}

#: The name of one API, as it stands in ``aud``.
Audience = Annotated[str, Meta(pattern=_VISIBLE, extra_json_schema=_NOT_ANY)]
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
        Audience | UnsetType,
        Meta(description="What this issuer calls this API in aud, if not what [api] says."),
    ] = UNSET
    other_audiences: Annotated[
        tuple[Audience, ...] | UnsetType,
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
