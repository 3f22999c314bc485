"""MTLS: tokens that are bound to a certificate of the client (RFC 8705)."""

from __future__ import annotations

import base64
from hashlib import sha1, sha256
from typing import Any, Final

import pytest

from certificates import NONE_SHOWN, STATED, Headers, der_of, digest_of, issue
from portvakt.errors import Refused
from portvakt.http.forwarded import FORMS, Proxies, network_of
from portvakt.http.request import HttpRequest
from portvakt.oauth.confirmation import methods_of
from portvakt.oauth.mtls import confirm_certificate
from portvakt.refusal import Code

HOLDER: Final = der_of(issue("holder.test"))
THIEF: Final = der_of(issue("thief.test"))
#: The certificate with which the proxy connects to the API.
HOP: Final = der_of(issue("proxy.test"))
BOUND: Final = {"x5t#S256": digest_of(HOLDER)}

PROXY: Final = "10.0.0.1"
STRANGER: Final = "192.0.2.1"


def request(
    headers: Headers = (), peer: str | None = PROXY, certificate: bytes | None = None
) -> HttpRequest:
    return HttpRequest(
        method="GET", url="/", headers=headers, peer=peer, client_certificate=certificate
    )


def judge(
    asked: HttpRequest, confirmation: dict[str, Any] | None = None, form: str | None = None
) -> Code | None:
    """What becomes of a request whose token is bound: None if its holder sent it."""
    try:
        if form is not None:
            asked = Proxies([network_of("10.0.0.0/8")], form).original(asked)
        methods = methods_of(BOUND if confirmation is None else confirmation)
        confirm_certificate(methods.certificate, asked.client_certificate)
    except Refused as refused:
        return refused.refusal.code
    return None


@pytest.mark.attack("MTLS-01")
def test_a_stolen_token_is_refused_from_another_client() -> None:
    assert judge(request(certificate=THIEF)) is Code.CERTIFICATE_WRONG
    for change in (HOLDER + b"\0", HOLDER[:-1], b"\0" + HOLDER, HOLDER[::-1]):
        assert judge(request(certificate=change)) is Code.CERTIFICATE_WRONG
    for form in FORMS:
        assert judge(request(STATED[form](THIEF)), form=form) is Code.CERTIFICATE_WRONG


@pytest.mark.attack("MTLS-01")
def test_a_renewed_certificate_is_another_one() -> None:
    assert judge(request(certificate=der_of(issue("holder.test")))) is Code.CERTIFICATE_WRONG


@pytest.mark.twin("MTLS-01", "MTLS-02")
def test_the_holder_is_admitted() -> None:
    assert judge(request(certificate=HOLDER)) is None
    assert judge(request(certificate=HOLDER), form="nginx") is not None  # it is the proxy's own
    assert judge(request(certificate=HOLDER, peer=STRANGER), form="nginx") is None


@pytest.mark.attack("MTLS-02")
@pytest.mark.parametrize("certificate", [None, b""])
def test_without_a_certificate_a_bound_token_is_refused(certificate: bytes | None) -> None:
    assert judge(request(certificate=certificate)) is Code.CERTIFICATE_MISSING
    nothing = {"x5t#S256": digest_of(b"")}
    assert judge(request(certificate=certificate), nothing) is Code.CERTIFICATE_MISSING


