"""A refused call is told what a refused request is told: compared with the guard's own answer."""

from __future__ import annotations

import pytest

from behaviour.sample import NONCE_KEY, Sample
from behaviour.served_by.grpc import GRPC, ServedOverGrpc
from behaviour.test_answers import hostile, same


@pytest.mark.attack("API-12", "HTTP-12", "HTTP-13", "HTTP-09")
def test_a_refusal_is_the_same_as_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NONCE_KEY, "n" * 32)
    sample = Sample()
    with GRPC.serve(sample) as address:
        served = ServedOverGrpc(GRPC, sample, address)
        # The name of a method has no query.
        requests = [(one, status) for one, status in hostile(served) if "?" not in one.url]
        for request, status in requests:
            with served.unreached():
                answer = served.send_request(request)
            assert answer.status == status, request.url
            same(answer, sample.reference.check_blocking(request))
    assert {status for _, status in requests} == {400, 401, 403, 503}
