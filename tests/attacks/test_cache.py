"""Family CACHE: a token that is remembered is judged as one that is seen for the first time."""

import math
from typing import Any, Final

import pytest

from portvakt import (
    Code,
    Decision,
    FixedKeys,
    Guard,
    JwkSet,
    Requirement,
    TrustedIssuer,
    Unavailable,
)
from portvakt.guard.validated import ValidatedTokens
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.testing import FakeIssuer

NOW: Final = 1_800_000_000

#: The order of the generator of P-256 (NIST SP 800-186).
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def code_of(decision: Decision) -> Code | None:
    assert decision.token is None or decision.admitted
    return None if decision.refusal is None else decision.refusal.code


class Keys(KeySource):
    """A source whose key sets a test exchanges."""

    def __init__(self, issuer: FakeIssuer) -> None:
        self.set: JwkSet | None = keys_of(issuer)

    def current(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet | None:
        return self.set

    async def fetch(self, issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        raise Unavailable(Code.KEYS_UNAVAILABLE, retry_after=5)


def keys_of(issuer: FakeIssuer) -> JwkSet:
    return JwkSet.from_object(issuer.jwks(), issuer.trusted.algorithms)


def guard_of(issuer: FakeIssuer) -> tuple[Guard, Keys]:
    keys = Keys(issuer)
    return Guard(issuers=[issuer.trusted], keys=keys, clock=issuer.clock), keys


def remembered(guard: Guard) -> int:
    """Return how many tokens a guard remembers."""
    return len(guard._validated)


@pytest.mark.attack("CACHE-01")
def test_a_token_that_shares_most_of_its_characters_is_another() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    token = issuer.token()
    header, payload, signature = token.split(".")
    assert guard.check_blocking(issuer.request(token)).admitted
    other = issuer.builder().claims(sub="admin").build().split(".")[1]
    stranger = FakeIssuer().token().split(".")[2]
    forgeries = [
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{stranger}",
        f"{header}.{payload[:-4]}{'A' * 4}.{signature}",
        f"{header}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        f"{header}.{payload}.{signature[:-1]}{'Q' if signature[-1] == 'A' else 'A'}",
        f"{header}.{payload}.{signature[:40]}{'A' * 6}{signature[46:]}",
        f"A{token}",
        f"{token}A",
        token[1:],
        token[:-1],
        token[-64:],
        token[-65:],
        f".{token}",
    ]
    for forgery in forgeries:
        for _ in range(2):
            assert not guard.check_blocking(issuer.request(forgery)).admitted, forgery
    assert guard.check_blocking(issuer.request(token)).admitted


@pytest.mark.attack("CACHE-01")
def test_every_character_of_a_remembered_token_counts() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    token = issuer.token()
    assert guard.check_blocking(issuer.request(token)).admitted
    for position in range(0, len(token), 5):
        changed = "B" if token[position] != "B" else "C"
        forgery = token[:position] + changed + token[position + 1 :]
        assert not guard.check_blocking(issuer.request(forgery)).admitted, position


def last_second(guard: Guard, issuer: FakeIssuer, tokens: list[str], *, warm: bool) -> float:
    """Find, to the last bit, the latest time at which a token is admitted."""
    early, late = float(NOW), float(NOW + 10_000)
    while (middle := (early + late) / 2) not in {early, late}:
        issuer.clock.set(middle)
        request = issuer.request(tokens[0] if warm else tokens.pop())
        if guard.check_blocking(request).admitted:
            early = middle
        else:
            late = middle
    return early


@pytest.mark.attack("CACHE-02")
@pytest.mark.parametrize("leeway", ["0s", "5s", "300s"])
@pytest.mark.parametrize("exp", [NOW + 60, NOW + 59.7])
def test_a_remembered_token_expires_with_any_other_to_the_last_bit(leeway: str, exp: float) -> None:
    issuer = FakeIssuer()
    config = issuer.config()
    config["issuer"][0]["leeway"] = leeway
    honest = issuer.builder().claims(exp=exp)
    warm, cold = (Guard.from_config(config, clock=issuer.clock) for _ in range(2))
    assert warm.check_blocking(issuer.request(honest.build())).admitted
    expected = math.nextafter(exp + float(leeway[:-1]), 0)
    tokens = [honest.claims(jti=str(index)).build() for index in range(80)]
    assert last_second(cold, issuer, tokens, warm=False) == expected
    token = honest.build()
    issuer.clock.set(NOW)
    assert warm.check_blocking(issuer.request(token)).admitted
    assert last_second(warm, issuer, [token], warm=True) == expected
    issuer.clock.set(expected)
    assert warm.check_blocking(issuer.request(token)).admitted
    issuer.clock.set(exp + float(leeway[:-1]))
    assert code_of(warm.check_blocking(issuer.request(token))) is Code.TOKEN_EXPIRED


@pytest.mark.attack("CACHE-02")
@pytest.mark.parametrize("claims", [{"nbf": NOW}, {"iat": NOW + 20, "exp": NOW + 300}])
def test_a_remembered_token_begins_with_any_other(claims: dict[str, int]) -> None:
    issuer = FakeIssuer()
    guard, other = issuer.guard(), issuer.guard()
    request = issuer.request(issuer.token(claims=claims))
    assert guard.check_blocking(request).admitted
    codes = set()
    for earlier in range(40):
        issuer.clock.set(NOW - earlier)
        codes.add(code_of(guard.check_blocking(request)))
        fresh = issuer.guard() if earlier % 10 == 0 else other
        assert code_of(fresh.check_blocking(request)) is code_of(guard.check_blocking(request))
    assert len(codes) == 2


@pytest.mark.twin("CACHE-01", "CACHE-02")
def test_a_remembered_token_is_the_very_one_that_was_verified() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token())
    first = guard.check_blocking(request)
    issuer.clock.advance(250)
    again = guard.check_blocking(request)
    assert again.admitted
    assert again.token is first.token
    assert again.at == first.at + 250


@pytest.mark.attack("CACHE-03")
def test_a_token_remembered_for_one_route_proves_nothing_on_another() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard(
        route=[
            {"path": "/open"},
            {"path": "/read", "scopes": ["read"]},
            {"path": "/write", "scopes": ["write"]},
        ]
    )
    token = issuer.token(scopes=["read"])
    for _ in range(2):
        for path, code in (
            ("/open", None),
            ("/read", None),
            ("/write", Code.SCOPE_INSUFFICIENT),
            ("/other", Code.ROUTE_UNKNOWN),
        ):
            assert code_of(guard.check_blocking(issuer.request(token, url=path))) is code
    demand = Requirement.of(scopes=["admin"])
    refused = guard.check_blocking(issuer.request(token, url="/read"), demand)
    assert code_of(refused) is Code.SCOPE_INSUFFICIENT


@pytest.mark.twin("CACHE-03")
def test_a_remembered_token_is_admitted_wherever_its_scopes_suffice() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard(
        route=[{"path": "/a", "scopes": ["read"]}, {"path": "/b", "scopes": ["write"]}]
    )
    token = issuer.token(scopes=["read", "write"])
    for path in ("/a", "/b", "/a"):
        assert guard.check_blocking(issuer.request(token, url=path)).admitted


@pytest.mark.attack("CACHE-04")
def test_what_one_policy_admitted_means_nothing_to_another() -> None:
    issuer = FakeIssuer()
    token = issuer.token()
    mine = issuer.guard()
    assert mine.check_blocking(issuer.request(token)).admitted
    changes: list[tuple[dict[str, Any], Code]] = [
        ({"audience": "other-api"}, Code.AUDIENCE_WRONG),
        ({"max_lifetime": "1m"}, Code.LIFETIME_TOO_LONG),
        ({"typ": ["JWT"]}, Code.TYPE_REFUSED),
        ({"required_claims": ["acr"]}, Code.CLAIM_MISSING),
        ({"jwks": FakeIssuer().jwks()}, Code.SIGNATURE_INVALID),
        ({"issuer": "https://other.test"}, Code.ISSUER_UNKNOWN),
    ]
    for change, code in changes:
        config = issuer.config()
        config["issuer"][0].update(change)
        theirs = Guard.from_config(config, clock=issuer.clock)
        assert code_of(theirs.check_blocking(issuer.request(token))) is code
        assert mine.check_blocking(issuer.request(token)).admitted


@pytest.mark.twin("CACHE-04")
def test_the_same_token_is_admitted_by_two_guards_of_the_same_policy() -> None:
    issuer = FakeIssuer()
    request = issuer.request(issuer.token())
    assert issuer.guard().check_blocking(request).admitted
    assert issuer.guard().check_blocking(request).admitted


@pytest.mark.attack("CACHE-05")
def test_a_bound_token_is_refused_as_bearer_every_time() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token(claims={"cnf": {"jkt": "x" * 43}}))
    for _ in range(3):
        assert code_of(guard.check_blocking(request)) is Code.CONFIRMATION_UNMET


