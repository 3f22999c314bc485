"""A subrequest of a proxy in; who was admitted, or the refusal, out.

What a proxy says of its client is believed from nobody by default: only over a Unix socket, from a
listed address, or with a shared secret. The client's method and target are in headers that the
proxy writes over; the target is judged exactly as it was written. All other headers are the
client's own, and the guard judges them as in any request.
"""

from __future__ import annotations

import logging
import re
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from portvakt.errors import Refused
from portvakt.gateway.identity import PREFIX
from portvakt.http.request import HttpRequest
from portvakt.http.response import Response, problem
from portvakt.oauth.bearer import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portvakt.gateway.identity import Teller
    from portvakt.guard.guard import Guard
    from portvakt.http.forwarded import Proxies
    from portvakt.http.presets import Preset

__all__ = ["Answer", "ForwardAuth", "folded", "folds_to_identity", "folds_to_override", "rendered"]

_log: Final = logging.getLogger("portvakt.gateway")

#: The proxy's own secret, in lower case.
SECRET_HEADER: Final = "x-portvakt-secret"  # noqa: S105  its name

#: What a proxy that passes on but 401 and 403 finds the rest in.
STATUS_HEADER: Final = "x-portvakt-status"
PROBLEM_HEADER: Final = "x-portvakt-problem"

#: Peers whose answer is remembered at most.
_MAX_PEERS: Final = 1024

#: Refusals rendered at most; there is one for each code and each route's demands.
_MAX_RENDERED: Final = 1024

_STRANGER: Final = problem(
    403,
    "forbidden",
    "This gateway answers its proxy only: see [gateway] trusted, secret and listen.",
)


