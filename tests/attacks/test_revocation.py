"""Family CACHE: what is revoked is refused, however its token is written and wherever it is kept."""

from typing import Any, Final

import pytest

from fake_store import DOWN, FakeRevocations
from keeping import at_home
from mirroring import NOW, STALE, asked_again, code_of, mirror_of, until, verified
from portvakt import Code, Refused
from portvakt.guard.revoking import Revocation, entry_for
from portvakt.jose.encoding import decode_base64url, encode_base64url
from portvakt.policy.access_token import AccessToken
from portvakt.policy.handles import Kind
from portvakt.stores.base import Entry
from portvakt.testing import FakeIssuer
from portvakt.testing.clock import FrozenClock

#: The order of the generator of P-256 (NIST SP 800-186).
ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ISSUER: Final = FakeIssuer()
CLAIMS: Final = {"jti": "stolen", "sub": "somebody", "client_id": "app", "sid": "evening"}


def revoking(kind: Kind, value: str, **what: Any) -> Entry:
    name = ISSUER.trusted.issuer
    wanted = Revocation(issuer=name, kind=kind, value=value, **what)
    return entry_for(wanted, {name: ISSUER.trusted}, NOW)


def named_by(token: AccessToken) -> dict[Kind, str]:
    return {
        Kind.TOKEN: "stolen",
        Kind.SESSION: "evening",
        Kind.SUBJECT: "somebody",
        Kind.CLIENT: "app",
        Kind.KEY: token.key_thumbprint or "",
        Kind.ISSUER: "",
    }


@pytest.mark.attack("CACHE-07")
@pytest.mark.parametrize("kind", Kind)
@at_home
async def test_a_token_that_is_remembered_is_refused_once_it_is_revoked(kind: Kind) -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    # A guard remembers this very object, and verifies nothing again.
    token = verified(ISSUER, ISSUER.token(claims=CLAIMS))
    assert code_of(mirror, token) is None
    store.write(revoking(kind, named_by(token)[kind]))
    await asked_again(mirror)
    for later in (0, 60, 299):
        assert code_of(mirror, token, NOW + later) is Code.TOKEN_REVOKED
    mirror.close()


@pytest.mark.twin("CACHE-07")
@at_home
async def test_who_is_not_meant_is_admitted() -> None:
    store = FakeRevocations()
    mirror = mirror_of(store, FrozenClock(0))
    for kind in (Kind.TOKEN, Kind.SESSION, Kind.SUBJECT, Kind.CLIENT):
        store.write(revoking(kind, named_by(verified(ISSUER, ISSUER.token()))[kind]))
    await mirror.catch_up()
    other = {"jti": "other", "sub": "someone", "client_id": "other", "sid": "morning"}
    assert code_of(mirror, verified(ISSUER, ISSUER.token(claims=other))) is None
    # The same names mean somebody else where another issuer gives them.
    stranger = FakeIssuer("https://other.test")
    assert code_of(mirror, verified(stranger, stranger.token(claims=CLAIMS))) is None
    # Who signs in again is not the one who was signed out.
    again = {**CLAIMS, "jti": "new", "sid": "new", "iat": NOW + 20, "client_id": "other"}
    assert code_of(mirror, verified(ISSUER, ISSUER.token(claims=again))) is None
    mirror.close()


@pytest.mark.attack("CACHE-07")
@at_home
async def test_an_issuer_whose_clock_is_ahead_does_not_save_what_it_issued_before() -> None:
    mirror = mirror_of(FakeRevocations([revoking(Kind.SUBJECT, "somebody")]), FrozenClock(0))
    await mirror.catch_up()
    ahead = verified(ISSUER, ISSUER.token(claims={**CLAIMS, "iat": NOW + ISSUER.trusted.leeway}))
    assert code_of(mirror, ahead) is Code.TOKEN_REVOKED
    mirror.close()


