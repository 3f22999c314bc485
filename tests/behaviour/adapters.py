"""Every adapter there is, and how each serves the sample API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from behaviour.served_by.asgi import ASGI
from behaviour.served_by.django import DJANGO, DJANGO_ASGI
from behaviour.served_by.django_rest_framework import DJANGO_REST_FRAMEWORK
from behaviour.served_by.fastapi import FASTAPI
from behaviour.served_by.flask import FLASK
from behaviour.served_by.grpc import GRPC
from behaviour.served_by.litestar import LITESTAR
from behaviour.served_by.starlette import STARLETTE
from behaviour.served_by.wsgi import WSGI

if TYPE_CHECKING:
    from behaviour.serving import Adapter

__all__ = ["ADAPTERS"]

#: In the order in which the documentation has them.
ADAPTERS: Final[tuple[Adapter, ...]] = (
    *(ASGI, STARLETTE, FASTAPI, LITESTAR),
    *(WSGI, FLASK, DJANGO, DJANGO_ASGI, DJANGO_REST_FRAMEWORK),
    GRPC,
)
