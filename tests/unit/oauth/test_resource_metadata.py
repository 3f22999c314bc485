"""The document of RFC 9728, and where it is."""

import json

import pytest

from portvakt.http.origin import Origin
from portvakt.oauth.resource_metadata import (
    ResourceMetadata,
    authorization_servers,
    metadata_answers,
    metadata_paths,
    metadata_url,
)

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def test_what_there_is_nothing_to_say_of_is_left_out() -> None:
    # Section 3.2: members without elements must be left out; what is false is by default.
    document = ResourceMetadata(resource="https://api.test").document()
    assert json.loads(document) == {
        "resource": "https://api.test",
        "bearer_methods_supported": ["header"],
    }


def test_everything_that_can_be_said_has_its_name_of_section_2() -> None:
    said = ResourceMetadata(
        resource="https://api.test",
        authorization_servers=("https://issuer.test",),
        scopes_supported=("a", "b"),
        dpop_signing_alg_values_supported=("ES256",),
        dpop_bound_access_tokens_required=True,
        tls_client_certificate_bound_access_tokens=True,
        resource_name='Journal "A" – æøå',
        resource_documentation="https://api.test/docs",
        resource_policy_uri="https://api.test/policy",
    )
    assert json.loads(said.document()) == {
        "resource": "https://api.test",
        "authorization_servers": ["https://issuer.test"],
        "scopes_supported": ["a", "b"],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "dpop_bound_access_tokens_required": True,
        "tls_client_certificate_bound_access_tokens": True,
        "resource_name": 'Journal "A" – æøå',
        "resource_documentation": "https://api.test/docs",
        "resource_policy_uri": "https://api.test/policy",
    }


@pytest.mark.parametrize(
    ("origin", "url", "paths"),
    [
        ("https://api.test", f"https://api.test{WELL_KNOWN}", (WELL_KNOWN,)),
        # Section 3.1: a slash at the end is taken away first.
        ("https://API.test:443/", f"https://api.test{WELL_KNOWN}", (WELL_KNOWN,)),
        (
            "https://api.test:8443/a/b/",
            f"https://api.test:8443{WELL_KNOWN}/a/b",
            (f"{WELL_KNOWN}/a/b", WELL_KNOWN),
        ),
        # The base path is the end of the host's name as well.
        ("https://test/test", f"https://test{WELL_KNOWN}/test", (f"{WELL_KNOWN}/test", WELL_KNOWN)),
        ("https://[2001:db8::1]:8443", f"https://[2001:db8::1]:8443{WELL_KNOWN}", (WELL_KNOWN,)),
    ],
)
def test_the_document_lies_between_host_and_path(
    origin: str, url: str, paths: tuple[str, ...]
) -> None:
    assert metadata_url(Origin.parse(origin)) == url
    assert metadata_paths(Origin.parse(origin)) == paths


def test_only_issuers_that_can_be_looked_up_are_named() -> None:
    issuers = ["https://b.test/realm", "https://a.test", "http://127.0.0.1:8000", "sts"]
    issuers += ["https://c.test?x=1", "https://c.test#x", "https://user@c.test", "https://c.test/ "]
    assert authorization_servers(issuers) == ("https://a.test", "https://b.test/realm")


def test_head_is_answered_as_get_is_without_the_document() -> None:
    answers = metadata_answers(b'{"resource":"https://api.test"}')
    assert sorted(answers) == ["GET", "HEAD"]
    assert answers["GET"].status == answers["HEAD"].status == 200
    assert answers["GET"].headers == answers["HEAD"].headers
    assert dict(answers["GET"].headers) == {
        "Content-Type": "application/json",
        "Content-Length": str(len(answers["GET"].body)),
        "Cache-Control": "public, max-age=3600",
    }
    assert answers["HEAD"].body == b""