@pytest.mark.twin("CACHE-05")
def test_an_unbound_token_is_admitted_every_time() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token())
    assert all(guard.check_blocking(request).admitted for _ in range(3))


@pytest.mark.attack("CACHE-06")
def test_no_failure_is_remembered_in_any_form() -> None:
    from portvakt.forge.faults import FAULTS, Forgery

    issuer = FakeIssuer()
    guard = issuer.guard()
    token = issuer.builder()
    forgery = Forgery.against(token, several_keys=True)
    for fault in FAULTS:
        if fault.code is not Code.CONFIRMATION_UNMET and fault.applies(token, forgery):
            request = issuer.request(fault.apply(token, forgery))
            codes = {code_of(guard.check_blocking(request)) for _ in range(2)}
            assert codes == {fault.code}, fault.id
    assert remembered(guard) == 0


@pytest.mark.attack("CACHE-06")
def test_a_failure_that_was_temporary_is_not_remembered() -> None:
    issuer = FakeIssuer()
    guard, keys = guard_of(issuer)
    early = issuer.request(issuer.token(claims={"nbf": NOW + 60}))
    assert code_of(guard.check_blocking(early)) is Code.NOT_YET_VALID
    issuer.clock.advance(60)
    assert guard.check_blocking(early).admitted
    fresh, known, keys.set = issuer.request(issuer.token()), keys.set, None
    assert code_of(guard.check_blocking(fresh)) is Code.KEYS_UNAVAILABLE
    keys.set = known
    assert guard.check_blocking(fresh).admitted


