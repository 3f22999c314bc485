"""How each proxy tells a forward-auth gateway what its client asked of it.

Neither name means anything by itself: whoever reads them has to know that a trusted proxy wrote
them (:mod:`portvakt.gateway.forward_auth`). The path of the gateway's own request is never looked
at: servers decode it, and what is judged must be what the API is sent.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

__all__ = ["PRESETS", "Preset"]


class Preset(Struct, frozen=True):
    """What one proxy writes, and what it can pass on.

    Attributes:
        method: the header with the client's method, in lower case.
        target: the header with the request target as the client wrote it, in lower case.
        client_certificate: the form of the client's certificate, one of
            :data:`portvakt.http.forwarded.FORMS`.
        relays: the statuses of a refusal that it passes on; None: every one.
    """

    method: str
    target: str
    client_certificate: str
    relays: frozenset[int] | None = None


_ORIGINAL: Final = ("x-original-method", "x-original-uri")
_FORWARDED: Final = ("x-forwarded-method", "x-forwarded-uri")

#: By the name that a policy gives the proxy. nginx and HAProxy write what ``deploy/`` has them
#: write, Caddy and Traefik what they always do; Envoy's HTTP form needs a filter that copies
#: ``:path``, as the path of its own subrequest is decoded by servers.
PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        # ngx_http_auth_request_module: 2xx admits, 401 and 403 refuse, everything else is an error.
        "nginx": Preset(*_ORIGINAL, "nginx", frozenset({401, 403})),
        "caddy": Preset(*_FORWARDED, "caddy"),
        "traefik": Preset(*_FORWARDED, "traefik"),
        "envoy": Preset(*_ORIGINAL, "envoy"),
        "haproxy": Preset(*_ORIGINAL, "haproxy"),
    }
)
