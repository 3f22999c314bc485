"""What a guard adds to traffic, and what it must leave alone."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from behaviour.behaviours import behaviour
from behaviour.sample import OTHER, PATIENT
from behaviour.serving import Answer, Served, bearer


@behaviour("A request's body reaches the endpoint as it was sent.")
@pytest.mark.twin("HTTP-02")
def test_body(served: Served) -> None:
    body = bytes(range(256)) * 400
    with served.reached("/echo"):
        answer = served.send("/echo", *bearer(served.token("write")), method="POST", body=body)
    assert (answer.status, answer.body) == (200, body)


@behaviour("A body that comes with a refused request reaches nobody.")
@pytest.mark.attack("API-12")
def test_body_refused(served: Served) -> None:
    with served.unreached():
        answer = served.send("/echo", method="POST", body=b"x" * 1000)
        assert answer.status == 401
        read = served.token("read")
        answer = served.send("/echo", *bearer(read), method="POST", body=b"x" * 1000)
        assert answer.status == 403


@behaviour("A streamed answer arrives whole.")
@pytest.mark.twin("API-12")
def test_stream(served: Served) -> None:
    with served.reached("/stream"):
        answer = served.get("/stream", served.token("read"))
    assert (answer.status, answer.body) == (200, b"piece 0\npiece 1\npiece 2\n")


@behaviour("The endpoint's own headers stay.")
@pytest.mark.twin("HTTP-08")
def test_headers_stay(served: Served) -> None:
    assert served.get("/me", served.token()).header("x-api") == ["1"]
    assert served.get("/healthz").header("x-api") == ["1"]


@behaviour("A fault of the endpoint is the framework's to answer, and admits nobody.")
@pytest.mark.twin("API-12")
def test_broken(served: Served) -> None:
    with served.reached("/broken"):
        answer = served.get("/broken", served.token("read"))
    assert answer.status == 500
    assert answer.header("www-authenticate") == []
    with served.unreached():
        assert served.get("/broken").status == 401


@behaviour("A bound token is admitted with its proof, which has the nonce that was asked for.")
@pytest.mark.twin("DPOP-10")
def test_proof(served: Served) -> None:
    client = served.sample.client
    token = client.token()
    with served.unreached():
        asked = served.send_request(client.request(token, url="/bound"))
        assert asked.status == 401
        assert 'error="use_dpop_nonce"' in asked.header("www-authenticate")[0]
        nonce = asked.header("dpop-nonce")[0]
    with served.reached("/me"):
        request = client.request(token, url="/bound", nonce=nonce)
        answer = served.send_request(request)
    assert answer.status == 200
    assert answer.header("x-api") == ["1"]
    with served.unreached():
        # The proof is used up, and a bearer has none.
        assert served.send_request(request).status == 401
        assert served.get("/bound", token).status == 401
        assert served.get("/me", token).status == 401


@behaviour("Whoever proves with a nonce that is getting old finds a new one in the answer.")
@pytest.mark.twin("DPOP-10")
def test_next_nonce(served: Served) -> None:
    client, possession = served.sample.client, served.sample.reference.parts.possession
    assert possession is not None
    # As the API gave it half of a nonce's time ago, by the same key: of the span before this one.
    old = possession.nonce(time.time() - 150)
    token = client.token()
    with served.reached("/me"):
        answer = served.send_request(client.request(token, url="/bound", nonce=old))
    assert (answer.status, answer.header("x-api")) == (200, ["1"])
    (new,) = answer.header("dpop-nonce")
    assert new != old
    # A cache would give it to a later request, when it is old; gRPC has no caches.
    assert answer.header("cache-control") == ([] if served.adapter.client else ["no-store"])
    with served.reached("/me"):
        assert served.send_request(client.request(token, url="/bound", nonce=new)).status == 200


@behaviour("Several proofs, or none, open nothing.")
@pytest.mark.attack("DPOP-01", "DPOP-21", "DPOP-14")
def test_proofs(served: Served) -> None:
    client = served.sample.client
    token = client.token()
    nonce = served.send_request(client.request(token, url="/bound")).header("dpop-nonce")[0]
    first = client.proof(token, url="/bound", nonce=nonce).build()
    second = client.proof(token, url="/bound", nonce=nonce).build()
    line = f"Authorization: DPoP {token}"
    with served.unreached():
        assert served.send("/bound", line, f"DPoP: {first}", f"DPoP: {second}").status in {400, 401}
        assert served.send("/bound", line, f"DPoP: {first}, {second}").status in {400, 401}
        assert served.send("/bound", line).status in {400, 401}
    with served.reached("/me"):
        assert served.send("/bound", line, f"DPoP: {first}").status == 200


@behaviour("Honest and hostile requests at once do not mix.")
@pytest.mark.attack("API-08", "API-10")
def test_at_once(served: Served) -> None:
    issuer = served.sample.issuer
    tokens = {person: served.token("read", pid=person, sub=person) for person in (PATIENT, OTHER)}
    forged = [issuer.forged(one, scopes=["read"]) for one in ("expired", "foreign-key", "none")]

    def honest(person: str) -> Answer:
        return served.get(f"/journal/{person}", tokens[person])

    def hostile(turn: int) -> Answer:
        kind = turn % 5
        if kind == 3:
            return served.get(f"/journal/{PATIENT}", tokens[OTHER])
        if kind == 4:
            return served.get(f"/journal/{PATIENT}")
        return served.get(f"/journal/{PATIENT}", forged[kind])

    with ThreadPoolExecutor(8) as pool:
        served_to, kept_out = [], []
        for turn in range(60):
            person = (PATIENT, OTHER)[turn % 2]
            served_to.append((person, pool.submit(honest, person)))
            kept_out.append(pool.submit(hostile, turn))
        for whose, future in served_to:
            assert future.result().status == 200
            said = json.loads(future.result().body)
            assert (said["patient"], said["pid"], said["subject"]) == (whose, whose, whose)
        for answer in kept_out:
            assert answer.result().status in {401, 403}


@behaviour("After many bad tokens an honest one is admitted.")
@pytest.mark.twin("API-08", "API-10")
def test_after_bad_ones(served: Served) -> None:
    for number in range(50):
        assert served.get("/me", f"bad.{number}.token").status == 401
    assert served.get("/me", served.token()).status == 200
