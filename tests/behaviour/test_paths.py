"""The path that is judged is the path that is served (HTTP-18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from behaviour.behaviours import behaviour
from behaviour.sample import PATIENT

if TYPE_CHECKING:
    from behaviour.serving import Served

#: Each could be read by some router as /healthz, /open/… or /journal/…, and by another not.
CONFUSED = (
    *(f"/healthz/../journal/{PATIENT}", f"/healthz/%2e%2e/journal/{PATIENT}"),
    *(f"/open/../journal/{PATIENT}", f"/open/..%2fjournal/{PATIENT}", "/open%2f..%2fjournal/1"),
    *(f"/open/%2e%2e/journal/{PATIENT}", f"/open/.%2e/journal/{PATIENT}", "/open/%252e%252e/me"),
    *(f"/open/..\\journal\\{PATIENT}", "/open/..%5cme", "/open/%5c..%5cme", "/open/..;/me"),
    *("/open/%00", "/healthz%00", "/open/a%0a", "/healthz%0a", "/healthz%0d%0a"),
    *("/healthz;x", "/healthz;/../me", "/healthz%3bx", "/healthz%3f", "/healthz%23"),
    *("/healthz/", "/healthz//", "/HEALTHZ", "/healthz/.", "/./healthz", "/open//me"),
    *("/heal%74hz/..", "/open/%2f/me", "/open/.hidden", "/open/...", "/open/"),
    *(f"//journal/{PATIENT}", "//healthz", "///healthz", "/%2fhealthz", "/%2e/healthz"),
    *("*", "http://api.test/me", "healthz", "//api.test/healthz"),
)


@behaviour("A path that can be read in two ways reaches no endpoint, with or without a token.")
@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize("target", CONFUSED)
def test_confused(served: Served, target: str) -> None:
    with served.unreached():
        assert 300 <= served.send(target).status < 500
        assert 300 <= served.get(target, served.token()).status < 500


@behaviour("Of a guarded path, no spelling is served to whom the plain one is not.")
@pytest.mark.attack("HTTP-18")
@pytest.mark.parametrize(
    "target",
    [
        *(f"/journal/%31{PATIENT[1:]}", f"/%6aournal/{PATIENT}", f"/journal/{PATIENT}%20"),
        *(f"/journal//{PATIENT}", f"/journal/{PATIENT}/", f"/journal/{PATIENT}%2f"),
        *(f"/journal%2f{PATIENT}", f"/journal/{PATIENT};x", f"/journal/x/../{PATIENT}"),
        *(f"/journal/{PATIENT}%00", f"/Journal/{PATIENT}", f"/journal\\{PATIENT}"),
        *("/rule%64", "/ruled/", "/ruled;x", "/ruled%20", "//ruled", "/./ruled", "/ruled%0a"),
        *("/%72uled", "/x/../ruled", "/ruled%2f", "/ruled%00", "/RULED", "/ruled/."),
    ],
)
def test_other_spellings(served: Served, target: str) -> None:
    with served.unreached():
        assert 300 <= served.send(target).status < 500
        # A token that is good, but lacks what the rule demands.
        assert 300 <= served.get(target, served.token("write")).status < 500


@behaviour("An honest path is served as it was written, encoded or with a query.")
@pytest.mark.twin("HTTP-18")
def test_honest_paths(served: Served) -> None:
    with served.reached("/open/a/b", "/open/a b", "/open/\u00e6", f"/journal/{PATIENT}", "/me"):
        assert served.get("/open/a/b").status == 200
        assert served.get("/open/a%20b").status == 200
        assert served.get("/open/%C3%A6").body == "\u00e6".encode()
        assert served.get(f"/journal/{PATIENT}?a=/../b;c", served.token("read")).status == 200
        assert served.get("/me?x=%00%2f..", served.token()).status == 200
