"""The gRPC interceptors over real calls on loopback: both servers, all four kinds of methods."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from grpc_serving import (
    FLAVOURS,
    KINDS,
    PATH,
    SERVICE,
    bearer,
    call,
    encoded,
    guard_of,
    handlers,
    make_server,
    servicer,
    serving,
)
from portvakt import Code, Decision, HttpRequest, Requirement, Unavailable
from portvakt.adapters.grpc import GrpcGuard
from portvakt.adapters.grpc_calls import CALL
from portvakt.forge.faults import FAULTS, Forgery
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from collections.abc import Iterator

ISSUER: Final = FakeIssuer()
ROUTES: Final = [
    *({"path": f"{PATH}/{method}", "scopes": ["read"]} for method in KINDS),
    {"path": "/test.Open/Read", "public": True},
]
HONEST: Final = ISSUER.token(scopes=["read"])

SAID: Final = {
    "Read": ["{} reads one"],
    "List": ["{} lists one 0", "{} lists one 1", "{} lists one 2"],
    "Write": ["{} writes one two"],
    "Chat": ["{} says one", "{} says two"],
}

told: Final[list[tuple[HttpRequest, Decision]]] = []


def note(request: HttpRequest, decision: Decision) -> None:
    told.append((request, decision))


GUARD: Final = guard_of(ISSUER, route=ROUTES, observers=(note,))


@pytest.fixture(scope="module", params=FLAVOURS)
def channel(request: pytest.FixtureRequest) -> Iterator[grpc.Channel]:
    flavour = request.param
    services = {
        SERVICE: handlers(servicer(flavour)),
        "test.Open": handlers(servicer(flavour), ["Read"]),
    }
    make = make_server(flavour, GUARD)
    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as opened:
        yield opened


def refusal(answer: Any) -> str:
    """Why the last call was refused, as its observer was told."""
    decision = told[-1][1]
    assert decision.refusal is not None
    assert answer.messages == []
    assert answer.details == decision.refusal.code.sentence
    assert json.loads(answer.trailing["problem-bin"]) == {
        "type": "about:blank",
        "title": json.loads(answer.trailing["problem-bin"])["title"],
        "status": decision.refusal.code.status,
        "detail": decision.refusal.code.sentence,
    }
    return str(decision.refusal.code.value)


@pytest.mark.twin("HTTP-13", "API-08")
@pytest.mark.parametrize("method", KINDS)
def test_an_honest_call_is_served_and_its_handler_knows_whose_it_is(
    channel: grpc.Channel, method: str
) -> None:
    token = ISSUER.token(scopes=["read"], claims={"sub": "somebody"})

    answer = call(channel, method, bearer(token))

    assert answer.code is grpc.StatusCode.OK, answer
    assert answer.messages == [said.format("somebody") for said in SAID[method]]
    assert told[-1][0].method == "POST"
    assert told[-1][0].url == f"{PATH}/{method}"


@pytest.mark.attack("HTTP-13")
@pytest.mark.parametrize("method", KINDS)
def test_a_call_without_a_token_is_refused_with_the_challenge_and_the_problem(
    channel: grpc.Channel, method: str
) -> None:
    answer = call(channel, method)

    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert refusal(answer) == "credential_missing"
    assert answer.trailing["www-authenticate"] == 'Bearer realm="test-api"'
    assert not {"content-type", "content-length", "cache-control"} & answer.trailing.keys()


FORGERY: Final = Forgery.against(ISSUER.builder(["read"]), several_keys=True)
REFUSED: Final = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT,
}
APPLICABLE: Final = [row.id for row in FAULTS if row.applies(ISSUER.builder(["read"]), FORGERY)]


@pytest.mark.attack("API-12")
def test_no_forged_token_gets_in(channel: grpc.Channel) -> None:
    assert len(APPLICABLE) > 50
    for fault in APPLICABLE:
        token = ISSUER.forged(fault, ["read"])
        if not (token.isascii() and token.isprintable()):
            continue  # No client of gRPC can send it.

        answer = call(channel, "Read", bearer(token))

        if fault == "big":
            # It has more octets than gRPC takes as metadata, which then answers itself.
            assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            continue
        assert answer.code in REFUSED, fault
        assert refusal(answer)


@pytest.mark.twin("API-12")
def test_a_token_without_the_scope_is_told_which(channel: grpc.Channel) -> None:
    answer = call(channel, "Chat", bearer(ISSUER.token(scopes=["write"])))

    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(answer) == "scope_insufficient"
    assert 'scope="read"' in answer.trailing["www-authenticate"]


@pytest.mark.attack("HTTP-04", "HTTP-07")
@pytest.mark.parametrize("second", [HONEST, "x.y.z"])
@pytest.mark.parametrize("turned", [False, True])
def test_metadata_that_comes_twice_is_kept_and_refused(
    channel: grpc.Channel, second: str, turned: bool
) -> None:
    sent = [*bearer(HONEST), *bearer(second)]

    answer = call(channel, "Read", reversed(sent) if turned else sent)

    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal(answer) == "credential_repeated"


@pytest.mark.attack("HTTP-05", "HTTP-06", "HTTP-09")
@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ([("authorization", f"Bearer {HONEST}, Bearer {HONEST}")], Code.CREDENTIAL_MALFORMED),
        ([("authorization", "Basic eDp5")], Code.SCHEME_UNSUPPORTED),
        ([("authorization", f"DPoP {HONEST}")], Code.SCHEME_REFUSED),
        ([("authorization-bin", b"Bearer " + HONEST.encode())], Code.CREDENTIAL_MISSING),
        ([*bearer(HONEST), ("x-http-method-override", "GET")], Code.METHOD_OVERRIDDEN),
    ],
)
def test_credentials_are_read_as_over_http(
    channel: grpc.Channel, metadata: list[tuple[str, Any]], code: Code
) -> None:
    assert refusal(call(channel, "Read", metadata)) == code.value


@pytest.mark.twin("HTTP-04", "HTTP-05", "HTTP-06", "HTTP-07", "HTTP-09")
def test_other_metadata_is_the_apis_own(channel: grpc.Channel) -> None:
    metadata = [
        ("authorization", f"bearer  {HONEST}"),
        *(("x-many", "1"), ("x-many", "2"), ("trace-bin", b"\x00\xff")),
    ]

    answer = call(channel, "Read", metadata)

    assert answer.code is grpc.StatusCode.OK
    headers = told[-1][0].headers
    assert [value for name, value in headers if name == "x-many"] == ["1", "2"]
    assert ("trace-bin", "AP8=") in headers


def test_a_public_method_needs_no_token_and_has_none(channel: grpc.Channel) -> None:
    answer = call(channel, path="/test.Open/Read")

    assert answer.messages == ["nobody reads one"]


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("method", KINDS)
@pytest.mark.parametrize(
    "path",
    [
        f"{PATH}/Nothing",
        "/test.Nobody/Read",
        "/test.Open/Read/",
        "//test.Open/Read",
        "/test.Open/read",
    ],
)
@pytest.mark.parametrize("token", [None, HONEST])
def test_methods_that_are_not_there_are_refused_by_the_policy(
    channel: grpc.Channel, method: str, path: str, token: str | None
) -> None:
    answer = call(channel, method, bearer(token), path=path)

    assert answer.code is grpc.StatusCode.PERMISSION_DENIED
    assert refusal(answer) == "route_unknown"


@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("path", ["/test.Open/Read?x", "/test.Open/Read#x", "test.Open/Read"])
def test_what_is_no_path_is_refused(channel: grpc.Channel, path: str) -> None:
    answer = call(channel, path=path)

    assert answer.code is not grpc.StatusCode.OK
    assert answer.messages == []


@pytest.mark.twin("HTTP-18")
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_without_rules_only_who_has_a_token_hears_what_is_not_there(flavour: str) -> None:
    make = make_server(flavour, guard_of(ISSUER))

    with serving(flavour, make, {}) as target, grpc.insecure_channel(target) as channel:
        stranger = call(channel, path="/test.Nobody/Read")
        holder = call(channel, "Chat", bearer(HONEST), path="/test.Nobody/Read")

    assert stranger.code is grpc.StatusCode.UNAUTHENTICATED
    assert (holder.code, holder.details) == (grpc.StatusCode.UNIMPLEMENTED, "Method not found!")


@pytest.mark.attack("HTTP-11", "API-07")
@pytest.mark.twin("HTTP-11")
def test_nothing_that_the_caller_sent_is_in_a_refusal(channel: grpc.Channel) -> None:
    token = ISSUER.token(scopes=["write"], claims={"sub": 'canary"sub', "jti": "canary-jti"})
    for path in (f"{PATH}/Read", "/canary.Service/Canary"):
        for credential in (token, token[:-4] + "AAAA", "canary.token.here"):
            answer = call(channel, "Read", [*bearer(credential), ("x-canary", "c")], path=path)
            shown = f"{answer.details}{answer.initial}{answer.trailing}"
            assert answer.code is not grpc.StatusCode.OK
            assert "canary" not in shown.lower()
            assert not any(len(part) > 9 and part in shown for part in credential.split("."))


class NoKeys(KeySource):
    """Keys that cannot be had."""

    def current(self, issuer: Any, header: Any = None) -> None:
        return None

    async def fetch(self, issuer: Any, header: Any = None) -> Any:
        raise Unavailable(Code.KEYS_UNAVAILABLE, "no way there", retry_after=7)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_cannot_be_decided_is_unavailable_and_says_when_to_try_again(flavour: str) -> None:
    guard = GrpcGuard(issuers=[ISSUER.trusted], keys=NoKeys(), clock=ISSUER.clock)
    make = make_server(flavour, guard, {f"{PATH}/Read": Requirement.of(["read"])})

    services = {SERVICE: handlers(servicer(flavour), ["Read"])}
    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as channel:
        answer = call(channel, "Read", bearer(HONEST))

    assert answer.code is grpc.StatusCode.UNAVAILABLE
    assert answer.trailing["retry-after"] == "7"
    assert "www-authenticate" not in answer.trailing


class Picky:
    """Counts what reaches it, and does not take every message."""

    def __init__(self) -> None:
        self.parsed = self.served = 0

    def parse(self, octets: bytes) -> str:
        self.parsed += 1
        if octets == b"bad":
            raise ValueError("no message")
        return octets.decode()

    def read(self, request: str, context: Any) -> str:
        self.served += 1
        return request

    async def aread(self, request: str, context: Any) -> str:
        self.served += 1
        return request


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_of_a_refused_call_reaches_the_application(flavour: str) -> None:
    api = Picky()
    method = grpc.unary_unary_rpc_method_handler(
        api.aread if flavour == "aio" else api.read, api.parse, encoded
    )
    make = make_server(flavour, guard_of(ISSUER, route=ROUTES))

    with (
        serving(flavour, make, {SERVICE: {"Read": method}}) as target,
        grpc.insecure_channel(target) as channel,
    ):
        refused = call(channel, "Read", sent=["good"])
        before = api.parsed, api.served
        bad = call(channel, "Read", bearer(HONEST), sent=["bad"])
        good = call(channel, "Read", bearer(HONEST), sent=["good"])

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert before == (0, 0)
    # gRPC's own codes: of its blocking server, and of the other one.
    expected = grpc.StatusCode.UNKNOWN if flavour == "aio" else grpc.StatusCode.INTERNAL
    assert bad.code is expected
    assert good.messages == ["good"]
    assert (api.parsed, api.served) == (2, 1)


@pytest.mark.attack("API-08", "API-10")
@pytest.mark.twin("API-10")
def test_no_call_sees_another_ones_token(channel: grpc.Channel) -> None:
    names = [f"person-{number}" for number in range(40)]
    tokens = {name: ISSUER.token(scopes=["read"], claims={"sub": name}) for name in names}

    def one(name: str) -> list[str]:
        method = list(KINDS)[hash(name) % 4]
        answer = call(channel, method, bearer(tokens[name]))
        open_one = call(channel, path="/test.Open/Read")
        assert answer.messages == [said.format(name) for said in SAID[method]]
        return open_one.messages

    with ThreadPoolExecutor(max_workers=8) as pool:
        assert list(pool.map(one, names)) == [["nobody reads one"]] * len(names)


@pytest.mark.attack("API-08")
@pytest.mark.parametrize("flavour", ["blocking", "migrating"])
def test_a_thread_that_served_a_call_keeps_nothing_of_it(flavour: str) -> None:
    guard, pools = guard_of(ISSUER), []

    def make(pool: Any) -> Any:
        pools.append(pool)
        demands = {f"{PATH}/{method}": Requirement.of(["read"]) for method in KINDS}
        return make_server(flavour, guard, demands)(pool)

    services = {SERVICE: handlers(servicer(flavour))}
    with serving(flavour, make, services) as target, grpc.insecure_channel(target) as channel:
        for method in KINDS:
            assert call(channel, method, bearer(HONEST)).code is grpc.StatusCode.OK
        left = [pools[0].submit(CALL.get, None) for _ in range(32)]

        assert [one.result() for one in left] == [None] * 32
