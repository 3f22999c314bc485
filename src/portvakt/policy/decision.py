"""What comes out of the guard."""

from typing import Final, NoReturn, Protocol

from msgspec import Struct

from portvakt.http.request import HttpRequest
from portvakt.http.response import Response
from portvakt.jose.claims import Claims
from portvakt.policy.access_token import AccessToken
from portvakt.policy.routes import Route
from portvakt.refusal import Refusal

__all__ = ["NO_HEADERS", "Decision", "Observer"]

#: What most decisions have to add to an answer.
NO_HEADERS: Final[tuple[tuple[str, str], ...]] = ()


class Decision(Struct, frozen=True, gc=False):
    """The verdict on one request.

    Attributes:
        token: the access token; None on a public route and in every refusal.
        refusal: why the request is refused, or None.
        route: the rule that decided; None if the request was refused before one was found.
        response: what to answer instead of the API; None if the API answers. Admitted requests may
            have one as well: what the guard itself answers, such as RFC 9728 metadata.
        at: the time at which everything was judged, in seconds since 1970.
        proof: every claim of the proof of possession that came with the token, also those that
            nobody here knows (RFC 9449 section 4.2); None where none was asked for.
        headers: what to add to the API's own answer, such as a DPoP nonce; for an admitted request.
        unconfirmed: the registers that gave no answer and were passed over, as the policy says.
        issuer: who issued the token, by the name in the policy; also where the request is refused
            for something else than its token. None if there is no token, or it is not verified.
        remembered: whether the token was verified before, or its issuer asked before, and so not
            again for this request. None if there is no token, or it is not verified.
        seconds: how long it took to decide, with all waiting, by a clock that nobody sets; measured
            only where a guard has observers, and None otherwise.
        again: whether it is not the first decision about its request: an endpoint demanded more
            (:meth:`Guard.demand`), or a request was checked again. Who counts requests skips it.
    """

    token: AccessToken | None
    refusal: Refusal | None
    route: Route | None
    response: Response | None
    at: float
    unconfirmed: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = NO_HEADERS
    proof: Claims | None = None
    issuer: str | None = None
    remembered: bool | None = None
    seconds: float | None = None
    again: bool = False

    @property
    def admitted(self) -> bool:
        """Whether the request is not refused.

        It reaches the API only if there is no :attr:`response` to send instead.
        """
        return self.refusal is None

    def __bool__(self) -> NoReturn:
        """Refuse to be taken for a verdict: an object is true, and a refusal would look admitted.

        Raises:
            TypeError: always; ask :attr:`admitted`.
        """
        raise TypeError("a Decision is not true or false: ask decision.admitted")


class Observer(Protocol):
    """Someone who is told of every decision once, after it was made and without a say in it.

    Also of decisions on public routes, of what an adapter could not read (:meth:`Guard.malformed`),
    and of what an endpoint demanded later, if that changed anything: a refusal, registers passed
    over, an issuer asked anew. Those have :attr:`Decision.again`. What meets a later demand, and
    leaves the first decision as it is, makes no new one and is not told.
    """

    def __call__(self, request: HttpRequest, decision: Decision, /) -> None:
        """Take note. What it raises is logged and changes nothing."""
        ...