@pytest.mark.attack("CACHE-07")
@at_home
async def test_who_cuts_a_guard_off_from_its_store_gains_no_more_than_the_bound() -> None:
    clock, store = FrozenClock(0), FakeRevocations()
    mirror = mirror_of(store, clock)
    await mirror.catch_up()
    store.failing = DOWN
    token = verified(ISSUER, ISSUER.token(claims=CLAIMS))
    store.write(revoking(Kind.TOKEN, "stolen"))
    for after in (1, 2, 5, 5.999):
        clock.set(after)
        await asked_again(mirror)
        assert code_of(mirror, token) is None
    for after in (STALE, 60, 1e6):
        clock.set(after)
        await asked_again(mirror)
        assert code_of(mirror, token) is Code.REVOCATION_UNAVAILABLE
    store.failing = None
    await asked_again(mirror)
    assert code_of(mirror, token) is Code.TOKEN_REVOKED
    mirror.close()


@pytest.mark.attack("CACHE-07")
@at_home
async def test_nothing_takes_a_revocation_back() -> None:
    """Not a later one with an earlier time, nor a store that was restored or emptied."""
    store = FakeRevocations([revoking(Kind.TOKEN, "stolen"), revoking(Kind.SUBJECT, "somebody")])
    mirror = mirror_of(store, FrozenClock(0))
    await mirror.catch_up()
    token = verified(ISSUER, ISSUER.token(claims=CLAIMS))
    store.write(revoking(Kind.SUBJECT, "somebody", issued_before=NOW - 1000))
    await asked_again(mirror)
    assert code_of(mirror, token) is Code.TOKEN_REVOKED
    store.expire(1e12)
    store.replace()
    await asked_again(mirror)
    assert mirror.current()
    assert code_of(mirror, token) is Code.TOKEN_REVOKED
    mirror.close()


def other_signature(token: str) -> str:
    """Return the second signature of the same octets, which the same key made just as well."""
    signed, _, signature = token.rpartition(".")
    octets = decode_base64url(signature)
    s = ORDER - int.from_bytes(octets[32:], "big")
    return f"{signed}.{encode_base64url(octets[:32] + s.to_bytes(32, 'big'))}"


@pytest.mark.attack("CACHE-08")
@at_home
async def test_a_revoked_token_in_other_characters_is_revoked_or_no_token() -> None:
    mirror = mirror_of(FakeRevocations([revoking(Kind.TOKEN, "stolen")]), FrozenClock(0))
    await mirror.catch_up()
    token = ISSUER.token(claims=CLAIMS)
    # (r, n - s) is as good a signature, and so is one that is made anew.
    spellings = [token, other_signature(token), ISSUER.token(claims=CLAIMS)]
    # So is one of a token that says the same in other words, or more than that.
    spellings.append(ISSUER.token(claims={**CLAIMS, "more": 1, "iat": NOW + 1, "sub": "x"}))
    assert len(set(spellings)) == len(spellings)
    for spelling in spellings:
        assert code_of(mirror, verified(ISSUER, spelling)) is Code.TOKEN_REVOKED
    # What base64 could say in two ways is not taken at all.
    last = chr(ord(token[-1]) + 1)
    for spelling in (f"{token}=", f"{token[:-1]}{last}", token.replace(".", "\n.", 1), f"{token}."):
        with pytest.raises(Refused):
            verified(ISSUER, spelling)
    mirror.close()


@pytest.mark.twin("CACHE-08")
@at_home
async def test_the_other_signature_of_a_token_that_is_not_revoked_is_admitted() -> None:
    mirror = mirror_of(FakeRevocations([revoking(Kind.TOKEN, "another")]), FrozenClock(0))
    await mirror.catch_up()
    token = ISSUER.token(claims=CLAIMS)
    for spelling in (token, other_signature(token)):
        assert code_of(mirror, verified(ISSUER, spelling)) is None
    mirror.close()


@pytest.mark.attack("CACHE-07")
@at_home
async def test_every_guard_of_a_store_refuses_as_soon_as_it_is_told() -> None:
    store = FakeRevocations(pushing=True)
    mirrors = [mirror_of(store, FrozenClock(0)) for _ in range(5)]
    for mirror in mirrors:
        await mirror.catch_up()
    token = verified(ISSUER, ISSUER.token(claims=CLAIMS))
    await mirrors[0].revoke((revoking(Kind.SESSION, "evening"),))
    assert code_of(mirrors[0], token) is Code.TOKEN_REVOKED
    await until(lambda: all(code_of(mirror, token) is not None for mirror in mirrors))
    for mirror in mirrors:
        assert code_of(mirror, token) is Code.TOKEN_REVOKED
        mirror.close()
