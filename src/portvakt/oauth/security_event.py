"""Security events (RFC 8417): what happened to a person, a session or a client, and who is it.

An event is a signed statement of an issuer of the policy. Of all kinds that there are, those are
read that end something: of CAEP 1.0 ``session-revoked``, ``token-claims-change`` and
``credential-change``, of RISC 1.0 the end of an account or its sessions. Whoever they are about is
named by RFC 9493 and the Shared Signals Framework; what of it a token also says can be revoked.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from msgspec import Struct

from portvakt.errors import Unavailable
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.refusal import Code

__all__ = [
    "MAX_NAME",
    "SECURITY_EVENT_TYPE",
    "MalformedEvent",
    "SecurityEvent",
    "SubjectEvent",
    "make_event",
    "read_event",
]

#: The ``typ`` of a security event token (RFC 8417 section 2.3), as types are compared.
SECURITY_EVENT_TYPE: Final = "secevent+jwt"

#: Characters of a name or of a ``jti``, as of an access token's.
MAX_NAME: Final = 1024

_CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"

#: The event whose subject, if it is nothing but an opaque name, may be a session or a person.
_SESSION_REVOKED: Final = f"{_CAEP}session-revoked"
_CREDENTIAL_CHANGE: Final = f"{_CAEP}credential-change"

#: The events after which tokens of their subject, issued until then, are good no longer.
_ENDING: Final = frozenset(
    {
        _SESSION_REVOKED,
        _CREDENTIAL_CHANGE,
        f"{_CAEP}token-claims-change",
        f"{_RISC}account-disabled",
        f"{_RISC}account-purged",
        f"{_RISC}account-credential-change-required",
        f"{_RISC}credential-compromise",
        f"{_RISC}sessions-revoked",
    }
)

#: Seconds.
_DAY: Final = 86400.0

#: The error codes of RFC 8935 section 2.4 that a malformed event has.
_REQUEST: Final = "invalid_request"
_ISSUER: Final = "invalid_issuer"
_AUDIENCE: Final = "invalid_audience"


class MalformedEvent(ValueError):  # noqa: N818  it says what the event is
    """It is no event for this API. The message holds nothing of it.

    Attributes:
        err: the error code of RFC 8935 section 2.4.
    """

    def __init__(self, message: str, err: str = _REQUEST) -> None:
        self.err = err
        super().__init__(message)


class SubjectEvent(Struct, frozen=True, gc=False):
    """One thing that is revoked by an event.

    Attributes:
        kind: what it is, in the words of what can be revoked: ``token``, ``session``, ``subject``
            or ``client``.
        issuer: the issuer that gave it its name.
        value: its name.
        at: tokens issued before this are revoked, in seconds since 1970.
    """

    kind: str
    issuer: str
    value: str
    at: float

    # The name is personal, and msgspec gives rich a repr of its own: neither shows it.
    def __repr__(self) -> str:
        """Show what it is, not whose."""
        return f"SubjectEvent(kind={self.kind!r})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("kind", self.kind)]


class SecurityEvent(Struct, frozen=True, gc=False):
    """A genuine event token, and what follows from it.

    Attributes:
        issuer: who says it.
        token_id: its ``jti``: two tokens with one say the same.
        revoked: what is revoked; empty where it is about something else.
        unusable: why something is not revoked that should be, in fixed words: its subject is named
            in a way that no token is.
    """

    issuer: str
    token_id: str
    revoked: tuple[SubjectEvent, ...]
    unusable: tuple[str, ...]

    def __repr__(self) -> str:
        """Show how much follows from it."""
        return f"SecurityEvent(revoked={len(self.revoked)}, unusable={len(self.unusable)})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("revoked", len(self.revoked)), ("unusable", len(self.unusable))]


def read_event(
    payload: bytes, *, issuer: str, audience: str, now: float, ahead: float, sessions: bool
) -> SecurityEvent:
    """Read the payload of a security event token (RFC 8417 section 2.2), strictly.

    Does not check the signature and the header: whoever calls has verified both. Does not check
    whether it came before, nor how old it is: what was revoked once may be revoked again, and an
    old event revokes old tokens only. Does not read ``exp``: what happened has happened for good,
    and the Shared Signals Framework has none.

    Parameters:
        payload: the payload of a JWS of type :data:`SECURITY_EVENT_TYPE`, verified with a key of
            *issuer*.
        issuer: whose it must be.
        audience: the name by which its issuer knows this receiver, which ``aud`` must contain.
        now: seconds since 1970.
        ahead: how many seconds ``iat`` may lie in the future.
        sessions: whether every token of *issuer* says in which session it was issued. Where it may
            not, an event about one session of a person revokes the person's tokens too.

    Raises:
        MalformedEvent: if it is another receiver's, or is none.
        Unavailable: if it is issued later today. It may be our clock that is wrong, and an event
            that was refused is never sent again, to nobody.
    """
    # (1) One JSON object.
    try:
        members = decode_object(payload)
    except NotCanonical as flaw:
        raise MalformedEvent(f"the event is not strict JSON: {flaw}") from None

    # (2) From this issuer to this receiver.
    get = members.get
    if get("iss") != issuer:
        raise MalformedEvent("iss is not the issuer whose key was selected", _ISSUER)
    aud = get("aud")
    if aud != audience and not (type(aud) is list and audience in aud):
        raise MalformedEvent("aud does not contain this receiver", _AUDIENCE)

    # (3) Which, and when.
    token_id, issued_at = get("jti"), get("iat")
    if not _is_name(token_id):
        raise MalformedEvent(f"jti is not a string of 1 to {MAX_NAME} characters")
    if not _is_time(issued_at):
        raise MalformedEvent("iat is missing or not a number")
    if not issued_at <= now + _DAY:
        raise MalformedEvent("the event is issued in the future")
    if not issued_at <= now + ahead:
        raise Unavailable(Code.REVOCATION_UNAVAILABLE, "an event is issued in the future")

    # (4) At least one event, each an object.
    events = get("events")
    if type(events) is not dict or not events:
        raise MalformedEvent("events is not an object with a member")
    if any(type(event) is not dict for event in events.values()):
        raise MalformedEvent("an event is not an object")

    # (5) What ends with them.
    revoked: dict[SubjectEvent, None] = {}
    unusable: dict[str, None] = {}
    for name, event in events.items():
        if name not in _ENDING or _only_adds(name, event):
            continue
        at = _end_of(members, event, issued_at)
        subject = _subject_of(members, event)
        reader = _Reader(issuer, sessions=sessions, opaque_session=name == _SESSION_REVOKED)
        named = [SubjectEvent(kind, issuer, value, at) for kind, value in reader.read(subject)]
        revoked.update(dict.fromkeys(named))
        if not named:
            unusable[f"its subject is {_what(subject)}"] = None
    return SecurityEvent(issuer, token_id, tuple(revoked), tuple(unusable))


def _subject_of(members: Mapping[str, Any], event: Mapping[str, Any]) -> object:
    """Return whom an event is about: SSF's place, its drafts' place, RFC 8417's own."""
    if "subject" in event:
        return event["subject"]
    if "sub_id" in members or "sub" not in members:
        return members.get("sub_id")
    return {"format": "iss_sub", "iss": members["iss"], "sub": members["sub"]}


