"""Whatever a token is, an explanation comes out, and never a wrong one."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portvakt.explain import LANGUAGES, explain
from portvakt.jose.encoding import encode_base64url
from portvakt.refusal import Step
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
GUARD = ISSUER.guard()
ROUTED = ISSUER.guard(route=[{"path": "/journal/{patient}", "scopes": ["test-api/read"]}])


@given(st.text())
def test_no_text_as_a_token_raises_or_is_admitted(token: str) -> None:
    for guard in (GUARD, ROUTED):
        explanation = explain(guard, token)
        assert explanation.verdict == "refused"
        assert all((one.found or "").isprintable() for one in explanation.steps)


@given(st.text(), st.text(), st.sampled_from(LANGUAGES))
def test_no_request_raises(method: str, url: str, language: str) -> None:
    explanation = explain(ROUTED, "x", method=method, url=url, language=language)
    assert explanation.verdict == "refused"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
HEADER_NAMES = ["alg", "kid", "typ", "crit", "jwk", "cty"]
CLAIM_NAMES = ["iss", "aud", "exp", "nbf", "iat", "scope", "client_id", "sub", "jti", "cnf"]


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(HEADER_NAMES) | st.text(max_size=8), JSON),
    st.dictionaries(st.sampled_from(CLAIM_NAMES) | st.text(max_size=8), JSON),
)
def test_no_unsigned_json_raises_or_is_admitted(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    parts = [encode_base64url(json.dumps(part).encode()) for part in (header, claims)]
    explanation = explain(GUARD, ".".join([*parts, "AAAA"]))
    assert explanation.verdict == "refused"
    assert all((one.found or "").isprintable() for one in explanation.steps)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(CLAIM_NAMES[1:]), JSON, min_size=1))
def test_no_genuine_token_with_odd_claims_raises(changes: dict[str, Any]) -> None:
    raw = json.dumps({**json.loads(ISSUER.builder().payload_octets()), **changes})
    explanation = explain(GUARD, ISSUER.builder().payload(raw.encode()).build())
    assert explanation.verdict in {"admitted", "refused"}
    assert explanation.steps[Step.SIGNATURE - 1].outcome == "passed"
    assert all((one.found or "").isprintable() for one in explanation.steps)
