"""Portvakt secures HTTP APIs with OAuth 2.0 access tokens and lets nobody skip a check.

Every public name is resolved at its first use (PEP 562), so that importing the package costs
nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from portvakt.errors import ConfigurationError, Problem, Refused, Unavailable
    from portvakt.guard.guard import Guard
    from portvakt.http.request import HttpRequest
    from portvakt.http.response import Response
    from portvakt.jose.jwk_set import JwkSet
    from portvakt.net.keys import FixedKeys, KeySource
    from portvakt.policy.access_token import AccessToken
    from portvakt.policy.claims import Claims
    from portvakt.policy.decision import Decision, Observer
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.policy.requirement import Requirement
    from portvakt.policy.routes import Route, Routes
    from portvakt.refusal import Code, Refusal, Step

__version__: Final = "0.1.0"

__all__ = [
    "AccessToken",
    "Claims",
    "Code",
    "ConfigurationError",
    "Decision",
    "FixedKeys",
    "Guard",
    "HttpRequest",
    "JwkSet",
    "KeySource",
    "Observer",
    "Problem",
    "Refusal",
    "Refused",
    "Requirement",
    "Response",
    "Route",
    "Routes",
    "Step",
    "TrustedIssuer",
    "Unavailable",
]

_HOMES: Final = {
    "AccessToken": "portvakt.policy.access_token",
    "Claims": "portvakt.policy.claims",
    "Code": "portvakt.refusal",
    "ConfigurationError": "portvakt.errors",
    "Decision": "portvakt.policy.decision",
    "FixedKeys": "portvakt.net.keys",
    "Guard": "portvakt.guard.guard",
    "HttpRequest": "portvakt.http.request",
    "JwkSet": "portvakt.jose.jwk_set",
    "KeySource": "portvakt.net.keys",
    "Observer": "portvakt.policy.decision",
    "Problem": "portvakt.errors",
    "Refusal": "portvakt.refusal",
    "Refused": "portvakt.errors",
    "Requirement": "portvakt.policy.requirement",
    "Response": "portvakt.http.response",
    "Route": "portvakt.policy.routes",
    "Routes": "portvakt.policy.routes",
    "Step": "portvakt.refusal",
    "TrustedIssuer": "portvakt.policy.issuer",
    "Unavailable": "portvakt.errors",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'portvakt' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