def _only_adds(name: str, event: Mapping[str, Any]) -> bool:
    # A second key for the same door: what was opened with the first stays open.
    return name == _CREDENTIAL_CHANGE and event.get("change_type") == "create"


def _end_of(members: Mapping[str, Any], event: Mapping[str, Any], issued_at: float) -> float:
    """Return until when tokens of the subject were issued that are good no longer.

    When it happened (CAEP section 2, RFC 8417 section 2.2), as far as that is said. No later than
    the event itself: old drafts count milliseconds, and a date far ahead would refuse for ever. To
    the end of the second: ``iat`` of a token has no finer parts.
    """
    for time in (event.get("event_timestamp"), members.get("toe")):
        if _is_time(time) and 0 < time <= issued_at:
            return float(time // 1 + 1)
    return float(issued_at // 1 + 1)


class _Reader:
    """Finds what tokens also say in the subject of one event."""

    __slots__ = ("_issuer", "_opaque_session", "_sessions")

    def __init__(self, issuer: str, *, sessions: bool, opaque_session: bool) -> None:
        self._issuer = issuer
        self._sessions = sessions
        self._opaque_session = opaque_session

    def read(self, subject: object) -> list[tuple[str, str]]:
        """Return kinds and names; none if no token is named like that."""
        if type(subject) is not dict:
            return []
        if subject.get("format") == "complex":
            return self._complex(subject)
        found = [*_names(subject, self._issuer, "subject")]
        # An opaque name of somebody whose session ends: CAEP's own example means the session. In
        # whichever of the two places a token has it, it is revoked.
        if self._opaque_session and subject.get("format") == "opaque":
            found += [("session", value) for _, value in found]
        return found

    def _complex(self, subject: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Read a subject of several parts (SSF section 3.2), which together name one thing.

        Only one part of it can be revoked, so the narrowest that surely names all of its tokens is.
        """
        session = [*_names(subject.get("session"), self._issuer, "session")]
        if session and self._sessions:
            return session
        user = [*_names(subject.get("user"), self._issuer, "subject")]
        if session or user:
            return session + user
        return [*_names(subject.get("application"), self._issuer, "client")]


def _names(subject: object, issuer: str, kind: str) -> Iterator[tuple[str, str]]:
    """Yield kinds and names of a simple subject (RFC 9493 section 3.2, SSF section 3.3)."""
    match subject:
        case {"format": "aliases", "identifiers": list(several)}:
            for one in several:
                if type(one) is dict and one.get("format") != "aliases":
                    yield from _names(one, issuer, kind)
        case {"format": "opaque", "id": value} if _is_name(value):
            yield kind, value
        # What another issuer calls somebody is no business of this one.
        case {"format": "iss_sub", "iss": named, "sub": value} if named == issuer:
            if _is_name(value):
                yield kind, value
        case {"format": "jwt_id", "iss": named, "jti": value} if named == issuer:
            if _is_name(value):
                yield "token", value


#: Formats of subjects that may be named in a log.
_FORMATS: Final = frozenset(
    {
        "account",
        "aliases",
        "complex",
        "did",
        "email",
        "ip-addresses",
        "iss_sub",
        "jwt_id",
        "opaque",
        "phone_number",
        "saml_assertion_id",
        "uri",
    }
)


def _what(subject: object) -> str:
    name = subject.get("format") if type(subject) is dict else None
    if type(name) is str and name in _FORMATS:
        return f"of the format {name}, and nothing in it is what a token says"
    return "missing, or of no known format"


def _is_name(value: object) -> TypeGuard[str]:
    return type(value) is str and 0 < len(value) <= MAX_NAME


def _is_time(value: object) -> TypeGuard[float]:
    return type(value) is int or type(value) is float


def make_event(
    *,
    issuer: str,
    audience: str,
    token_id: str,
    now: float,
    events: Mapping[str, Mapping[str, Any]],
    subject: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the claims of a security event token, to be signed as :data:`SECURITY_EVENT_TYPE`.

    Parameters:
        issuer: who says it.
        audience: to whom.
        token_id: its ``jti``, never used before.
        now: seconds since 1970.
        events: by the URI of its type, each event.
        subject: whom all of them are about, as RFC 9493 writes it.
    """
    return {
        "iss": issuer,
        "aud": audience,
        "iat": int(now),
        "jti": token_id,
        **({} if subject is None else {"sub_id": subject}),
        "events": events,
    }
