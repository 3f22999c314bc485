"""CACHE-03 and API-12: what is demanded after a check is demanded as in a check."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import pytest
from msgspec import structs

from asking import INACTIVE, ISSUER, Asking, claims_of
from keeping import at_home
from portvakt import (
    AccessToken,
    Code,
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    Requirement,
)
from portvakt.guard.parts import Parts
from portvakt.http.forwarded import Proxies, network_of
from portvakt.jose.jwk_set import JwkSet
from portvakt.net.keys import FixedKeys

TOKEN: Final = "ref_0123456789_abcdefghijklmnopqrstuvwxyz_0123456789"
HIGH: Final = Requirement.of(sensitivity="high")


def code_of(decision: Decision) -> Code | None:
    return None if decision.refusal is None else decision.refusal.code


class Later:
    """A guard that asks about reference tokens, and remembers the answers for ten seconds."""

    def __init__(self, **how: Any) -> None:
        self.asking = Asking(max_staleness=10.0)
        self.out = self.asking.out
        self.out.answers[TOKEN] = claims_of()
        jwks = JwkSet.from_object(ISSUER.jwks(), ISSUER.trusted.algorithms)
        self.guard = Guard(
            issuers=[ISSUER.trusted],
            keys=FixedKeys({ISSUER.trusted.issuer: jwks}),
            parts=Parts(introspection=self.asking.introspection, **how),
            clock=self.asking.wall,
        )
        self.request = ISSUER.request(TOKEN)

    async def admitted(self) -> Decision:
        decision = await self.guard.check(self.request)
        assert decision.admitted
        return decision


@at_home
@pytest.mark.attack("CACHE-03", "CACHE-07")
async def test_data_of_high_sensitivity_has_the_issuer_asked_anew_also_when_it_is_demanded_later() -> (
    None
):
    later = Later()
    await later.admitted()
    later.out.answers[TOKEN] = INACTIVE
    later.asking.advance(5)
    decision = await later.admitted()  # By what is remembered.
    assert code_of(await later.guard.demand(later.request, decision, HIGH)) is Code.TOKEN_INACTIVE
    assert code_of(await later.guard.check(later.request, HIGH)) is Code.TOKEN_INACTIVE


@at_home
@pytest.mark.attack("CACHE-03")
@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"cnf": {"jkt": "x" * 43}}, Code.CONFIRMATION_UNMET),
        ({"scope": ""}, Code.SCOPE_INSUFFICIENT),
    ],
)
async def test_what_the_issuer_says_now_is_what_counts(claims: dict[str, Any], code: Code) -> None:
    later = Later()
    later.out.answers[TOKEN] = claims_of(scope="read")
    decision = await later.admitted()
    later.out.answers[TOKEN] = claims_of(**claims)
    high = Requirement.of(["read"], sensitivity="high")
    assert code_of(await later.guard.demand(later.request, decision, high)) is code


@at_home
@pytest.mark.twin("CACHE-03", "CACHE-07")
async def test_a_token_that_is_still_good_is_admitted_and_known_anew() -> None:
    later = Later()
    decision = await later.admitted()
    assert (await later.guard.demand(later.request, decision, Requirement.of())) is decision
    assert len(later.out.asked) == 1
    later.out.answers[TOKEN] = claims_of(scope="more")
    again = await later.guard.demand(later.request, decision, HIGH)
    assert again.token is not None
    assert again.token.scopes == {"more"}
    assert len(later.out.asked) == 2


@at_home
async def test_require_cannot_wait_for_an_issuer() -> None:
    later = Later()
    decision = await later.admitted()
    with pytest.raises(ConfigurationError, match="demand"):
        later.guard.require(later.request, decision, HIGH)
    normal = Requirement.of(sensitivity="normal")
    assert later.guard.require(later.request, decision, normal) is decision


@pytest.mark.attack("MTLS-03")
@pytest.mark.twin("MTLS-03")
def test_a_check_of_ones_own_sees_the_certificate_that_was_judged() -> None:
    seen: list[bytes | None] = []

    def look(_: AccessToken, request: HttpRequest) -> bool:
        seen.append(request.client_certificate)
        return True

    certificate = b"0\x03\x02\x01\x01"
    made, looking = ISSUER.guard(), Requirement.of(checks=[look])
    guard = Guard(
        issuers=made.issuers.values(),
        keys=made.keys,
        parts=Parts(proxies=Proxies([network_of("10.0.0.1")], "haproxy")),
        clock=ISSUER.clock,
    )
    header = ("X-SSL-Client-DER", b64encode(certificate).decode())
    honest = ISSUER.request(ISSUER.token(), headers=[header])
    for peer, shown in (("10.0.0.1", certificate), ("10.0.0.2", b"0\0")):
        # What the connection itself shows is the proxy's own certificate, or a stranger's.
        request = structs.replace(honest, peer=peer, client_certificate=b"0\0")
        seen.clear()
        guard.check_blocking(request, looking)
        guard.require(request, guard.check_blocking(request), looking)
        assert seen == [shown, shown]
