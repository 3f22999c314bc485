"""Remembered tokens: the second look-up must not know less than the first."""

from portvakt import FixedKeys, JwkSet, TrustedIssuer
from portvakt.guard.validated import ValidatedTokens
from portvakt.jose.header import Header
from portvakt.net.keys import KeySource
from portvakt.policy.access_token import AccessToken
from portvakt.policy.identity import NO_IDENTITY
from portvakt.testing import FakeIssuer

ISSUER = FakeIssuer()
KEYS = JwkSet.from_object(ISSUER.jwks(), ["ES256"])
TAIL = "s" * 64


class Swap(KeySource):
    def __init__(self) -> None:
        self.keys = KEYS

    def current(self, _issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        return self.keys

    async def fetch(self, _issuer: TrustedIssuer, header: Header | None = None) -> JwkSet:
        return self.keys


def verified(
    *, issued: float = 100, expires: float = 400, start: float | None = None
) -> AccessToken:
    return AccessToken(
        ISSUER.trusted.issuer,
        "s",
        "c",
        ("a",),
        frozenset(),
        issued,
        expires,
        start,
        "j",
        None,
        "t",
        NO_IDENTITY,
        0.0,
        {},
    )


def memory(capacity: int = 10) -> ValidatedTokens:
    return ValidatedTokens(FixedKeys({ISSUER.trusted.issuer: KEYS}), capacity)


def test_it_holds_from_its_start_to_its_end() -> None:
    tokens = memory()
    tokens.put("iat" + TAIL, verified(), ISSUER.trusted, KEYS)
    assert tokens.get("iat" + TAIL, 69.9) is None  # iat may be thirty seconds ahead
    assert tokens.get("iat" + TAIL, 70) is not None
    assert tokens.get("iat" + TAIL, 404.9) is not None
    assert tokens.get("iat" + TAIL, 405) is None  # exp and five seconds of leeway
    tokens.put("nbf" + TAIL, verified(start=200), ISSUER.trusted, KEYS)
    assert tokens.get("nbf" + TAIL, 194.9) is None
    assert tokens.get("nbf" + TAIL, 195) is not None
    tokens.put("old" + TAIL, verified(start=50), ISSUER.trusted, KEYS)
    assert tokens.get("old" + TAIL, 69.9) is None


def test_all_characters_count() -> None:
    tokens = memory()
    tokens.put("a" + TAIL, verified(), ISSUER.trusted, KEYS)
    assert tokens.get("a" + TAIL, 100) is not None
    assert tokens.get("b" + TAIL, 100) is None
    assert tokens.get(TAIL, 100) is None
    assert tokens.get("aa" + TAIL, 100) is None


def test_it_holds_only_under_the_very_keys_that_verified_it() -> None:
    source = Swap()
    tokens = ValidatedTokens(source)
    tokens.put(TAIL, verified(), ISSUER.trusted, KEYS)
    assert tokens.get(TAIL, 100) is not None
    source.keys = JwkSet.from_object(ISSUER.jwks(), ["ES256"])  # the same content, fetched anew
    assert tokens.get(TAIL, 100) is None
    source.keys = KEYS
    assert tokens.get(TAIL, 100) is not None


def test_it_is_bounded_and_keeps_what_is_in_use() -> None:
    tokens = memory(capacity=8)
    tokens.put("used" + TAIL, verified(), ISSUER.trusted, KEYS)
    for number in range(100):
        name = f"{number:064}"
        tokens.put(name, verified(), ISSUER.trusted, KEYS)
        assert tokens.get(name, 100) is not None
        assert tokens.get("used" + TAIL, 100) is not None
        assert len(tokens) <= 8
    assert tokens.get(f"{1:064}", 100) is None


def test_it_does_not_show_what_it_remembers() -> None:
    tokens = memory()
    tokens.put(TAIL, verified(), ISSUER.trusted, KEYS)
    assert repr(tokens) == "ValidatedTokens(1)"
