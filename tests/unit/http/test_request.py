"""A request shows nothing of what was sent."""

from rich.pretty import pretty_repr

from portvakt import HttpRequest
from portvakt.http.response import problem


def test_neither_headers_nor_the_query_are_shown() -> None:
    request = HttpRequest(
        method="GET", url="/journal?token=secret", headers=(("Authorization", "Bearer secret"),)
    )
    assert repr(request) == "HttpRequest(headers=1)"
    assert "secret" not in pretty_repr(request)


def test_a_problem_is_json_that_nobody_stores() -> None:
    response = problem(403, "forbidden", "No.", (("X", "y"),))
    assert response.status == 403
    assert (
        response.body == b'{"type":"about:blank","title":"forbidden","status":403,"detail":"No."}'
    )
    assert response.headers[-1] == ("X", "y")