class Answer(Struct, frozen=True, gc=False):
    """What the proxy is answered.

    Attributes:
        status: the HTTP status code.
        headers: names in lower case.
        body: the octets of the body.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class ForwardAuth:
    """Judges what a proxy asks about.

    Parameters:
        guard: who judges.
        preset: how the proxy tells what its client asked.
        proxies: who is the proxy, by address; None where the secret alone tells.
        certificates: reads a client's certificate out of what a trusted proxy wrote.
        teller: tells the API who was admitted.
        secret: what the proxy shows; None where its address alone tells.
    """

    def __init__(
        self,
        guard: Guard,
        preset: Preset,
        proxies: Proxies | None,
        certificates: Proxies,
        teller: Teller,
        secret: str | None,
    ) -> None:
        self.guard = guard
        self._check = guard.check
        self._method, self._target = preset.method, preset.target
        self._relays = preset.relays
        self._proxies = proxies
        self._certificates = certificates
        self._tell = teller.tell
        self._secret = None if secret is None else secret.encode()
        self._stranger = rendered(_STRANGER)
        self._peers: dict[str, bool] = {}
        self._refusals: dict[int, tuple[Response, Answer]] = {}

    async def answer(self, headers: list[tuple[str, str]], peer: str | None) -> Answer:
        """Return what the proxy is answered.

        Parameters:
            headers: every header line of its request that the server could read, names in lower
                case.
            peer: the address at the other end of the socket;
                :data:`~portvakt.http.forwarded.UNIX` for a Unix socket.
        """
        # (1) Who asks?
        if not self.believes(headers, peer):
            return self._stranger
        # (2) What did its client ask?
        request, flaw = self._original(headers)
        # (3) The guard decides.
        decision = self.guard.malformed(request, flaw) if flaw else await self._check(request)
        response = decision.response
        if response is not None:
            return self._refused(response)
        # (4) Who was admitted?
        told = self._tell(decision.token, decision.at)
        if told is None:
            too_long = "what the API is to be told of the token is too long for a head"
            response = self.guard.malformed(request, too_long).response
            return self._refused(response) if response is not None else self._stranger
        if decision.headers:
            told = [*told, *((name.lower(), value) for name, value in decision.headers)]
        return Answer(200, told, b"")

    def believes(self, headers: Iterable[tuple[str, str]], peer: str | None) -> bool:
        """Whether who asks is the proxy; by default it is nobody.

        Parameters:
            headers: those of its request, names in lower case.
            peer: as for :meth:`answer`.
        """
        if self._proxies is not None:
            believed = self._peers.get(peer or "")
            if believed is None:
                believed = self._proxies.trusts(peer)
                if len(self._peers) < _MAX_PEERS:
                    self._peers[peer or ""] = believed
                    if not believed:
                        # Once for each: whoever set trusted wrong looks for this line.
                        _log.warning(
                            "not the proxy of [gateway] trusted, so not answered: %a", peer
                        )
            if not believed:
                return False
        if self._secret is not None:
            shown = [value for name, value in headers if name == SECRET_HEADER]
            return len(shown) == 1 and compare_digest(shown[0].encode(), self._secret)
        return True

    def _original(self, headers: list[tuple[str, str]]) -> tuple[HttpRequest, str | None]:
        """Return the request as the client made it to the proxy, and why it cannot be judged."""
        method = target = None
        flaw = None
        for name, value in headers:
            if name[0] != "x":
                continue  # All that is looked for here begins so.
            if name == self._method:
                flaw = flaw or (None if method is None else "the proxy repeats the method")
                method = value
            elif name == self._target:
                flaw = flaw or (None if target is None else "the proxy repeats the target")
                target = value
            elif name[2:10] == "portvakt" and folds_to_identity(name):
                flaw = flaw or "a header would be taken for one that tells who was admitted"
            elif "method" in name and folds_to_override(name):
                flaw = flaw or "a header would be taken for one that overrides the method"
        if method is None or target is None:
            flaw = flaw or f"the proxy did not write {self._method} and {self._target}"
        elif target[:1] != "/":
            flaw = flaw or "the target is not a path"
        # Without a peer: the guard's own [proxy] has no say here, for this is no proxy of its.
        request = HttpRequest(method=method or "", url=target or "", headers=tuple(headers))
        try:
            return self._certificates.believed(request), flaw
        except Refused as refused:
            return request, flaw or refused.refusal.detail

    def _refused(self, response: Response) -> Answer:
        """Return a refusal, or a fixed answer, as this proxy passes it on."""
        known = self._refusals.get(id(response))
        if known is not None and known[0] is response:
            return known[1]
        answer = rendered(response)
        if self._relays is not None and response.status >= 400:
            # The proxy's own configuration makes the true answer of these again.
            status = response.status if response.status in self._relays else 403
            told = [
                (STATUS_HEADER, str(response.status)),
                (PROBLEM_HEADER, response.body.decode("ascii")),
            ]
            answer = Answer(status, [*answer.headers, *told], answer.body)
        if len(self._refusals) < _MAX_RENDERED:
            self._refusals[id(response)] = response, answer
        return answer


# Whatever is no letter or digit becomes an underscore in CGI and WSGI, and so one name.
_FOLDED: Final = re.compile(r"[^a-z0-9]")
_PLAIN: Final = re.compile(r"[a-z0-9-]+")


def folded(name: str) -> str:
    """Return the one spelling of all names, in lower case, that some server reads as the same."""
    return _FOLDED.sub("-", name)


def folds_to_identity(name: str) -> bool:
    """Whether a header, in lower case, is another spelling of an identity header.

    ``x_portvakt_subject`` and ``x-portvakt-subject`` are the same to WSGI, CGI and some proxies.
    The plain spelling is none: proxies write over it, or take it away.
    """
    return folded(name).startswith(PREFIX) and not _PLAIN.fullmatch(name)


def folds_to_override(name: str) -> bool:
    """Whether a header, in lower case, is another spelling of one that overrides the method.

    The plain spelling is none: the guard refuses it.
    """
    return name not in OVERRIDES and folded(name) in OVERRIDES


def rendered(response: Response) -> Answer:
    """Return a response as an answer."""
    headers = [(name.lower(), value) for name, value in response.headers]
    # The server states the length itself.
    kept = [one for one in headers if one[0] != "content-length"]
    return Answer(response.status, kept, response.body)
