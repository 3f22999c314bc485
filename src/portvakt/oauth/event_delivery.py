"""How security events are delivered: by poll (RFC 8936) and by push (RFC 8935), the messages."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from portvakt.http.response import Response
from portvakt.jose.encoding import NotCanonical, decode_object
from portvakt.oauth.security_event import MAX_NAME

__all__ = [
    "MAX_ANSWER",
    "MAX_EVENTS",
    "PUSH_TYPE",
    "MalformedPoll",
    "PollAnswer",
    "poll_request",
    "push_accepted",
    "push_refused",
    "push_unavailable",
    "read_poll",
]

#: The media type of an event that is pushed (RFC 8935 section 2).
PUSH_TYPE: Final = "application/secevent+jwt"

#: Events that one answer to a poll may bring.
MAX_EVENTS: Final = 100

#: Octets of an answer to a poll: so many events, each as long as a token may be, with their names.
MAX_ANSWER: Final = 2 * 1024 * 1024


class MalformedPoll(ValueError):  # noqa: N818  it says what the answer is
    """It is no answer to a poll. The message holds nothing of it."""


class PollAnswer(Struct, frozen=True):
    """What a poll brought. Nobody knows yet who wrote the events.

    Attributes:
        events: each event token, by the ``jti`` that it is said to have.
        more: whether more were there to be sent.
    """

    events: dict[str, str]
    more: bool

    # Tokens, and msgspec gives rich a repr of its own: neither shows them.
    def __repr__(self) -> str:
        """Show how many there are."""
        return f"PollAnswer(events={len(self.events)}, more={self.more})"

    def __rich_repr__(self) -> list[tuple[str, object]]:
        """Show to rich what repr shows."""
        return [("events", len(self.events)), ("more", self.more)]


def poll_request(taken: Sequence[str], refused: Mapping[str, tuple[str, str]]) -> bytes:
    """Write a poll that asks for what is there now (RFC 8936 section 2.4).

    Parameters:
        taken: the ``jti`` of events that are never to be sent again: they are acknowledged.
        refused: of events that are not acceptable, the error code and why, in fixed words.
    """
    request: dict[str, Any] = {"maxEvents": MAX_EVENTS, "returnImmediately": True}
    if taken:
        request["ack"] = taken
    if refused:
        request["setErrs"] = {
            token_id: {"err": err, "description": why} for token_id, (err, why) in refused.items()
        }
    return msgspec.json.encode(request)


def read_poll(text: bytes) -> PollAnswer:
    """Read the answer to a poll (RFC 8936 section 2.3), strictly.

    Raises:
        MalformedPoll: if it is none.
    """
    try:
        members = decode_object(text)
    except NotCanonical as flaw:
        raise MalformedPoll(f"the answer is not strict JSON: {flaw}") from None
    events, more = members.get("sets"), members.get("moreAvailable", False)
    if type(events) is not dict or any(type(token) is not str for token in events.values()):
        raise MalformedPoll("sets is not an object with strings")
    if any(not 0 < len(token_id) <= MAX_NAME for token_id in events):
        raise MalformedPoll(f"sets has a name that is not of 1 to {MAX_NAME} characters")
    if len(events) > MAX_EVENTS:
        raise MalformedPoll(f"sets has more than the {MAX_EVENTS} events that were asked for")
    if type(more) is not bool:
        raise MalformedPoll("moreAvailable is neither true nor false")
    return PollAnswer(events, more)


_NOBODY_STORES: Final = ("Cache-Control", "no-store")


def push_accepted() -> Response:
    """Answer that an event was taken for good (RFC 8935 section 2.2)."""
    return Response(202, (("Content-Length", "0"), _NOBODY_STORES), b"")


def push_refused(err: str, why: str) -> Response:
    """Answer that an event is not acceptable, and never will be (RFC 8935 section 2.3).

    Parameters:
        err: an error code of section 2.4.
        why: fixed words, without anything that was sent.
    """
    body = msgspec.json.encode({"err": err, "description": why})
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Language", "en"),
        ("Content-Length", str(len(body))),
        _NOBODY_STORES,
    )
    return Response(400, headers, body)


def push_unavailable(retry_after: int) -> Response:
    """Answer that nothing was decided: the event has to be sent again.

    Parameters:
        retry_after: after how many seconds.
    """
    headers = (("Content-Length", "0"), ("Retry-After", str(retry_after)), _NOBODY_STORES)
    return Response(503, headers, b"")
