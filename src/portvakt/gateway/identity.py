"""What the API behind the gateway is told of who was admitted: headers, or one signed JWT.

Headers are worth as much as the way between proxy and API: whoever reaches the API past the proxy
writes them themselves. The JWT says who wrote it (``iss``), for which API (``aud``) and until when,
and the API can check that; it is no access token and has a type of its own, so that nobody takes
one for the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote
from uuid import uuid4

from portvakt.jose.signer import Signer, sign_compact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portvakt.policy.token import AccessToken

__all__ = ["PREFIX", "TYPE", "IdentityHeaders", "IdentityJwt", "Teller"]

#: What every identity header begins with. Proxies take such headers from clients away.
PREFIX: Final = "x-portvakt-"

#: ``typ`` of the JWT: application/portvakt-identity+jwt (RFC 8725 section 3.11).
TYPE: Final = "portvakt-identity+jwt"

#: Octets that all values may have together: proxies read no more than a few thousand in a head.
MAX_OCTETS: Final = 4096

#: Tokens whose answer is remembered at most; a token that is not costs a little more.
_MAX_REMEMBERED: Final = 16_384

# What a header value holds without encoding: visible characters of ASCII and inner spaces, but for
# the percent sign itself and the marks that some reader splits a value at.
_PLAIN: Final = " !#$&'()*+-./:<=>?@[]^_`{|}~"

Headers = list[tuple[str, str]]


class Teller(Protocol):
    """Says to the API who was admitted."""

    def tell(self, token: AccessToken | None, now: float) -> Headers | None:
        """Return the headers for an admitted request; None if they would be too long.

        Parameters:
            token: the verified token; None on a public route.
            now: seconds since 1970.
        """
        ...


def _scopes(token: AccessToken) -> str:
    return " ".join(sorted(token.scopes))


def _level(token: AccessToken) -> int | None:
    return token.security_level or None


def _number(identifier: object) -> str | None:
    # Their own text shows nothing of them, on purpose.
    return getattr(identifier, "number", None)


def _organisation(part: str) -> Callable[[AccessToken], object]:
    return lambda token: _number(getattr(token.organisation, part, None))


#: Each field: what it is in a token.
_FIELDS: Final[dict[str, Callable[[AccessToken], object]]] = {
    "issuer": lambda token: token.issuer,
    "subject": lambda token: token.subject,
    "client_id": lambda token: token.client_id,
    "scopes": _scopes,
    "security_level": _level,
    "pid": lambda token: _number(token.pid),
    "hpr_number": lambda token: _number(token.hpr_number),
    "organisation": _organisation("parent"),
    "organisation_child": _organisation("child"),
    "supplier": _organisation("supplier"),
    "token_id": lambda token: token.token_id,
    "expires_at": lambda token: int(token.expires_at),
}


class _Remembering(ABC):
    """Tells it again in the same words, for as long as it is the very same token and they hold."""

    def __init__(self) -> None:
        self._remembered: dict[int, tuple[AccessToken, float, Headers]] = {}

    @property
    @abstractmethod
    def nobody(self) -> Headers:
        """The headers of a request that nobody is known to have made."""

    @abstractmethod
    def _make(self, token: AccessToken, now: float) -> tuple[Headers, float]:
        """Return the headers for a token, and until when they serve."""

    def tell(self, token: AccessToken | None, now: float) -> Headers | None:
        """Return the headers for an admitted request; None if they would be too long."""
        if token is None:
            return self.nobody
        remembered = self._remembered.get(id(token))
        # The token is kept with it, so no other object can have the same identity meanwhile.
        if remembered is not None and remembered[0] is token and now < remembered[1]:
            return remembered[2]
        headers, until = self._make(token, now)
        if sum(len(value) for _, value in headers) > MAX_OCTETS:
            return None
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[id(token)] = token, until, headers
        return headers


class IdentityHeaders(_Remembering):
    """Tells it in one header for each field, percent-encoded where a value is not plain ASCII.

    Every field has its header in every answer, an empty one where the token does not say it: a
    proxy that copies headers then overwrites what a client wrote under that name.

    Parameters:
        fields: names of fields.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        super().__init__()
        self._fields = tuple((_header_of(name), _FIELDS[name]) for name in fields)
        self._nobody: Headers = [(name, "") for name, _ in self._fields]

    @property
    def nobody(self) -> Headers:
        """Every header, empty."""
        return self._nobody

    def _make(self, token: AccessToken, _now: float) -> tuple[Headers, float]:
        return [(name, _encoded(find(token))) for name, find in self._fields], inf


class IdentityJwt(_Remembering):
    """Tells it in one JWT, in the header ``X-Portvakt-Token``.

    One JWT serves a token until half of its time is over. In the leeway after the token's own end
    it has ended too: the API has a leeway of its own, or refuses.

    Parameters:
        fields: names of fields.
        signer: whose signature the API trusts.
        issuer: ``iss``: who the gateway is.
        audience: ``aud``: the API.
        lifetime: seconds that a JWT holds, at most; the token's own end comes first.
    """

    HEADER: Final = f"{PREFIX}token"

    def __init__(
        self, fields: Iterable[str], signer: Signer, issuer: str, audience: str, lifetime: float
    ) -> None:
        super().__init__()
        self._fields = tuple((name, _FIELDS[name]) for name in fields)
        self._signer = signer
        self._named = {"iss": issuer, "aud": audience}
        self._header = {"alg": signer.alg, "typ": TYPE}
        if signer.kid is not None:
            self._header["kid"] = signer.kid
        self._lifetime = lifetime

    @property
    def nobody(self) -> Headers:
        """The header, empty."""
        return [(self.HEADER, "")]

    def _make(self, token: AccessToken, now: float) -> tuple[Headers, float]:
        claims: dict[str, Any] = {
            **self._named,
            "iat": int(now),
            "exp": int(min(now + self._lifetime, token.expires_at)),
            "jti": uuid4().hex,
        }
        for name, find in self._fields:
            value = find(token)
            if value is not None:
                claims[_CLAIMS.get(name, name)] = value if isinstance(value, int) else str(value)
        jwt = sign_compact(self._header, claims, self._signer)
        return [(self.HEADER, jwt)], now + self._lifetime / 2


#: Claims that have a registered name (RFC 7519, 8693); "iss" and "jti" are the JWT's own.
_CLAIMS: Final = {"subject": "sub", "scopes": "scope", "issuer": "token_issuer"}


def _header_of(field: str) -> str:
    return PREFIX + field.replace("_", "-")


def _encoded(value: object) -> str:
    if value is None:
        return ""
    # A value that begins or ends in a space would lose it on the way.
    text = str(value)
    if text != text.strip(" "):
        return quote(text, safe="")
    return quote(text, safe=_PLAIN)