@pytest.mark.twin("CACHE-06")
def test_a_success_is_remembered_even_where_a_scope_is_missing() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token())
    for _ in range(2):
        assert not guard.check_blocking(request, Requirement.of(scopes=["read"])).admitted
    assert guard.check_blocking(request).admitted
    assert remembered(guard) == 1


@pytest.mark.attack("CACHE-07", "KEY-23")
def test_a_withdrawn_key_takes_its_remembered_tokens_with_it() -> None:
    issuer, successor = FakeIssuer(), FakeIssuer()
    guard, keys = guard_of(issuer)
    request = issuer.request(issuer.token())
    assert guard.check_blocking(request).admitted
    # The same name, other material; no key at all; no set to be had.
    keys.set = keys_of(successor)
    assert code_of(guard.check_blocking(request)) is Code.SIGNATURE_INVALID
    keys.set = JwkSet.from_object({"keys": []}, ["ES256"])
    assert code_of(guard.check_blocking(request)) is Code.KEY_UNKNOWN
    keys.set = None
    assert code_of(guard.check_blocking(request)) is Code.KEYS_UNAVAILABLE


@pytest.mark.attack("CACHE-07")
def test_a_token_verified_under_an_old_set_is_not_remembered_for_the_new_one() -> None:
    issuer = FakeIssuer()
    guard, keys = guard_of(issuer)
    request = issuer.request(issuer.token())
    assert guard.check_blocking(request).admitted
    keys.set = keys_of(FakeIssuer())
    assert not guard.check_blocking(request).admitted
    assert not guard.check_blocking(request).admitted


