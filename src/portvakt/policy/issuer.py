"""All that is believed about one issuer: complete, or not constructed."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem, named, said_of
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.header import media_type
from portvakt.policy.identity import IdentityClaims

__all__ = ["EXPLICIT_TYPE", "ID_TOKEN_CLAIMS", "MAX_LEEWAY", "TrustedIssuer", "is_words"]

#: Seconds. More than this is not a difference between clocks.
MAX_LEEWAY: Final = 300.0

#: Claims that no policy can do without, so that a policy need not name them.
ALWAYS_REQUIRED: Final = frozenset({"iss", "aud", "exp", "iat"})

#: What tells an ID token, or a security event, from an access token that has no type of its own
#: (OpenID Connect Core 1.0 sections 2 and 3.3.2.11, RFC 8417 section 2.2).
ID_TOKEN_CLAIMS: Final = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "events"})

#: The typ that nothing but an access token has (RFC 9068 section 2.1).
EXPLICIT_TYPE: Final = "at+jwt"

#: The settings that name a claim.
_CLAIMS: Final = ("subject_claim", "client_claim", "token_id_claim", "session_claim")

_IDENTIFIER: Final = re.compile(r"[!#-\[\]-~]{1,256}")


class TrustedIssuer(Struct, frozen=True, kw_only=True):
    """One issuer whose tokens an API accepts, and on which conditions.

    There are no defaults for what decides who gets in, and no value that means "any".

    Attributes:
        issuer: the exact value of ``iss``; compared as text, never as a URL.
        audience: the name of this API, which ``aud`` must contain (RFC 9068 section 4).
        algorithms: the allowed values of ``alg``, names from the algorithm table.
        types: the allowed values of ``typ``; ``absent`` allows a token without one.
        other_audiences: names that may stand in ``aud`` beside this API's.
        required_claims: claims that must be there, beside ``iss``, ``aud``, ``exp`` and ``iat``.
        leeway: seconds that the clocks may differ by, 0 to 300.
        max_lifetime: the most seconds between ``iat`` and ``exp``.
        max_age_ahead: how many seconds ``iat`` may lie in the future.
        known_lifetime: seconds that its tokens are known to live, so that they are not refused for
            the sensitivity of the data; 0 where nothing is known. At most *max_lifetime*.
        subject_claim: the claim that says whom a token is about.
        client_claim: the claim that says to which client it was issued.
        token_id_claim: the claim that tells it from every other token.
        scope_claims: the claims that say what it grants, each a string of words or an array; of
            several, the first that is there.
        refused_claims: claims that its access tokens never have, and its ID tokens or other JWTs
            do; looked for in tokens whose ``typ`` does not say what they are.
        expected_values: claims that must have one of some values, for the same purpose.
        identity: which claims speak of persons and organisations; None if none do.
        acr_values: by security level, what a client asks for to reach it (RFC 9470).
        session_claim: the claim that says in which session it was issued, for revoking all of one.
        status_lists: the Token Status Lists that its tokens may name, by their URI.

    Raises:
        ConfigurationError: with every flaw, if one attribute is empty, unknown or out of range.
    """

    issuer: str
    audience: str
    algorithms: frozenset[str]
    types: frozenset[str] = frozenset({"at+jwt"})
    other_audiences: frozenset[str] = frozenset()
    required_claims: frozenset[str] = frozenset({"sub", "client_id", "jti"})
    leeway: float = 5.0
    max_lifetime: float = 3600.0
    max_age_ahead: float = 30.0
    known_lifetime: float = 0.0
    subject_claim: str = "sub"
    client_claim: str = "client_id"
    token_id_claim: str = "jti"  # noqa: S105  the name of a claim
    scope_claims: tuple[str, ...] = ("scope",)
    refused_claims: frozenset[str] = ID_TOKEN_CLAIMS
    expected_values: tuple[tuple[str, frozenset[str]], ...] = ()
    identity: IdentityClaims | None = None
    acr_values: tuple[tuple[int, str], ...] = ()
    session_claim: str = "sid"
    status_lists: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse to exist when incomplete."""
        problems = tuple(self._problems())
        if problems:
            raise ConfigurationError(problems)

    def _problems(self) -> Iterator[Problem]:
        ill_typed = [*self._ill_typed()]
        return iter(ill_typed) if ill_typed else self._flaws()

    def _ill_typed(self) -> Iterator[Problem]:
        # In a string "in" looks for a part: a policy that was given one would allow all its parts.
        # A list or a set could be changed behind the policy's back.
        for setting, names in (
            ("algorithms", self.algorithms),
            ("typ", self.types),
            ("other_audiences", self.other_audiences),
            ("required_claims", self.required_claims),
            ("refused_claims", self.refused_claims),
            ("status_lists", self.status_lists),
        ):
            if not is_words(names):
                yield Problem(setting, "must be a frozenset of strings")
        for setting in ("issuer", "audience", *_CLAIMS):
            if type(getattr(self, setting)) is not str:
                yield Problem(setting, "must be text")
        for setting in ("leeway", "max_lifetime", "max_age_ahead", "known_lifetime"):
            if type(getattr(self, setting)) not in {int, float}:
                yield Problem(setting, "must be a number of seconds")
        if type(self.scope_claims) is not tuple or any(
            type(name) is not str for name in self.scope_claims
        ):
            yield Problem("scope_claims", "must be a tuple of strings")
        if not _are_pairs(self.expected_values, str, is_words):
            yield Problem("expected_values", "must be a tuple of names, each with a frozenset")
        if not _are_pairs(self.acr_values, int, lambda name: type(name) is str):
            yield Problem("acr_values", "must be a tuple of levels, each with a string")

    def _flaws(self) -> Iterator[Problem]:
        if not _IDENTIFIER.fullmatch(self.issuer):
            yield Problem("issuer", "must be the exact value of iss: 1 to 256 visible characters")
        if not _IDENTIFIER.fullmatch(self.audience) or self.audience in {"*", "unspecified"}:
            yield Problem(
                "audience", "must be the name of this API in aud; there is no value for any API"
            )
        for name in self.other_audiences:
            if not _IDENTIFIER.fullmatch(name) or name in {"*", "unspecified"}:
                yield Problem("other_audiences", "must be names of APIs, each listed")
        if not self.algorithms:
            yield Problem("algorithms", "must list at least one algorithm; empty does not mean all")
        for name in sorted(self.algorithms - ALGORITHMS.keys()):
            yield Problem("algorithms", _unknown_algorithm(name))
        if not self.types:
            yield Problem("typ", "must list at least one type; empty does not mean all")
        for name in sorted(self.types):
            if name != media_type(name):
                plain = named(media_type(name), "it in its short form")
                yield Problem("typ", f"write {plain} for {named(name, 'this')}")
        if not (math.isfinite(self.leeway) and 0 <= self.leeway <= MAX_LEEWAY):
            yield Problem("leeway", f"must be between 0 and {MAX_LEEWAY:.0f} seconds")
        if not (math.isfinite(self.max_lifetime) and 0 < self.max_lifetime <= 366 * 86400):
            yield Problem("max_lifetime", "must be more than nothing and at most 366 days")
        if not 0 <= self.known_lifetime <= self.max_lifetime:
            yield Problem("known_lifetime", "must be between nothing and max_lifetime")
        for setting in _CLAIMS:
            if not getattr(self, setting):
                yield Problem(setting, "must name a claim")
        if not self.scope_claims or not all(self.scope_claims):
            yield Problem("scope_claims", "must name at least one claim")
        if any(not name or not values for name, values in self.expected_values):
            yield Problem("expected_values", "must name a claim and list at least one value")
        # Where typ does not tell an access token, something has to, or an ID token would do.
        if self.types != {EXPLICIT_TYPE} and not (self.refused_claims or self.expected_values):
            yield Problem("refused_claims", "or expected_values must tell it from an ID token")
        for _, name in self.acr_values:
            if not _IDENTIFIER.fullmatch(name):
                yield Problem("acr_values", "must be words without quotes and backslashes")
        if not (math.isfinite(self.max_age_ahead) and 0 <= self.max_age_ahead <= MAX_LEEWAY):
            yield Problem("max_age_ahead", f"must be between 0 and {MAX_LEEWAY:.0f} seconds")


def _are_pairs(pairs: object, kind: type, fits: Callable[[object], bool]) -> bool:
    return type(pairs) is tuple and all(
        type(pair) is tuple and len(pair) == 2 and type(pair[0]) is kind and fits(pair[1])
        for pair in pairs
    )


def is_words(value: object) -> bool:
    """Whether a value is a set of strings that nobody can change."""
    return type(value) is frozenset and all(type(word) is str for word in value)


def _unknown_algorithm(name: str) -> str:
    known = ", ".join(ALGORITHMS)
    if name.lower() == "none":
        return f"none is no signature and can never be allowed; known are {known}"
    if name.upper().startswith("HS"):
        flaw = "takes a shared secret, which every API could forge with"
        return said_of(name, f"{flaw}; known are {known}")
    return said_of(name, f"is not a known signature algorithm; known are {known}")
