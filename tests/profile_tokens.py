"""Tokens as real issuers write them, honest ones and others, for tests of profiles.

They stand in ``data/profile_tokens``, a file for each profile, each with its source. The people in
them do not exist.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

__all__ = ["Expected", "IssuedToken", "issued_tokens"]

_FOLDER: Final = Path(__file__).parent / "data" / "profile_tokens"


class Expected(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be known of an admitted token; None: it is not looked at."""

    subject: str | None = None
    client_id: str | None = None
    token_id: str | None = None
    scopes: tuple[str, ...] | None = None
    security_level: int | None = None
    pid: str | None = None
    hpr_number: str | None = None
    parent: str | None = None
    child: str | None = None
    supplier: str | None = None
    tenancy: str | None = None
    client_name: str | None = None


class IssuedToken(Struct, frozen=True, forbid_unknown_fields=True):
    """A token of one issuer: what it is, and what an API with that issuer's profile must say.

    Attributes:
        profile: the profile of its issuer.
        what: what it is, in words.
        outcome: ``admitted``, or the value of the code that it is refused with.
        header: the parameters beside ``alg`` and ``kid``.
        payload: its claims.
        audience: what the API that judges it is called. For an ID token that is its client, so that
            nothing but its being one can refuse it.
        expect: what is to be known of it.
    """

    profile: str
    what: str
    outcome: str
    header: dict[str, Any]
    payload: dict[str, Any]
    audience: str
    expect: Expected | None = None

    @property
    def honest(self) -> bool:
        """Whether it is an access token, be it that the API cannot yet see that it is held."""
        return self.outcome in {"admitted", "confirmation_unmet"}

    def __str__(self) -> str:
        return f"{self.profile}: {self.what}"


@cache
def issued_tokens() -> tuple[IssuedToken, ...]:
    """Return all of them."""
    return tuple(
        msgspec.convert({"audience": _audience(token), **token, "profile": file.stem}, IssuedToken)
        for file in sorted(_FOLDER.glob("*.toml"))
        for token in tomllib.loads(file.read_text("utf-8"))["token"]
    )


def _audience(token: dict[str, Any]) -> str:
    aud = token["payload"].get("aud", "")
    return str(aud[0] if isinstance(aud, list) else aud)
