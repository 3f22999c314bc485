"""The door to the guard: all that an adapter may see."""

from portvakt.errors import ConfigurationError, Problem
from portvakt.guard.blocking import demand_blocking
from portvakt.guard.guard import Guard
from portvakt.http.certificate import NotCertificate, read_pem
from portvakt.http.grpc_call import read_grpc_call
from portvakt.http.request import HttpRequest
from portvakt.http.response import Response
from portvakt.policy.access_token import AccessToken
from portvakt.policy.decision import Decision
from portvakt.policy.requirement import Demands, Requirement
from portvakt.policy.routes import Route, Routes
from portvakt.policy.sender_constraint import SenderConstraint, agreed
from portvakt.refusal import Refusal

__all__ = [
    "AccessToken",
    "ConfigurationError",
    "Decision",
    "Demands",
    "Guard",
    "HttpRequest",
    "NotCertificate",
    "Problem",
    "Refusal",
    "Requirement",
    "Response",
    "Route",
    "Routes",
    "SenderConstraint",
    "agreed",
    "demand_blocking",
    "read_grpc_call",
    "read_pem",
]
