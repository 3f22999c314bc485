"""Whatever octets Envoy, or who pretends to be it, sends: an answer comes out, and no exception."""

from __future__ import annotations

import asyncio
from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from envoy_wire import check_request, part, verdict, whole
from portvakt.gateway.ext_authz import ExtAuthz
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
GUARD: Final = ISSUER.guard(route=[{"path": "/open/{rest:path}", "public": True}, {"path": "/"}])
GATE: Final = ExtAuthz(
    GUARD, trusts=lambda _: True, identity=lambda _: (("X-Portvakt-Subject", "x"),)
)
HONEST: Final = check_request("GET", "/", [("authorization", f"Bearer {ISSUER.token()}")])

octets = st.binary(max_size=12)
text = st.text(st.characters(max_codepoint=0xFF), max_size=12)
names = text | st.sampled_from(["authorization", "dpop", "x_portvakt-subject", ":path", ""])
numbers = st.integers(1, 15)
leaf = octets | st.sampled_from([HONEST, b"/", b"/open/x", b"GET"])
message = st.recursive(
    leaf,
    lambda inner: st.lists(
        st.builds(part, numbers, inner) | st.builds(whole, numbers, st.integers(0, 2**64 - 1)),
        max_size=4,
    ).map(b"".join),
    max_leaves=12,
)


@given(st.binary(max_size=200) | message)
@example(b"")
@example(HONEST[:-1])
@example(HONEST + b"\x0a")
def test_any_octets_have_an_answer(sent: bytes) -> None:
    said = verdict(asyncio.run(GATE.answer(sent)))

    assert said.admitted or said.status in {400, 401, 403}


@given(
    method=text,
    path=text | st.sampled_from(["/", "/open/1", "/open/%2f", "/?access_token=x"]),
    headers=st.lists(st.tuples(names, text), max_size=5),
    raw=st.booleans(),
    certificate=text,
)
def test_any_request_has_an_answer(
    method: str, path: str, headers: list[tuple[str, str]], raw: bool, certificate: str
) -> None:
    sent = check_request(method, path, headers, raw=raw, certificate=certificate)

    said = verdict(asyncio.run(GATE.answer(sent)))

    assert not said.admitted or path.partition("?")[0].startswith("/open/")


@given(st.integers(0, len(HONEST) - 1), st.integers(1, 255))
def test_a_changed_octet_never_turns_into_an_exception(at: int, by: int) -> None:
    changed = bytearray(HONEST)
    changed[at] ^= by

    verdict(asyncio.run(GATE.answer(bytes(changed))))


def test_the_honest_one_is_admitted() -> None:
    assert verdict(asyncio.run(GATE.answer(HONEST))).admitted
