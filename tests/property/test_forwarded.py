"""Whatever a header holds, a request comes out of it or a refusal: nothing else, and no guess."""

from __future__ import annotations

from typing import Final

from hypothesis import example, given
from hypothesis import strategies as st

from certificates import STATED, base64_of, der_of, digest_of, envoy_element, escaped_pem, issue
from portvakt.errors import Refused
from portvakt.http.certificate import NotCertificate, read_base64, read_pem
from portvakt.http.forwarded import FORMS, Proxies, RefusedNetwork, network_of
from portvakt.http.request import HttpRequest
from portvakt.oauth.confirmation import methods_of
from portvakt.oauth.mtls import confirm_certificate
from portvakt.refusal import Code

CLIENT: Final = der_of(issue("client.test"))
PROXIES: Final = {form: Proxies([network_of("10.0.0.0/8"), "unix"], form) for form in FORMS}
NAMES: Final = sorted({name for form in FORMS for name, _ in STATED[form](CLIENT)})

#: What headers of certificates are made of, taken apart and put together anew.
PIECES: Final = [
    ":", ";", ",", '"', "\\", "=", "%", "%0A", "%22", "\n", " ", "\0", "é", "Cert=",
    'Cert="', "Hash=", "By=", "URI=", "MAA=", "MA",
    "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n",
    "SUCCESS", "NONE", "FAILED:x", base64_of(CLIENT), escaped_pem(CLIENT), envoy_element(CLIENT),
    f":{base64_of(CLIENT)}:",
]  # fmt: skip
values = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)
names = st.sampled_from(NAMES) | st.sampled_from(NAMES).map(str.upper) | st.text(max_size=12)
peers = st.sampled_from(["10.0.0.1", "::ffff:10.0.0.1", "unix", "192.0.2.1", None]) | st.text()


@given(
    st.sampled_from(sorted(FORMS)),
    st.lists(st.tuples(names, values), max_size=4),
    peers,
    st.sampled_from([None, CLIENT, b""]),
)
def test_a_request_or_a_refusal_comes_out(
    form: str, headers: list[tuple[str, str]], peer: str | None, shown: bytes | None
) -> None:
    request = HttpRequest(
        method="GET", url="/", headers=tuple(headers), peer=peer, client_certificate=shown
    )
    proxies = PROXIES[form]
    code = None
    try:
        found = proxies.original(request)
    except Refused as refused:
        code = refused.refusal.code
    if code is not None:
        assert code is Code.REQUEST_MALFORMED
        assert proxies.trusts(peer)
        return
    if not proxies.trusts(peer):
        assert found is request
    assert found.headers == request.headers
    assert proxies.original(found) == found
    if found.client_certificate:
        confirm_certificate(digest_of(found.client_certificate), found.client_certificate)


@given(st.binary(max_size=300), st.sampled_from(sorted(FORMS)))
def test_only_the_certificate_that_was_stated_is_found(octets: bytes, form: str) -> None:
    request = HttpRequest(method="GET", url="/", headers=STATED[form](octets), peer="10.0.0.1")
    try:
        found = PROXIES[form].original(request)
    except Refused:
        return
    # Empty headers state nothing.
    assert found.client_certificate == octets or (octets == b"" and not found.client_certificate)


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=5).map("".join))
@example(base64_of(CLIENT))
@example("MAB=")
def test_base64_is_canonical(text: str) -> None:
    try:
        octets = read_base64(text)
    except NotCertificate:
        return
    assert base64_of(octets) == text


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=5).map("".join))
def test_pem_is_one_certificate(text: str) -> None:
    try:
        octets = read_pem(text)
    except NotCertificate:
        return
    assert text.count("BEGIN") == 1
    assert octets[0] == 0x30


@given(st.text(max_size=50) | st.from_regex(r"[0-9a-f.:]{1,20}(/[0-9]{1,3})?", fullmatch=True))
def test_a_network_has_one_text(text: str) -> None:
    try:
        network = network_of(text)
    except RefusedNetwork:
        return
    assert network_of(str(network)) == network
    assert network.prefixlen >= 7


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)
members = st.dictionaries(st.sampled_from(["jkt", "x5t#S256", "kid", "x5t"]) | st.text(), json)


@given(members)
def test_methods_are_found_or_refused(confirmation: dict[str, object]) -> None:
    code = None
    try:
        methods = methods_of(confirmation)
    except Refused as refused:
        code = refused.refusal.code
    if code is not None:
        assert code in {Code.CLAIM_MALFORMED, Code.CONFIRMATION_UNMET}
        return
    assert (methods.key, methods.certificate) != (None, None)
    assert methods.key is None or methods.key == confirmation["jkt"]
    assert methods.certificate is None or methods.certificate == confirmation["x5t#S256"]


@given(json | st.text(st.characters(max_codepoint=127), min_size=43, max_size=43), st.binary())
def test_a_certificate_confirms_or_is_refused(expected: object, certificate: bytes) -> None:
    code = None
    try:
        confirm_certificate(expected, certificate)
    except Refused as refused:
        code = refused.refusal.code
    if code is None:
        assert expected == digest_of(certificate)
    else:
        assert code in {
            Code.CLAIM_MALFORMED,
            Code.CERTIFICATE_MISSING,
            Code.CERTIFICATE_WRONG,
        }
