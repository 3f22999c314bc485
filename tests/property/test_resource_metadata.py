"""Whatever a policy is, its metadata is JSON with what the policy says, and with nothing else."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from portvakt.config.compile import compile_policy
from portvakt.config.load import read_data
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
SCOPES = st.lists(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\')).filter(
        bool
    ),
    max_size=3,
    unique=True,
)
NAMES = st.none() | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1)


@st.composite
def policies(draw: st.DrawFn) -> dict[str, Any]:
    path = "".join(f"/{part}" for part in draw(st.lists(st.sampled_from(["a", "b~", "c_d", "1"]))))
    api: dict[str, Any] = {
        "audience": "test-api",
        "origin": f"https://api.test{path}",
        "scopes": draw(SCOPES),
        "disclose": draw(st.booleans()),
    }
    name = draw(NAMES)
    if name is not None:
        api["resource_name"] = name
    routes = [
        {"path": f"/{number}", "public": True}
        if draw(st.booleans())
        else {
            "path": f"/{number}",
            "scopes": draw(SCOPES),
            "any_scopes": draw(SCOPES),
            "sender_constraint": draw(st.sampled_from(["none", "dpop", "mtls"])),
        }
        for number in range(draw(st.integers(0, 4)))
    ]
    return {"api": api, "route": routes, "store": {"url": "memory://"}}


@settings(max_examples=150, deadline=None)
@given(policies())
def test_metadata_is_what_the_policy_says(tables: dict[str, Any]) -> None:
    compiled = compile_policy(read_data(ISSUER.config(**tables)))
    api, routes = tables["api"], tables["route"]
    guarded = [one for one in routes if not one.get("public")]
    scopes = {scope for one in guarded for key in ("scopes", "any_scopes") for scope in one[key]}
    if guarded or not routes:
        scopes |= set(api["scopes"])
    ways = {one["sender_constraint"] for one in guarded}
    expected: dict[str, Any] = {
        "resource": api["origin"],
        "authorization_servers": ["https://issuer.test"],
        "bearer_methods_supported": ["header"],
    }
    if scopes and api["disclose"]:
        expected["scopes_supported"] = sorted(scopes)
    if "resource_name" in api:
        expected["resource_name"] = api["resource_name"]
    if ways == {"dpop"}:
        expected["dpop_bound_access_tokens_required"] = True
    if "mtls" in ways:
        expected["tls_client_certificate_bound_access_tokens"] = True
    for rule in compiled.routes.answered:
        answer = rule.answer
        assert answer is not None
        if rule.methods == frozenset({"HEAD"}):
            assert answer.body == b""
            continue
        assert int(dict(answer.headers)["Content-Length"]) == len(answer.body)
        document = json.loads(answer.body.decode())
        assert ("dpop" in ways) == (
            document.pop("dpop_signing_alg_values_supported", None) is not None
        )
        assert document == expected
