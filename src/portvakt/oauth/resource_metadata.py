"""What an API says of itself (RFC 9728): the document, where it is found, and the answer with it.

All of it is made of the policy, before the first request: nothing that a caller sends, its ``Host``
least of all, has a say in it.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from portvakt.http.origin import Origin
from portvakt.http.response import Response
from portvakt.http.url import RefusedUrl, check_url

__all__ = [
    "WELL_KNOWN",
    "ResourceMetadata",
    "authorization_servers",
    "metadata_answers",
    "metadata_paths",
    "metadata_url",
]

#: Where metadata of protected resources lies on a host (RFC 9728 section 3).
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"

#: Seconds for which anyone may keep the document: a policy changes when a guard is made anew, and
#: what a client reads here decides nothing that the guard does not check.
_MAX_AGE: Final = 3600


class ResourceMetadata(Struct, frozen=True, kw_only=True):
    """What is said of one API (RFC 9728 section 2). What is empty, None or false is left out.

    Attributes:
        resource: its identifier: an https URL.
        authorization_servers: the issuers whose tokens it accepts, each a URL.
        scopes_supported: the scopes that some request needs.
        dpop_signing_alg_values_supported: what proofs may be signed with, if any request takes one.
        dpop_bound_access_tokens_required: whether each request that needs a token takes one that is
            bound to the key of a proof, and no other.
        tls_client_certificate_bound_access_tokens: whether some request takes a token that is bound
            to a certificate.
        resource_name: its name, for people.
        resource_documentation: the URL of what developers read about it.
        resource_policy_uri: the URL of what it asks of clients.
    """

    resource: str
    authorization_servers: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()
    dpop_signing_alg_values_supported: tuple[str, ...] = ()
    dpop_bound_access_tokens_required: bool = False
    tls_client_certificate_bound_access_tokens: bool = False
    resource_name: str | None = None
    resource_documentation: str | None = None
    resource_policy_uri: str | None = None

    def document(self) -> bytes:
        """Return the document (RFC 9728 section 3.2): JSON, without members of no elements."""
        members: dict[str, Any] = {"bearer_methods_supported": ["header"]}
        members |= {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        return msgspec.json.encode(members, order="sorted")


def authorization_servers(issuers: Iterable[str]) -> tuple[str, ...]:
    """Return those issuers that are issuer identifiers by RFC 8414 section 2, sorted.

    Others (a name, an http URL on this machine) a client could not look up.
    """
    return tuple(sorted(filter(_is_identifier, issuers)))


def _is_identifier(issuer: str) -> bool:
    try:
        return "?" not in check_url(issuer).path
    except RefusedUrl:
        return False


def metadata_url(origin: Origin) -> str:
    """Return where clients find the document: between host and path (RFC 9728 section 3.1)."""
    host = origin.text.removesuffix(origin.base_path)
    return f"{host}{WELL_KNOWN}{origin.base_path}"


def metadata_paths(origin: Origin) -> tuple[str, ...]:
    """Return the paths by which a request for the document may reach the API.

    The public one, and behind a proxy that takes the base path away, what is left of it.
    """
    return tuple(dict.fromkeys((f"{WELL_KNOWN}{origin.base_path}", WELL_KNOWN)))


def metadata_answers(document: bytes) -> dict[str, Response]:
    """Return the answer to each method by which the document can be asked for.

    That to HEAD states how long the document is, and has none (RFC 9110 section 9.3.2).
    """
    headers = (
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(document))),
        ("Cache-Control", f"public, max-age={_MAX_AGE}"),
    )
    return {"GET": Response(200, headers, document), "HEAD": Response(200, headers, b"")}
