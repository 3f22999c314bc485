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
from portvakt.oauth.confirmation import Methods, methods_of
from portvakt.oauth.mtls import confirm_certificate
from portvakt.policy.access_token import AccessToken, check_claims
from portvakt.policy.authorization import authorize
from portvakt.policy.issuer import TrustedIssuer
from portvakt.policy.requirement import Requirement
from portvakt.policy.routes import Route, parameters_of
from portvakt.policy.sender_constraint import SenderConstraint, met_by
from portvakt.refusal import Code

__all__ = [
    "Candidate",
    "TrustedIssuers",
    "asks_enough",
    "authenticate",
    "binding_of",
    "confirm_certificate_of",
    "refuse_other_hands",
    "refuse_unproven",
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


def authenticate(
    candidate: Candidate,
    keys: JwkSet,
    now: float,
    *,
    encrypted: bool = False,
    revocable: bool = False,
) -> AccessToken:
    """Verify the signature with exactly one key of the issuer, then check every claim.

    Parameters:
        candidate: the token, and the issuer that it names.
        keys: that issuer's.
        now: seconds since 1970.
        encrypted: whether it came encrypted to this API.
        revocable: whether it will be asked what it could be revoked by.

    Raises:
        Refused: at steps KEY to SCOPE.
    """
    jws = candidate.unverified
    key = keys.select(jws.header.alg, jws.header.kid)
    verified = verify(jws, key)
    return check_claims(verified, candidate.issuer, now, encrypted=encrypted, revocable=revocable)


def refuse_unproven(token: AccessToken, *, bound: bool) -> None:
    """Check a token that came without any proof.

    A token with ``cnf`` is bound to a key. It is never taken for a bearer token (RFC 9449 section
    7.2, RFC 8705 section 3, RFC 7800 section 3).

    Parameters:
        token: a verified token.
        bound: whether it must be bound or say nothing by itself, as for data of high sensitivity.

    Raises:
        Refused: ``confirmation_unmet`` or ``binding_required``.
    """
    if token.confirmation is not None:
        raise Refused(Code.CONFIRMATION_UNMET, "a bound token was sent as a bearer token")
    if bound and not token.by_reference:
        raise Refused(Code.BINDING_REQUIRED, "data of high sensitivity, and a bearer token")


def refuse_other_hands(token: AccessToken, wanted: SenderConstraint | None, *, bound: bool) -> None:
    """Check that an admitted token was proven in the way that its endpoint wants.

    Parameters:
        token: a token that a check admitted.
        wanted: in which way; None stands for none.
        bound: whether it must be bound or say nothing by itself.

    Raises:
        Refused: ``binding_required`` or ``scheme_refused``.
    """
    met = met_by(token)
    if met is not (wanted or SenderConstraint.NONE):
        code = Code.BINDING_REQUIRED if met is SenderConstraint.NONE else Code.SCHEME_REFUSED
        raise Refused(code, "proven in another way than this endpoint takes")
    if bound and met is SenderConstraint.NONE and not token.by_reference:
        raise Refused(Code.BINDING_REQUIRED, "data of high sensitivity, and a bearer token")


def confirm_certificate_of(token: AccessToken, request: HttpRequest) -> None:
    """Check that the connection's certificate is the one that a token is bound to (RFC 8705).

    Raises:
        Refused: at step CONFIRMATION.
    """
    methods = binding_of(token)
    if methods.key is not None:
        # It would have to be proven as well, and no proof came (RFC 7800 section 3.1, MTLS-04).
        raise Refused(Code.CONFIRMATION_UNMET, "a bound token was sent as a bearer token")
    confirm_certificate(methods.certificate, request.client_certificate)


def binding_of(token: AccessToken) -> Methods:
    """Return what a token is bound to.

    Raises:
        Refused: ``binding_required`` if it is to nothing; ``confirmation_unmet`` or
            ``claim_malformed`` if to nothing that anybody here can check.
    """
    if token.confirmation is None:
        raise Refused(Code.BINDING_REQUIRED, "the token is not bound to a key")
    return methods_of(token.confirmation)


def asks_enough(route: Route | None, requirement: Requirement) -> bool:
    """Whether a check by a rule asks issuers as often as a further requirement wants."""
    return not requirement.asked_anew or (route is not None and route.requirement.asked_anew)


def satisfy(
    token: AccessToken,
    demand: Requirement,
    further: Requirement | None,
    route: Route | None,
    request: HttpRequest,
    now: float,
) -> None:
    """Check that a token carries what is demanded.

    Does not check in whose hands it is.

    Parameters:
        token: a verified token.
        demand: the demand of a route, or of the API itself.
        further: another demand, if there is one; neither loosens the other.
        route: the rule that is for the request, if there is one.
        request: the request that carries the token.
        now: seconds since 1970.

    Raises:
        Refused: at step AUTHORIZATION.
    """
    # The parameters of the path are read only where a rule may ask for them.
    parameters = _NO_PARAMETERS
    if demand.ruled or (further is not None and further.ruled):
        parameters = parameters_of(route, request)
    authorize(token, demand, request, parameters, now)
    if further is not None:
        authorize(token, further, request, parameters, now)


_NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})
