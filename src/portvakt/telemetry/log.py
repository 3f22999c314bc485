"""One line of JSON for each decision: what was decided, by which rule, and why. Nothing of anyone.

A line holds words from closed lists and numbers: the outcome, the code and step of a refusal, the
template of the rule (never the path), the method if it is a known one, the issuer by its name in
the policy once its token was verified, how long it took. The detail of a refusal is what the guard
says to its operator; it holds nothing of a token or request.
"""

import json
import logging
import time
from collections.abc import Callable
from random import random
from typing import Final

import msgspec
from msgspec import Struct

from portvakt.http.request import HttpRequest
from portvakt.policy.decision import Decision
from portvakt.telemetry.outcome import UNAVAILABLE, outcome_of, route_of

__all__ = ["LOGGER", "Log", "Put", "line_of", "lost_line", "through_logging"]

#: The logger that lines go to where a policy says so.
LOGGER: Final = "portvakt.decisions"

#: The methods of RFC 9110 and RFC 5789. Any other is chosen by the caller, and not said.
_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)

#: Characters of a detail that are kept. None is longer; one line must fit into one write.
_MOST_DETAIL: Final = 1000

#: Takes a line, and whether it may be left out when there is little room, and its outcome.
Put = Callable[[bytes, bool, str], object]


class _Line(Struct, omit_defaults=True, kw_only=True):
    """One line. What has nothing to say is left out."""

    time: str
    outcome: str
    route: str
    code: str | None = None
    step: str | None = None
    method: str | None = None
    issuer: str | None = None
    took_ms: float | None = None
    remembered: bool | None = None
    again: bool = False
    unconfirmed: tuple[str, ...] = ()
    detail: str | None = None
    sampled: float | None = None


class _Lost(Struct):
    time: str
    lines_lost: int


_encode: Final = msgspec.json.Encoder().encode


class Log:
    """An observer that writes a line of each decision.

    Parameters:
        put: where lines go.
        admitted: which share of admissions is written, from 0 to 1, picked at random. A refusal is
            always written, and so is an admission that passed over a register.
    """

    def __init__(self, put: Put, admitted: float = 1.0) -> None:
        self._put = put
        self._share = admitted
        self._sampled = admitted if admitted < 1 else None

    def __call__(self, request: HttpRequest, decision: Decision) -> None:
        """Write a line of a decision."""
        optional = decision.refusal is None and not decision.unconfirmed
        if optional and self._share < 1 and random() >= self._share:  # noqa: S311  no secret
            return
        line = line_of(request, decision, self._sampled if optional else None)
        self._put(line, optional, outcome_of(decision))


def line_of(request: HttpRequest, decision: Decision, sampled: float | None = None) -> bytes:
    """Return a decision as a line of JSON in ASCII, with the line break.

    Parameters:
        request: of which only the method is read.
        decision: what became of it.
        sampled: which share of lines like this one is written; None for all.
    """
    refusal, seconds, method = decision.refusal, decision.seconds, request.method
    line = _Line(
        time=_written(decision.at),
        outcome=outcome_of(decision),
        route=route_of(decision.route),
        code=None if refusal is None else refusal.code.value,
        step=None if refusal is None else refusal.code.step.name.lower(),
        method=method if method in _METHODS else None,
        issuer=decision.issuer,
        took_ms=None if seconds is None else round(seconds * 1000, 3),
        remembered=decision.remembered,
        again=decision.again,
        unconfirmed=decision.unconfirmed,
        detail=None if refusal is None or not refusal.detail else refusal.detail[:_MOST_DETAIL],
        sampled=sampled,
    )
    octets = _encode(line)
    if not octets.isascii():
        # There are characters beyond ASCII that some take for the end of a line.
        octets = json.dumps(msgspec.json.decode(octets), separators=(",", ":")).encode("ascii")
    return octets + b"\n"


def lost_line(count: int) -> bytes:
    """Return the line that says how many were lost, as there was no room or no way to write."""
    return _encode(_Lost(_written(time.time()), count)) + b"\n"


def through_logging(line: bytes, _optional: bool, outcome: str) -> None:  # noqa: FBT001  see Put
    """Hand a line to :mod:`logging`, for the application to put where its other lines are.

    An admission or refusal is of level INFO; what is not the caller's doing is a WARNING.
    """
    level = logging.WARNING if outcome == UNAVAILABLE else logging.INFO
    _decisions.log(level, "%s", line[:-1].decode("ascii"))


_decisions: Final = logging.getLogger(LOGGER)

#: The last second that was written, and how: one second has many lines.
_second: tuple[int, str] = (0, "1970-01-01T00:00:00")


def _written(at: float) -> str:
    """Write a time as RFC 3339 has it, in UTC, to the millisecond."""
    global _second  # noqa: PLW0603  replaced as a whole: a thread sees the one or the other
    whole, text = _second
    if int(at) != whole:
        whole = int(at)
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
        _second = whole, text
    return f"{text}.{int((at - whole) * 1000):03d}Z"