@pytest.mark.attack("MTLS-02")
@pytest.mark.parametrize("form", FORMS)
def test_the_certificate_of_the_proxy_is_not_its_clients(form: str) -> None:
    to_proxy = {"x5t#S256": digest_of(HOP)}
    for headers in (NONE_SHOWN[form], ()):
        asked = request(headers, certificate=HOP)
        assert judge(asked, form=form) is Code.CERTIFICATE_MISSING
        assert judge(asked, to_proxy, form) is Code.CERTIFICATE_MISSING


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("peer", [STRANGER, "::ffff:192.0.2.1", "unix", "", None])
def test_a_header_from_outside_is_not_believed(form: str, peer: str | None) -> None:
    spoofed = STATED[form](HOLDER)
    assert judge(request(spoofed, peer), form=form) is Code.CERTIFICATE_MISSING
    assert judge(request(spoofed, peer, THIEF), form=form) is Code.CERTIFICATE_WRONG
    # Nor anywhere, where no proxy is configured.
    assert judge(request(spoofed, peer)) is Code.CERTIFICATE_MISSING
    assert judge(request(spoofed)) is Code.CERTIFICATE_MISSING


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("form", FORMS)
def test_a_header_under_another_name_is_not_believed(form: str) -> None:
    for change in (
        lambda name: name.replace("-", "_"),
        lambda name: name.replace("-", "_", 1),
        lambda name: f"{name} ",
        lambda name: f"HTTP_{name}",
        lambda name: name.replace("e", "\u0435"),
        lambda name: name.replace("-", "\u2010"),
    ):
        spoofed = tuple((change(name), value) for name, value in STATED[form](HOLDER))
        assert judge(request(spoofed), form=form) is Code.CERTIFICATE_MISSING
        beside = (*STATED[form](THIEF), *spoofed)
        assert judge(request(beside), form=form) is Code.CERTIFICATE_WRONG


@pytest.mark.attack("MTLS-03")
@pytest.mark.parametrize("form", FORMS)
def test_of_several_headers_none_is_chosen(form: str) -> None:
    for first, second in ((HOLDER, THIEF), (THIEF, HOLDER), (HOLDER, HOLDER)):
        headers = (*STATED[form](first), *STATED[form](second))
        assert judge(request(headers), form=form) is Code.REQUEST_MALFORMED
        (name, one), (_, two) = STATED[form](first)[0], STATED[form](second)[0]
        for joined in (f"{one},{two}", f"{one}, {two}", f"{one};{two}", f"{one} {two}", one + two):
            merged = ((name, joined), *STATED[form](first)[1:])
            if form == "traefik" and joined == f"{one},{two}":
                # This is how Traefik writes a chain, the client's own certificate first. It drops
                # what clients write in this header.
                assert judge(request(merged), form=form) in {None, Code.CERTIFICATE_WRONG}
            else:
                assert judge(request(merged), form=form) is Code.REQUEST_MALFORMED


@pytest.mark.attack("MTLS-03")
def test_headers_of_other_forms_are_not_read() -> None:
    for form in FORMS:
        for other in FORMS:
            if other != form:
                asked = request(STATED[other](HOLDER))
                assert judge(asked, form=form) is Code.CERTIFICATE_MISSING


@pytest.mark.attack("MTLS-03")
def test_a_certificate_that_the_proxy_did_not_verify_is_not_believed() -> None:
    (stated, _) = STATED["nginx"](HOLDER)
    for headers, code in (
        ((stated,), Code.REQUEST_MALFORMED),
        ((stated, ("X-SSL-Client-Verify", "NONE")), Code.REQUEST_MALFORMED),
        ((stated, ("X-SSL-Client-Verify", "SUCCESS,SUCCESS")), Code.REQUEST_MALFORMED),
        ((stated, ("X_SSL_Client_Verify", "SUCCESS")), Code.REQUEST_MALFORMED),
        ((stated, ("X-SSL-Client-Verify", "FAILED:expired")), Code.CERTIFICATE_MISSING),
    ):
        assert judge(request(headers), form="nginx") is code


@pytest.mark.attack("MTLS-03")
def test_a_name_in_a_certificate_is_no_element_of_envoys_header() -> None:
    # Envoy does not quote URIs, and whoever gets a certificate may have a say in its names.
    (name, honest) = STATED["envoy"](THIEF)[0]
    (_, forged) = STATED["envoy"](HOLDER)[0]
    for value in (f"{honest.removesuffix('DNS=')}URI=x,{forged}", f"{honest},{forged}"):
        assert judge(request(((name, value),)), form="envoy") is Code.REQUEST_MALFORMED
    pairs = forged.partition(";")[2]
    assert judge(request(((name, f"{honest};{pairs}"),)), form="envoy") is Code.REQUEST_MALFORMED


