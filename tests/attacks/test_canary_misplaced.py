"""A secret that stands where a setting is meant is not said again (API-07)."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import pytest

from portvakt import ConfigurationError, Guard, Requirement, Route, Routes, TrustedIssuer
from portvakt.jose.signer import Signer
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
#: The private half of a P-256 key that was made for this test.
D: Final = "yahUk1MemBf-nGH1SHsN2rKgybqpCw_eLYu59fdie58"

#: A private key alone and in JSON, a token, a password, text of any kind that is long.
SECRETS: Final = [
    *(D, json.dumps({"d": D}), f"HS256 {D}", ISSUER.token(), f"Bearer {ISSUER.token()}"),
    *(
        "/" + D,
        "correct horse battery staple",
        "-----BEGIN PRIVATE KEY-----",
        "p4ss w0rd",
        "a." * 40,
    ),
]


def policy(**issuer: Any) -> dict[str, Any]:
    config = ISSUER.config()
    config["issuer"][0].update(issuer)
    return config


def said_of_data(config: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        Guard.from_config(config, clock=ISSUER.clock)
    return str(caught.value)


def misplaced(secret: str) -> dict[str, str]:
    """Return what is said of a secret in each setting that would be named otherwise."""
    said = {
        "algorithms": said_of_data(policy(algorithms=["ES256", secret])),
        "typ": said_of_data(policy(typ=[secret, "a b"])),
        "type": said_of_data(policy(typ=[f"application/{secret} "])),
        "path": said_of_data(ISSUER.config(route=[{"path": f"{secret} "}])),
        "template": said_of_data(ISSUER.config(route=[{"path": f"/x{{{secret}}}"}])),
        "methods": said_of_data(ISSUER.config(route=[{"path": "/", "methods": [secret.lower()]}])),
        "scopes": said_of_data(ISSUER.config(route=[{"path": "/", "scopes": [f"{secret} "]}])),
        "a key": said_of_data({**ISSUER.config(), secret: 1}),
        "a key inside": said_of_data(policy(**{secret: 1})),
    }
    parts: dict[str, Any] = {"issuer": "https://a.test", "audience": "a"}
    made: dict[str, Callable[[], object]] = {
        "TrustedIssuer": lambda: TrustedIssuer(**parts, algorithms=frozenset({secret})),
        "its types": lambda: TrustedIssuer(
            **parts, algorithms=frozenset({"ES256"}), types=frozenset({secret.upper() + "A"})
        ),
        "Requirement": lambda: Requirement.of(f"{secret}"),
        "Route": lambda: Routes(
            [Route(path=f"{secret}%61", methods=None, public=False, requirement=Requirement.of())]
        ),
        "Signer": lambda: Signer.generate(secret),
    }
    for name, make in made.items():
        with pytest.raises(ConfigurationError) as caught:
            make()
        said[name] = str(caught.value)
    return said


@pytest.mark.attack("API-07")
@pytest.mark.parametrize("secret", SECRETS, ids=range(len(SECRETS)))
def test_a_secret_in_the_wrong_setting_is_not_said(secret: str) -> None:
    for where, said in misplaced(secret).items():
        for form in (secret, secret.upper(), secret.lower(), json.dumps(secret), D):
            assert form not in said, where


@pytest.mark.twin("API-07")
@pytest.mark.parametrize(
    ("config", "said"),
    [
        (policy(algorithms=["ES265"]), "algorithms: ES265 is not a known"),
        (policy(algorithms=["HS256"]), "algorithms: HS256 takes a shared secret"),
        (policy(typ=["at+jwt;x"]), "typ[0]: is not a media type"),
        (policy(typ=["at+jwt/"]), "typ[0]: at+jwt/ is not a media type"),
        (ISSUER.config(route=[{"path": "journal/{x}"}]), "path: journal/{x} is not a path"),
        (ISSUER.config(route=[{"path": "/%61dmin"}]), "/%61dmin encodes what needs none"),
        (ISSUER.config(route=[{"path": "/%61dmin"}]), "write /admin"),
        (ISSUER.config(route=[{"path": "/", "methods": ["get"]}]), "write GET for get"),
        (ISSUER.config(route=[{"path": "/", "methods": ["GET,PUT"]}]), "methods: is not a method"),
        (ISSUER.config(route=[{"path": "/", "methods": ["G3T"]}]), "methods: G3T is not a method"),
        (
            ISSUER.config(route=[{"path": "/a"}, {"path": "/a"}]),
            "/a claims requests that /a claims",
        ),
        (
            policy(algoritms=["ES256"]),
            "issuer[0].algoritms: is not known; did you mean algorithms?",
        ),
        (policy(**{"jwks.file": 1}), 'issuer[0]."jwks.file": is not known'),
        (policy(require_security_level_of_persons=1), "].require_security_level_of_persons: is"),
        (policy(**{"a key": 1}), "issuer[0].…: is not known"),
    ],
)
def test_a_mistake_is_named_with_what_it_is_about(config: dict[str, Any], said: str) -> None:
    assert said in said_of_data(config)
