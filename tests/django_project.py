"""Django, configured once for all tests of a run: it can be in one process no more than once."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings
from django.test.utils import override_settings

if TYPE_CHECKING:
    from portvakt.adapters.django import DjangoGuard

__all__ = ["project"]

settings.configure(
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["rest_framework"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["portvakt.adapters.django.GuardMiddleware"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": [
            "portvakt.adapters.django_rest_framework.TokenAuthentication"
        ],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "EXCEPTION_HANDLER": "portvakt.adapters.django_rest_framework.exception_handler",
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()


def project(guard: DjangoGuard | None, patterns: list[Any], **others: Any) -> Any:
    """The settings of a project with these URLs, for as long as it is entered.

    Parameters:
        guard: its guard.
        patterns: its URLs.
        others: further settings.
    """
    urls = ModuleType("urls")
    urls.urlpatterns = patterns  # type: ignore[attr-defined]
    return override_settings(PORTVAKT_GUARD=guard, ROOT_URLCONF=urls, **others)
