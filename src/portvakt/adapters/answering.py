"""How a response of the guard, and headers of it, reach the client of an ASGI application."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from portvakt.adapters.judgement import Message, Send
from portvakt.guard import Response

__all__ = ["POLICY_VIOLATION", "adding_headers", "answer"]

#: The messages in which an application, or who answers for it, states its headers.
_HEADED: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)

#: RFC 6455 section 7.4.1: the message violates the policy of who receives it.
POLICY_VIOLATION: Final = 1008


def adding_headers(headers: Callable[[], Collection[tuple[str, str]]], send: Send) -> Send:
    """Return a ``send`` that adds headers to what the application answers.

    Parameters:
        headers: asked when the application answers. One that the answer has already is left as it
            is there: it may be a refusal that states its own.
        send: where messages go; none is changed, those with headers are sent as copies.
    """

    def send_with_headers(message: Message) -> Awaitable[None]:
        # Hardly any answer has something to add, and this is all that it pays for the others.
        if message["type"] in _HEADED and (further := headers()):
            stated = list(message.get("headers") or ())
            names = {bytes(name).lower() for name, _ in stated}
            added = [one for one in _encoded(further) if one[0] not in names]
            message = {**message, "headers": [*stated, *added]}
        return send(message)

    return send_with_headers


def _encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in headers]


async def answer(response: Response, scope: Mapping[str, Any], send: Send) -> None:
    """Send a complete response to a request, or to a WebSocket handshake before it is accepted."""
    prefix = ""
    if scope["type"] == "websocket":
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})
            return
        prefix = "websocket."
    await send(
        {
            "type": f"{prefix}http.response.start",
            "status": response.status,
            "headers": _encoded(response.headers),
        }
    )
    await send({"type": f"{prefix}http.response.body", "body": response.body})
