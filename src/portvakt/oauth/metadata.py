"""An issuer's metadata (RFC 8414, OpenID Connect Discovery 1.0): where it is, and what is read.

Metadata says where an issuer's endpoints are and nothing else: algorithms, types and everything
that decides who gets in come from the policy alone, whatever a document advertises (JWKS-21).
"""

from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from portvakt.jose.encoding import NotCanonical, decode_object

__all__ = ["MAX_METADATA", "MalformedMetadata", "Metadata", "metadata_urls", "read_metadata"]

#: Octets. Documents of real issuers have two to eight thousand.
MAX_METADATA: Final = 128 * 1024


class MalformedMetadata(ValueError):  # noqa: N818  it says what the document is
    """The document is not the metadata of this issuer. The message never holds the document."""


class Metadata(Struct, frozen=True):
    """What is read of a metadata document. Who fetched it must still judge the addresses.

    Attributes:
        issuer: its name, found to be the one that was asked for.
        jwks_uri: where its keys are.
        introspection_endpoint: where it answers for reference tokens; None if it does not say.
        introspection_signing_algs: with which algorithms it signs such answers (RFC 9701 section
            7); empty if it does not say that it does.
    """

    issuer: str
    jwks_uri: str
    introspection_endpoint: str | None = None
    introspection_signing_algs: frozenset[str] = frozenset()


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Return where the metadata of an issuer may be, the likeliest first.

    OpenID Connect Discovery section 4 puts its path behind the issuer's, RFC 8414 section 3 in
    front of it. Does not check that the issuer is a URL that may be fetched.

    Parameters:
        issuer: the issuer's name, an https URL without query and fragment.
    """
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    return (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
    )


def read_metadata(text: bytes, issuer: str) -> Metadata:
    """Read a metadata document and check that it is this issuer's own (RFC 8414 section 3.3).

    Parameters:
        text: the document, JSON.
        issuer: the issuer of the policy; the document must name it character by character.

    Raises:
        MalformedMetadata: if it is not strict JSON, is another issuer's, or names no keys.
    """
    if len(text) > MAX_METADATA:
        raise MalformedMetadata(f"the metadata is longer than {MAX_METADATA} octets")
    try:
        members = decode_object(text)
    except NotCanonical as flaw:
        raise MalformedMetadata(f"the metadata is not strict JSON: {flaw}") from None
    if _text(members, "issuer") != issuer:
        raise MalformedMetadata("the metadata is of another issuer: its issuer is not the policy's")
    # What few issuers have, and fewer APIs need, makes no document useless if it is malformed.
    endpoint = members.get("introspection_endpoint")
    algs = members.get("introspection_signing_alg_values_supported")
    return Metadata(
        issuer,
        _text(members, "jwks_uri"),
        endpoint if type(endpoint) is str and endpoint else None,
        frozenset(alg for alg in algs if type(alg) is str) if type(algs) is list else frozenset(),
    )


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if type(value) is not str or not value:
        raise MalformedMetadata(f"the metadata has no {name} that is a string")
    return value
