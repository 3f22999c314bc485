"""Who gets in: everyone where the policy says so, else whoever has the right token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from behaviour.behaviours import behaviour
from behaviour.sample import OTHER, PATIENT

if TYPE_CHECKING:
    from behaviour.serving import Served

GUARDED = ("/ruled", "/me", "/stream", "/broken", f"/journal/{PATIENT}", "/bound")


@behaviour("Without a good token nothing is served, whatever the path.")
@pytest.mark.attack("HTTP-13", "API-12")
@pytest.mark.parametrize("path", GUARDED)
def test_refused_by_default(served: Served, path: str) -> None:
    with served.unreached():
        anonymous = served.get(path)
        assert anonymous.status == 401
        assert anonymous.header("www-authenticate") != []
        for fault in ("expired", "foreign-key", "none"):
            forged = served.sample.issuer.forged(fault, scopes=["read"])
            assert served.get(path, forged).status == 401


@behaviour("A route that the policy declares public is open to everyone, also with a bad token.")
@pytest.mark.twin("HTTP-13")
def test_public(served: Served) -> None:
    with served.reached("/healthz", "/open/a b", "/healthz"):
        assert served.get("/healthz").body == b"well"
        assert served.get("/open/a%20b?x=/../y").body == b"a b"
        assert served.get("/healthz", served.sample.issuer.forged("expired")).status == 200


@behaviour("The endpoint is given a typed token that says what was signed.")
@pytest.mark.twin("HTTP-08", "API-09", "API-12")
def test_typed_token(served: Served) -> None:
    token = served.token("read", "write", sub="somebody", client_id="a client")
    with served.reached("/me"):
        said = served.get("/me", token).json()
    assert said["token"] == "AccessToken"
    assert (said["subject"], said["client_id"]) == ("somebody", "a client")
    assert said["scopes"] == ["read", "write"]
    assert said["pid"] == PATIENT
    assert said["issuer"] == served.sample.issuer.trusted.issuer


@behaviour("Identity comes from the token alone, never from a header.")
@pytest.mark.attack("HTTP-08")
def test_identity_headers(served: Served) -> None:
    forged = ("X-Portvakt-Subject: root", "X_Portvakt_Subject: root", "Remote-User: root")
    said = served.get("/me", served.token(sub="somebody"), *forged).json()
    assert said["subject"] == "somebody"
    with served.unreached():
        assert served.get("/me", None, *forged).status == 401


@behaviour("A token opens the record of whom it speaks of, and no other's.")
@pytest.mark.attack("HTTP-08")
def test_own_record(served: Served) -> None:
    token = served.token("read")
    with served.reached(f"/journal/{PATIENT}"):
        assert served.get(f"/journal/{PATIENT}", token).json()["patient"] == PATIENT
    with served.unreached():
        assert served.get(f"/journal/{OTHER}", token).status == 403
        assert served.get(f"/journal/{PATIENT}", served.other("read")).status == 403
        assert served.get(f"/journal/{PATIENT}", served.token("write")).status == 403


@behaviour("Demands in TOML and demands in Python mean the same.", "demands")
@pytest.mark.attack("API-04")
def test_toml_is_python(served: Served) -> None:
    issuer = served.sample.issuer
    level = "helseid://claims/identity/security_level"
    tokens = [
        *(None, "nonsense", issuer.forged("expired", scopes=["read"])),
        *(served.token(), served.token("write"), served.token("read")),
        served.token("read", **{level: "3"}),
    ]
    for token in tokens:
        ruled, stated = served.get("/ruled", token), served.get("/stated", token)
        assert (stated.status, stated.body) == (ruled.status, ruled.body)
        # Before the endpoint has said which scheme it takes, both are named.
        for one, other in zip(
            stated.header("www-authenticate"), ruled.header("www-authenticate"), strict=True
        ):
            assert one.startswith(other)
    assert served.get("/stated", served.token("read")).status == 200
    for patient, token in ((PATIENT, served.token("read")), (OTHER, served.token("read"))):
        ruled = served.get(f"/journal/{patient}", token)
        stated = served.get(f"/stated/{patient}", token)
        assert (stated.status, stated.body) == (ruled.status, ruled.body)
