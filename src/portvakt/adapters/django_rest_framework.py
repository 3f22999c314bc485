"""Guard the views of Django REST framework: who calls, and what a view demands of the token.

::

    # project/settings.py, beside what portvakt.adapters.django needs
    REST_FRAMEWORK = {
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "portvakt.adapters.django_rest_framework.TokenAuthentication"
        ],
        "EXCEPTION_HANDLER": "portvakt.adapters.django_rest_framework.exception_handler",
    }


    # project/views.py
    class Journal(APIView):
        permission_classes = [permits(guard, scopes=["nhn:journal/read"])]

        def get(self, request, patient):
            return Response({"reader": request.auth.subject})

The guard itself is :class:`portvakt.adapters.django.GuardMiddleware`: it has judged every request
before these classes see it. They verify nothing a second time.
"""

from collections.abc import Iterable
from typing import Any, Final, Unpack

from portvakt.adapters.demands import NotAdmitted, state
from portvakt.adapters.django import (
    DjangoGuard,
    answer,
    judgement_of,
    token_of,
)
from portvakt.guard import (
    AccessToken,
    ConfigurationError,
    Demands,
    HttpRequest,
    Requirement,
    Response,
)

try:
    from django.http import HttpResponseBase
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request
except ModuleNotFoundError as error:
    raise ConfigurationError(
        "Django REST framework is missing: pip install 'portvakt[drf]'"
    ) from error

__all__ = ["Caller", "TokenAuthentication", "exception_handler", "permits"]


#: Who asks has no token, so it does not matter which one would do.
_ANY_TOKEN: Final = Requirement.of()


class Caller:
    """Whoever calls with a token, as Django REST framework wants a user.

    Attributes:
        token: the access token.
        pk: who it is: issuer and subject, for throttling and the like.
    """

    is_authenticated: Final = True
    is_anonymous: Final = False
    is_active: Final = True

    def __init__(self, token: AccessToken) -> None:
        self.token = token
        self.pk = f"{token.issuer}|{token.subject or token.client_id}"

    def __repr__(self) -> str:
        """Show nothing of who it is."""
        return "Caller()"


class TokenAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Gives views the token that the guard has admitted: ``request.auth``, an AccessToken.

    ``request.user`` is a :class:`Caller`. On a public route nobody has authenticated.
    """

    def authenticate(self, request: Request) -> tuple[Caller, AccessToken] | None:
        """Return who calls, and with which token; None without one."""
        token = token_of(request)
        return None if token is None else (Caller(token), token)

    def authenticate_header(self, request: Request) -> str:
        """Return the guard's own challenge, for a view that demands a token on a public route."""
        return dict(_unauthorized(request).headers).get("WWW-Authenticate", "Bearer")


def permits(
    guard: DjangoGuard, scopes: Iterable[str] = (), **demands: Unpack[Demands]
) -> type[BasePermission]:
    """Return a permission that demands scopes and more, for ``permission_classes``.

    What the policy demands is demanded as well; neither loosens the other. Whoever does not have it
    gets the guard's own answer. Beside others it counts only if all of them have to agree.

    Parameters:
        guard: who demands.
        scopes: all of them are needed; none means that any valid token will do.
        demands: whatever else :meth:`~portvakt.Requirement.of` takes.

    Raises:
        ConfigurationError: if a scope is not one word, or a demand could never be met.
    """
    requirement = Requirement.of(scopes, **demands)
    guard.check_parts(requirement)

    class Permitted(BasePermission):  # type: ignore[misc]
        def has_permission(self, request: Request, view: Any) -> bool:
            guard.demand_of(request, requirement, view.kwargs)
            return True

    return state(Permitted, guard, requirement)


def exception_handler(exc: Exception, context: dict[str, Any]) -> HttpResponseBase | None:
    """Answer as the guard does where a token is missing or lacks something; else as usual.

    For the setting ``EXCEPTION_HANDLER`` of Django REST framework.
    """
    request: Request = context["request"]
    if isinstance(exc, NotAdmitted):
        return answer(exc.response, request)
    if isinstance(exc, NotAuthenticated | AuthenticationFailed) and token_of(request) is None:
        return answer(_unauthorized(request), request)
    from rest_framework import views  # noqa: PLC0415  its settings have it import this module

    answered: HttpResponseBase | None = views.exception_handler(exc, context)
    return answered


def _unauthorized(request: Request) -> Response:
    """Return what the guard answers to a request that has no token at all."""
    judged = judgement_of(request).request
    anonymous = HttpRequest(method=judged.method, url=judged.url, peer=judged.peer)
    response = (
        judgement_of(request).guard.check_blocking(anonymous, _ANY_TOKEN, again=True).response
    )
    if response is None:
        raise ConfigurationError("the guard admitted a request without the token it demanded")
    return response
