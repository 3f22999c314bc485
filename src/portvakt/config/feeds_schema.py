"""What an issuer says of its tokens later on, as plain data: status lists and security events."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.config.secrets_schema import SecretTable

__all__ = ["EventsTable", "StatusListUris", "StatusMaxAge"]

_Text = Annotated[str, Meta(min_length=1)]

#: A number of seconds; in the file, text like ``5s``.
_Duration = float

#: The setting ``status_lists`` of an issuer.
StatusListUris = Annotated[
    tuple[_Text, ...],
    Meta(
        description="The URLs of the Token Status Lists that the issuer's tokens may name, each "
        "exactly as they do. They are fetched ahead; a token that names another list is not "
        "admitted. A token that names none is in no list: require the claim status if all must."
    ),
]

#: The setting ``status_max_age`` of an issuer.
StatusMaxAge = Annotated[
    _Duration,
    Meta(
        description="How old a status list may be and still serve, 10s to 24h: what the issuer "
        "revokes is refused after that time at the latest. A shorter ttl of the list precedes it."
    ),
]


class EventsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Security events of an issuer: it is asked for them, or it pushes them, or both."""

    poll: Annotated[
        _Text | UnsetType,
        Meta(description="The URL where the issuer is asked for events (RFC 8936)."),
    ] = UNSET
    token: Annotated[
        SecretTable | UnsetType,
        Meta(description="Where the bearer token is that the issuer wants to see in a poll."),
    ] = UNSET
    push: Annotated[
        bool,
        Meta(description="Whether the issuer pushes events to this API (RFC 8935)."),
    ] = False
    audience: Annotated[
        _Text | UnsetType,
        Meta(description="The aud of its events; the audience of its tokens if left out."),
    ] = UNSET
    interval: Annotated[
        _Duration,
        Meta(description="How much time is between two polls, 1s to 5m."),
    ] = 5.0
    max_staleness: Annotated[
        _Duration,
        Meta(
            description="How long ago the last complete poll may have begun, at most 24h. After "
            "that nobody knows what was revoked, and the answer is 503."
        ),
    ] = 300.0