@pytest.mark.twin("CACHE-07", "KEY-23")
def test_a_key_that_is_still_published_after_a_refresh_is_still_good() -> None:
    issuer = FakeIssuer()
    guard, keys = guard_of(issuer)
    request = issuer.request(issuer.token())
    assert guard.check_blocking(request).admitted
    keys.set = keys_of(issuer)
    assert guard.check_blocking(request).admitted


def mirrored(token: str) -> str:
    """Return the other signature that ES256 has for the same text: (r, n - s)."""
    signed, _, signature = token.rpartition(".")
    octets = decode_base64url(signature)
    s = ORDER - int.from_bytes(octets[32:], "big")
    return f"{signed}.{encode_base64url(octets[:32] + s.to_bytes(32, 'big'))}"


@pytest.mark.attack("CACHE-08")
def test_one_token_in_other_characters_is_refused_or_has_the_same_name() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    token = issuer.token()
    decision = guard.check_blocking(issuer.request(token))
    assert decision.token is not None
    for spelling in (f"{token}=", f"{token}==", token.replace("-", "+").replace("_", "/") + "+",
                     f"{token[:-1]}{chr(ord(token[-1]) + 1)}", token.replace(".", "..", 1)):  # fmt: skip
        assert not guard.check_blocking(issuer.request(spelling)).admitted
    # What cannot be refused keeps (iss, jti), by which it can be revoked; its characters are no
    # name.
    other = guard.check_blocking(issuer.request(mirrored(token)))
    assert other.token is not None
    assert (other.token.issuer, other.token.token_id) == (
        decision.token.issuer,
        decision.token.token_id,
    )


@pytest.mark.twin("CACHE-08", "SIG-06")
def test_both_signatures_that_es256_allows_are_admitted_in_any_order() -> None:
    issuer = FakeIssuer()
    for first, second in ((0, 1), (1, 0)):
        guard = issuer.guard()
        token = issuer.token()
        spellings = (token, mirrored(token))
        for position in (first, second, first):
            assert guard.check_blocking(issuer.request(spellings[position])).admitted


@pytest.mark.attack("CACHE-09")
def test_the_memory_is_bounded_however_many_tokens_come() -> None:
    issuer = FakeIssuer()
    guard, keys = guard_of(issuer)
    guard._validated = ValidatedTokens(keys, capacity=20)
    for index in range(200):
        token = issuer.token(claims={"jti": str(index)}, header={"x": str(index)})
        assert guard.check_blocking(issuer.request(token)).admitted
        guard.check_blocking(issuer.request(token))
        assert remembered(guard) <= 20
    for _ in range(300):
        token = issuer.token(header={"y": issuer.token()[:8]})
        guard.check_blocking(issuer.request(token))
    assert len(guard._known_headers) <= 256


@pytest.mark.attack("CACHE-09")
def test_headers_are_remembered_only_of_verified_tokens_and_up_to_a_bound() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    for index in range(400):
        forged = issuer.builder().header(x=index).signature(b"\1" * 64).build()
        assert code_of(guard.check_blocking(issuer.request(forged))) is Code.SIGNATURE_INVALID
    assert len(guard._known_headers) == 0
    for index in range(300):
        assert guard.check_blocking(issuer.request(issuer.token(header={"x": index}))).admitted
    assert len(guard._known_headers) <= 256


