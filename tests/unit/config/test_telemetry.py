"""What is wrong with the table of what is told, and where."""

from typing import Any, Final

import pytest

from portvakt import ConfigurationError, Guard
from portvakt.config.telemetry import share_of
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
EXPORTERS: Final = "must be one of prometheus, opentelemetry"
SHARES: Final = 'must be "all", "none" or a share, as "1%"'


def problems(telemetry: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as error:
        Guard.from_config(ISSUER.config(telemetry=telemetry), clock=ISSUER.clock)
    return [str(one) for one in error.value.problems]


@pytest.mark.parametrize(
    ("table", "place", "problem"),
    [
        ({"metrics": ["prometeus"]}, "metrics[0]", f"{EXPORTERS}; did you mean prometheus?"),
        ({"metrics": ["x"]}, "metrics[0]", EXPORTERS),
        ({"metrics": ["prometheus"] * 2}, "metrics[1]", "is there already"),
        ({"metrics": True}, "metrics", "must be a list in [ ], not true or false"),
        ({"traceparent": True}, "traceparent", "means nothing without traces = true"),
        ({"logs": {}}, "logs", "is not known; did you mean log?"),
        (
            {"log": {"to": "Stdout"}},
            "log.to",
            "must be one of stdout, stderr, logging; did you mean stdout?",
        ),
        (
            {"log": {"to": "stdout", "file": "a.log"}},
            "log.file",
            "and to are two places: state one",
        ),
        ({"log": {"admitted": "1"}}, "log.admitted", SHARES),
        ({"log": {"admitted": "100%"}}, "log.admitted", SHARES),
        ({"log": {"buffer": 0}}, "log.buffer", "must be between 1 and 1000000"),
    ],
)
def test_every_mistake_is_named_with_its_place(table: Any, place: str, problem: str) -> None:
    assert problems(table) == [f"telemetry.{place}: {problem}"]


@pytest.mark.parametrize(
    ("admitted", "share"), [("all", 1.0), ("none", 0.0), ("1%", 0.01), ("0.5%", 0.005)]
)
def test_shares(admitted: str, share: float) -> None:
    assert share_of(admitted) == share
