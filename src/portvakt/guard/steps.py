"""The pure steps of a token's first sight: whose it says it is, whether it is, in whose hands."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from portvakt.errors import Refused
from portvakt.http.request import HttpRequest
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk_set import JwkSet
from portvakt.jose.jws import KnownHeaders, UnverifiedJws, parse, verify
from portvakt.policy.access_token import AccessToken, check_claims
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement, authorize
from portvakt.policy.routes import Route, parameters_of
from portvakt.refusal import Code

__all__ = [
    "Candidate",
    "TrustedIssuers",
    "authenticate",
    "confirm",
    "resolve_issuer",
    "satisfy",
]


class Candidate(Struct, frozen=True, gc=False):
    """A token that names a trusted issuer. Whether that issuer wrote it, nobody knows yet.

    Attributes:
        issuer: the policy it will be judged by.
        unverified: the token taken apart.
    """

    issuer: TrustedIssuer
    unverified: UnverifiedJws


class TrustedIssuers:
    """The issuers of one policy, found by the exact characters of their name.

    Parameters:
        issuers: each with another ``issuer``.
    """

    __slots__ = ("_beginnings", "by_name")

    def __init__(self, issuers: Iterable[TrustedIssuer]) -> None:
        self.by_name: Final[Mapping[str, TrustedIssuer]] = MappingProxyType(
            {issuer.issuer: issuer for issuer in issuers}
        )
        # Most issuers write iss first, and then there is nothing to search for.
        self._beginnings = tuple(
            (b'{"iss":' + msgspec.json.encode(name) + b",", issuer)
            for name, issuer in self.by_name.items()
        )

    def named_in(self, payload: bytes) -> TrustedIssuer:
        """Return the issuer that a payload names. Nobody knows yet whether it wrote it.

        This looks at one claim, to choose whose keys to try, and believes nothing: the claim is
        only the key of a map, and is checked again once it is verified. Nothing is ever fetched for
        an issuer that is not in the policy.

        Raises:
            Refused: ``issuer_missing`` or ``issuer_unknown``.
        """
        for beginning, issuer in self._beginnings:
            if payload.startswith(beginning):
                return issuer
        try:
            name = _peek(payload).iss
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused(Code.ISSUER_MISSING, "no iss that is a string in an object") from None
        trusted = self.by_name.get(name)
        if trusted is None:
            raise Refused(Code.ISSUER_UNKNOWN, "iss is not exactly a trusted issuer")
        return trusted


class _UnverifiedIssuer(Struct, gc=False):
    """The one claim that is looked at before the signature."""

    iss: str


_peek: Final = msgspec.json.Decoder(_UnverifiedIssuer).decode


def resolve_issuer(token: str, issuers: TrustedIssuers, known: KnownHeaders) -> Candidate:
    """Take a token apart and find the policy it will be judged by.

    Raises:
        Refused: at steps FORM to ALGORITHM.
    """
    jws = parse(token, known)
    issuer = issuers.named_in(jws.payload)
    header = jws.header
    if header.typ not in issuer.types:
        raise Refused(Code.TYPE_REFUSED, "typ is not one that this issuer's access tokens have")
    if header.alg not in issuer.algorithms:
        raise _algorithm_refused(header.alg)
    return Candidate(issuer, jws)


def _algorithm_refused(alg: str) -> Refused:
    if alg.strip("\0 ").lower() == "none":
        return Refused(Code.ALGORITHM_NONE, "alg is none: the token is not signed at all")
    known = "the policy of this issuer does not allow it" if alg in ALGORITHMS else "unknown here"
    return Refused(Code.ALGORITHM_REFUSED, f"alg: {known}")


def authenticate(candidate: Candidate, keys: JwkSet, now: float) -> AccessToken:
    """Verify the signature with exactly one key of the issuer, then check every claim.

    Raises:
        Refused: at steps KEY to SCOPE.
    """
    jws = candidate.unverified
    key = keys.select(jws.header.alg, jws.header.kid)
    return check_claims(verify(jws, key), candidate.issuer, now)


def confirm(token: AccessToken, *, bound: bool) -> None:
    """Check that a token is in the right hands.

    A token with ``cnf`` is bound to a key, and nothing here can check possession yet: it is
    refused, never taken for a bearer token (RFC 9449 section 7.2, RFC 8705 section 3, RFC 7800).

    Parameters:
        token: a verified token.
        bound: whether it must be bound, as for data of high sensitivity.

    Raises:
        Refused: ``confirmation_unmet`` or ``binding_required``.
    """
    if token.confirmation is not None:
        raise Refused(Code.CONFIRMATION_UNMET, "a bound token was sent as a bearer token")
    if bound:
        raise Refused(Code.BINDING_REQUIRED, "data of high sensitivity, and a bearer token")


def satisfy(
    token: AccessToken,
    demand: Requirement,
    further: Requirement | None,
    route: Route | None,
    request: HttpRequest,
    now: float,
) -> None:
    """Check that a token is in the right hands and carries what is demanded.

    Parameters:
        token: a verified token.
        demand: the demand of a route, or of the API itself.
        further: another demand, if there is one; neither loosens the other.
        route: the rule that is for the request, if there is one.
        request: the request that carries the token.
        now: seconds since 1970.

    Raises:
        Refused: at step CONFIRMATION or AUTHORIZATION.
    """
    # Each step for both: no later one is reached before an earlier one has passed.
    confirm(token, bound=demand.bound or (further is not None and further.bound))
    # The parameters of the path are read only where a rule may ask for them.
    parameters = _NO_PARAMETERS
    if demand.ruled or (further is not None and further.ruled):
        parameters = parameters_of(route, request)
    authorize(token, demand, request, parameters, now)
    if further is not None:
        authorize(token, further, request, parameters, now)


_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