@pytest.mark.twin("CACHE-09")
def test_tokens_in_use_stay_in_a_full_memory_and_others_are_verified_again() -> None:
    issuer = FakeIssuer()
    keys = FixedKeys({issuer.trusted.issuer: keys_of(issuer)})
    guard = Guard(issuers=[issuer.trusted], keys=keys, clock=issuer.clock)
    guard._validated = ValidatedTokens(keys, capacity=10)
    used = issuer.request(issuer.token())
    first = guard.check_blocking(used).token
    for _ in range(30):
        assert guard.check_blocking(issuer.request(issuer.token())).admitted
        assert guard.check_blocking(used).token is first


@pytest.mark.attack("CACHE-10")
def test_no_caller_can_change_what_is_remembered() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    request = issuer.request(issuer.token(claims={"roles": ["user"], "org": {"id": ["1"]}}))
    token = guard.check_blocking(request).token
    assert token is not None
    claims: Any = token.claims
    with pytest.raises(TypeError):
        claims["sub"] = "admin"
    with pytest.raises(TypeError):
        del claims["sub"]
    for method in ("update", "pop", "clear", "setdefault", "popitem"):
        assert not hasattr(claims, method)
    with pytest.raises(AttributeError):
        claims["roles"].append("admin")
    with pytest.raises(TypeError):
        claims["org"]["id"] = "2"
    with pytest.raises(AttributeError):
        claims["org"]["id"].append("2")
    with pytest.raises(AttributeError):
        token.subject = "admin"  # type: ignore[misc]  # frozen
    with pytest.raises(AttributeError):
        token.scopes.add("admin")  # type: ignore[attr-defined]
    copied = dict(claims)
    copied["sub"] = "admin"
    again = guard.check_blocking(request).token
    assert again is not None
    assert again.claims["sub"] == again.subject != "admin"
    assert again.claims["roles"] == ("user",)
    assert again.claims["org"]["id"] == ("1",)


@pytest.mark.twin("CACHE-10")
def test_claims_are_read_like_any_mapping() -> None:
    issuer = FakeIssuer()
    decision = issuer.guard().check_blocking(issuer.request(issuer.token(claims={"a": {"b": [1]}})))
    assert decision.token is not None
    claims = decision.token.claims
    assert claims["a"]["b"] == (1,)
    assert claims.get("missing") is None
    assert set(claims) >= {"iss", "aud", "sub", "exp"}
    assert len(claims) == len(list(claims))
    assert "a" in claims


@pytest.mark.attack("CACHE-11")
@pytest.mark.parametrize(
    "value",
    ["%s%n%x", "{0}{token}", "x FLUSHALL", "'; DROP TABLE tokens; --", "$(id)", "\\r\\n"],
)
def test_a_claim_in_the_form_of_a_command_is_only_text(value: str) -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    hostile = issuer.request(issuer.token(claims={"sub": value, "jti": value, "client_id": value}))
    bystander = issuer.request(issuer.token())
    assert guard.check_blocking(bystander).admitted
    for _ in range(2):
        decision = guard.check_blocking(hostile)
        assert decision.token is not None
        assert decision.token.subject == value
    # As a token it is no token, and nothing else that is remembered suffers.
    assert not guard.check_blocking(issuer.request(value)).admitted
    assert guard.check_blocking(bystander).admitted


@pytest.mark.attack("CACHE-11")
@pytest.mark.parametrize("value", ["x\r\nFLUSHALL\r\n", "\0"])
def test_a_claim_that_ends_a_command_is_refused(value: str) -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    for name in ("sub", "jti", "client_id"):
        assert not guard.check_blocking(issuer.request(issuer.token(claims={name: value}))).admitted
    assert guard.check_blocking(issuer.request(issuer.token())).admitted


@pytest.mark.twin("CACHE-11")
def test_two_tokens_of_the_same_claims_are_remembered_side_by_side() -> None:
    issuer = FakeIssuer()
    guard = issuer.guard()
    honest = issuer.builder()
    tokens = [honest.build() for _ in range(3)]  # ES256 signs differently each time
    for token in tokens * 2:
        assert guard.check_blocking(issuer.request(token)).admitted
