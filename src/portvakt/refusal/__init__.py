"""The closed list of reasons: every way in which a request can be refused."""

from msgspec import Struct

from portvakt.refusal.code import Code
from portvakt.refusal.step import Step

__all__ = ["Code", "Refusal", "Step"]


class Refusal(Struct, frozen=True):
    """Why one request was refused: plain data.

    Attributes:
        code: the reason, from the closed list.
        detail: what exactly was found, for the operator's log and never for the caller. It names
            claims, parameters and times, and holds no token, no claim value and no key.
    """

    code: Code
    detail: str | None = None
