"""The fixtures are there without being asked for, and cost nothing until they are used."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

import portvakt.testing
from portvakt.testing import FakeIssuer, FrozenClock


def test_the_fixtures_are_an_issuer_and_the_clock_it_goes_by(
    portvakt_issuer: FakeIssuer, portvakt_clock: FrozenClock
) -> None:
    assert portvakt_issuer.clock is portvakt_clock


def test_five_lines_test_an_api(portvakt_issuer: FakeIssuer) -> None:
    guard = portvakt_issuer.guard()
    honest = portvakt_issuer.request(portvakt_issuer.token())
    hostile = portvakt_issuer.request(portvakt_issuer.forged("none"))
    assert guard.check_blocking(honest).admitted
    assert not guard.check_blocking(hostile).admitted


def test_pytest_finds_the_plugin_by_its_entry_point() -> None:
    found = entry_points(group="pytest11", name="portvakt")
    assert [point.value for point in found] == ["portvakt.testing.plugin"]


def test_the_plugin_loads_nothing_of_portvakt_but_itself() -> None:
    code = (
        "import sys, portvakt.testing.plugin\n"
        "print(*sorted(name for name in sys.modules if name.startswith('portvakt')))\n"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, cryptography = done.stdout.splitlines()
    assert loaded.split() == ["portvakt", "portvakt.testing", "portvakt.testing.plugin"]
    assert cryptography == "False"


def test_the_names_of_the_package_are_resolved_at_first_use() -> None:
    assert {"FakeIssuer", "FrozenClock"} <= set(dir(portvakt.testing))
    with pytest.raises(AttributeError, match="has no attribute 'Fake'"):
        _ = portvakt.testing.Fake
