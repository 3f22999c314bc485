"""What a token says of the things by which it could be taken back, at the exact bounds."""

from typing import Any, Final

import pytest
from msgspec.structs import replace

from portvakt import AccessToken, Code, Refused, TrustedIssuer, Unavailable
from portvakt.jose.encoding import encode_object
from portvakt.policy.access_token import check_introspected
from portvakt.policy.handles import Kind, handle_of
from portvakt.policy.token import StatusReference

NAME: Final = "https://issuer.test"
LIST: Final = "https://issuer.test/statuses/1"
ISSUER: Final = TrustedIssuer(issuer=NAME, audience="api", algorithms=frozenset({"ES256"}))
LISTED: Final = replace(ISSUER, status_lists=frozenset({LIST}))
NOW: Final = 1_800_000_000


def check(
    issuer: TrustedIssuer = ISSUER, /, *, revocable: bool = True, **claims: Any
) -> AccessToken:
    members: dict[str, Any] = {"iss": NAME, "aud": "api", "sub": "s", "client_id": "c", "jti": "j"}
    members |= {"iat": NOW, "exp": NOW + 300, **claims}
    text = encode_object(members)
    return check_introspected(members, text, issuer, NOW, key_thumbprint="key", revocable=revocable)


def test_a_token_can_be_named_by_all_that_it_says() -> None:
    names = {Kind.TOKEN: "j", Kind.SUBJECT: "s", Kind.CLIENT: "c", Kind.KEY: "key", Kind.ISSUER: ""}
    assert check().handles == {handle_of(kind, NAME, name) for kind, name in names.items()}
    assert check(revocable=False).handles == frozenset()


@pytest.mark.parametrize("session", ["s", "s" * 1024])
def test_a_token_can_be_named_by_its_session(session: str) -> None:
    found = check(sid=session).handles
    assert found == check().handles | {handle_of(Kind.SESSION, NAME, session)}


@pytest.mark.parametrize("session", ["", "s" * 1025, 1, None, ["s"], {}])
def test_a_session_that_is_no_name_is_not_taken_for_none(session: object) -> None:
    with pytest.raises(Refused) as refused:
        check(sid=session)
    assert refused.value.refusal.code is Code.CLAIM_MALFORMED
    # Where nothing is taken back, nobody asks which session it is.
    assert check(sid=session, revocable=False).handles == frozenset()


@pytest.mark.parametrize("index", [0, 1, 2**31])
def test_a_status_is_a_place_of_a_list(index: int) -> None:
    found = check(LISTED, status={"status_list": {"uri": LIST, "idx": index}}).status
    assert found == StatusReference(LIST, index)
    assert check(LISTED).status is None


@pytest.mark.parametrize(
    "status",
    [
        {"status_list": {"uri": LIST, "idx": -1}},
        {"status_list": {"uri": LIST, "idx": True}},
        {"status_list": {"uri": LIST, "idx": False}},
        {"status_list": {"uri": LIST, "idx": 1.0}},
        {"status_list": {"uri": LIST, "idx": "1"}},
        {"status_list": {"uri": LIST}},
        {"status_list": {"uri": [LIST], "idx": 1}},
        {"status_list": {"idx": 1}},
        {"status_list": LIST},
        {"uri": LIST, "idx": 1},
        {},
        [],
        LIST,
        None,
    ],
)
def test_a_status_that_names_no_place_is_not_taken_for_none(status: object) -> None:
    with pytest.raises(Refused) as refused:
        check(LISTED, status=status)
    assert refused.value.refusal.code is Code.CLAIM_MALFORMED
    # Where no list is fetched, nobody asks for a place of one.
    assert check(status=status).status is None


@pytest.mark.parametrize("uri", [f"{LIST}0", LIST.upper(), LIST[:-1], "https://other.test/", ""])
def test_a_list_that_nobody_fetches_tells_nothing(uri: str) -> None:
    with pytest.raises(Unavailable) as unavailable:
        check(LISTED, status={"status_list": {"uri": uri, "idx": 1}})
    assert unavailable.value.refusal.code is Code.REVOCATION_UNAVAILABLE
