"""The ``[proxy]`` table of the policy file, as plain data: who speaks for the client."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from portvakt.http.forwarded import FORMS

__all__ = ["ProxyTable"]

_Text = Annotated[str, Meta(min_length=1)]


class ProxyTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The proxy in front of this API, and what it says of the client."""

    trusted: Annotated[
        tuple[_Text, ...],
        Meta(
            description='Where the proxy is: addresses, networks as 10.0.0.0/8, and "unix" for '
            "whoever connects to the API's Unix socket. Nobody else is believed.",
            min_length=1,
        ),
    ]
    client_certificate: Annotated[
        str,
        Meta(
            description="The form in which the proxy states the client's certificate: rfc9440, "
            "nginx, envoy, caddy, haproxy or traefik.",
            extra_json_schema={"enum": list(FORMS)},
        ),
    ]
    client_certificate_header: Annotated[
        Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")] | UnsetType,
        Meta(
            description="The header that has it, if not the form's own. For nginx it ends in "
            "-Cert, and $ssl_client_verify is in the one that ends in -Verify."
        ),
    ] = UNSET
