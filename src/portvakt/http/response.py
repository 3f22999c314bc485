"""What to answer instead of the API: status, headers and a problem+json body (RFC 9457)."""

import msgspec
from msgspec import Struct

__all__ = ["Response", "problem"]


class Response(Struct, frozen=True):
    """A complete HTTP answer, ready to be sent.

    Attributes:
        status: the HTTP status code.
        headers: name and value of each header, ASCII only.
        body: the octets of the body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def problem(
    status: int, code: str, sentence: str, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    """Make an answer of media type ``application/problem+json`` (RFC 9457 section 3).

    Parameters:
        status: the HTTP status code, repeated in the body.
        code: the ``title``: an OAuth error code, or a word for the status.
        sentence: the ``detail``: one fixed sentence, without anything the caller sent.
        headers: further headers, such as ``WWW-Authenticate``.
    """
    body = msgspec.json.encode(
        {"type": "about:blank", "title": code, "status": status, "detail": sentence}
    )
    return Response(
        status,
        (
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            # A refusal depends on the credential and on the time: nobody may store it.
            ("Cache-Control", "no-store"),
            *headers,
        ),
        body,
    )
