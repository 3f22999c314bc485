"""Whatever a request holds, its line in the log is one line of JSON and holds nothing of it."""

import json
import re
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from portvakt import Guard, HttpRequest
from portvakt.telemetry.log import Log
from portvakt.telemetry.metrics import Metrics
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()

#: No word of ours has two of these together; whatever is drawn has nothing else to be known by.
MARKED: Final = re.compile("[KQXZ]{2}")
MARKS: Final = st.text("KQXZ", min_size=4, max_size=12)
SPOILERS: Final = st.sampled_from(
    ["", "\n", "\r\n", "\u2028", "\x85", '"', '","outcome":"admitted"}\n{"', "\\", "\x00", "\ud800",
     "%0a", "../", "é", "\x1b[31m"]
)  # fmt: skip
PIECES: Final = st.builds(lambda one, mark, two: one + mark + two, SPOILERS, MARKS, SPOILERS)

LINES: Final[list[bytes]] = []
METRICS: Final = Metrics()
GUARD: Final = Guard.from_config(
    ISSUER.config(
        route=[
            {"path": "/open/{page}", "public": True},
            {"path": "/journal/{patient}", "scopes": ["read"]},
            {"path": "/files/{name:path}"},
        ]
    ),
    clock=ISSUER.clock,
    observers=[Log(lambda line, _optional, _outcome: LINES.append(line)), METRICS.counts],
)


@st.composite
def requests(draw: st.DrawFn) -> HttpRequest:
    piece = draw(PIECES)
    names = st.sampled_from(["Authorization", "Cookie", "X-HTTP-Method-Override", piece])
    schemes = st.sampled_from(["Bearer ", "Basic ", "DPoP ", ""])
    if draw(st.sampled_from([True, False, False])):
        headers = draw(st.lists(st.tuples(names, schemes.map(lambda it: it + piece)), max_size=3))
    else:
        headers = [("Cookie", piece)]
        headers.append(("Authorization", f"Bearer {draw(tokens(piece))}"))
    # Most paths are such that a rule is for them, or else no token would be looked at.
    path = draw(st.sampled_from(["/open/", "/journal/", "/files/", "/journal/", "/"]))
    tail = draw(st.sampled_from(["KQXZ", "KQXZ", "KQXZ", piece]))
    return HttpRequest(
        method=draw(st.sampled_from(["GET", "POST", piece])),
        url=path + tail + draw(st.sampled_from(["", "", f"?{piece}", f"?access_token={piece}"])),
        headers=tuple(headers),
        peer=piece,
        client_certificate=piece.encode("utf-8", "surrogatepass"),
        path_parameters=(("patient", piece), (piece, piece)),
    )


@st.composite
def tokens(draw: st.DrawFn, piece: str) -> str:
    """A token that is good, or good but for one thing, and holds the piece wherever it can."""
    mark = "".join(MARKED.findall(piece)) or "KQ"
    builder = ISSUER.builder().claims(scope=f"{mark} read", kanari=mark, sub=mark, jti=mark * 4)
    name: Any = draw(
        st.sampled_from(["none", "iss", "aud", "exp", "scope", "client_id", "nbf", "acr", "cnf"])
    )
    if name != "none":
        builder = builder.claims(**{name: mark})
    header = draw(st.sampled_from(["none", "kid", "typ", "alg", "crit", "jku", "x"]))
    if header != "none":
        builder = builder.header(**{header: mark})
    return builder.build()


@settings(deadline=None)
@given(requests(), st.sampled_from([False] * 7 + [True]))
@example(HttpRequest(method="KQXZ\n", url="/KQXZ"), False)
def test_a_line_is_one_and_holds_nothing_of_the_request(
    request: HttpRequest, malformed: bool
) -> None:
    LINES.clear()
    decision = GUARD.malformed(request, "two paths") if malformed else GUARD.check_blocking(request)
    (octets,) = LINES
    text = octets.decode("ascii")
    assert text.splitlines() == [text.removesuffix("\n")]
    line = json.loads(text)
    assert line["outcome"] == ("admitted" if decision.admitted else "refused")
    assert MARKED.search(text) is None, text


def test_nor_do_metrics() -> None:
    page = METRICS.render().decode()
    assert "portvakt_decisions_total{" in page
    assert MARKED.search(page) is None
    assert len(METRICS.snapshot().decisions) < 200