@pytest.mark.twin("MTLS-03")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("peer", [PROXY, "::ffff:10.0.0.1"])
def test_the_header_of_a_trusted_proxy_is_believed(form: str, peer: str) -> None:
    assert judge(request(STATED[form](HOLDER), peer), form=form) is None
    assert judge(request(STATED[form](HOLDER), peer, HOP), form=form) is None


@pytest.mark.attack("MTLS-04")
@pytest.mark.parametrize(
    ("confirmation", "code"),
    [
        ({}, Code.CONFIRMATION_UNMET),
        ({"kid": "x"}, Code.CONFIRMATION_UNMET),
        ({"jwk": {"kty": "OKP"}}, Code.CONFIRMATION_UNMET),
        ({"x5t": digest_of(HOLDER)}, Code.CONFIRMATION_UNMET),
        ({"x5t#S512": digest_of(HOLDER)}, Code.CONFIRMATION_UNMET),
        ({"x5t#s256": digest_of(HOLDER)}, Code.CONFIRMATION_UNMET),
        ({"x5t#S256": None}, Code.CLAIM_MALFORMED),
        ({"jkt": None, **BOUND}, Code.CLAIM_MALFORMED),
        ({"jkt": 1, **BOUND}, Code.CLAIM_MALFORMED),
        ({"jkt": "k" * 43, "x5t#S256": None}, Code.CLAIM_MALFORMED),
        ({"x5t#S256": [digest_of(HOLDER)]}, Code.CLAIM_MALFORMED),
        ({"x5t#S256": {"value": digest_of(HOLDER)}}, Code.CLAIM_MALFORMED),
    ],
)
def test_a_binding_that_nobody_can_check_is_not_passed_over(
    confirmation: dict[str, Any], code: Code
) -> None:
    assert judge(request(certificate=HOLDER), confirmation) is code


@pytest.mark.attack("MTLS-04")
def test_of_two_bindings_neither_is_forgotten() -> None:
    both = methods_of({"jkt": "k" * 43, **BOUND})
    assert (both.key, both.certificate) == ("k" * 43, digest_of(HOLDER))
    assert judge(request(certificate=THIEF), {"jkt": "k" * 43, **BOUND}) is Code.CERTIFICATE_WRONG


@pytest.mark.twin("MTLS-04")
def test_what_is_not_understood_beside_a_binding_that_is_met_is_passed_over() -> None:
    assert judge(request(certificate=HOLDER), {"kid": "x", "x5t": "y", **BOUND}) is None


@pytest.mark.attack("MTLS-05")
@pytest.mark.parametrize(
    "written",
    [
        sha256(HOLDER).hexdigest(),
        sha256(HOLDER).hexdigest().upper(),
        f"{digest_of(HOLDER)}=",
        f"{digest_of(HOLDER)}\n",
        base64.b64encode(sha256(HOLDER).digest()).decode(),
        base64.urlsafe_b64encode(sha1(HOLDER).digest()).decode().rstrip("="),
        sha1(HOLDER).hexdigest(),
        digest_of(HOLDER)[:-1],
        digest_of(HOLDER)[:-1] + chr(ord(digest_of(HOLDER)[-1]) + 1),
        f" {digest_of(HOLDER)}",
        "",
    ],
)
def test_a_digest_has_one_form(written: str) -> None:
    for certificate in (HOLDER, None):
        asked = request(certificate=certificate)
        assert judge(asked, {"x5t#S256": written}) is Code.CLAIM_MALFORMED


@pytest.mark.twin("MTLS-05")
def test_the_digest_in_base64url_is_read() -> None:
    assert len(digest_of(HOLDER)) == 43
    assert judge(request(certificate=HOLDER), {"x5t#S256": digest_of(HOLDER)}) is None
