"""An issuer that publishes its keys over TLS, and a guard that fetches them: what tests share."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

from key_server import KeyServer, Names, by_path, certificate, whole
from portvakt import Code, Decision, Guard
from portvakt.guard.assembly import assemble_config
from portvakt.testing import FakeIssuer

if TYPE_CHECKING:
    from pathlib import Path

    from key_server import Behaviour

__all__ = ["AUDIENCE", "OPEN", "Published", "code_of", "guard_of"]

AUDIENCE = "test-api"

#: The guards of the running test.
OPEN: list[Guard] = []


class Published:
    """A fake issuer with a server of its own: metadata, and the keys where it says.

    Parameters:
        host: the name of its server; the issuer is ``https://`` and that.
        names: where hosts are looked up.

    Attributes:
        issuer: writes its tokens. Its time is the system's.
        server: answers; what it publishes can be changed at any time.
    """

    def __init__(self, host: str, names: Names) -> None:
        self.host = host
        self.issuer = FakeIssuer(f"https://{host}", audience=AUDIENCE, clock=time.time)
        self.metadata: dict[str, Any] = {
            "issuer": f"https://{host}",
            "jwks_uri": f"https://{host}/keys",
        }
        self._names = names
        self.server = KeyServer(whole(), tls=certificate(host))

    def __enter__(self) -> Self:
        self.server.__enter__()
        self._names.servers[self.host] = self.server
        self.publish()
        return self

    def __exit__(self, *_: object) -> None:
        while OPEN:
            OPEN.pop().home.leave()  # What went on in the background ends with the test.
        self.server.__exit__()

    def publish(
        self,
        keys: object = None,
        *,
        metadata: Behaviour | None = None,
        answer: Behaviour | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Publish a key set from now on.

        Parameters:
            keys: the document; the issuer's own keys by default.
            metadata: how the metadata is answered; honestly by default.
            answer: how the keys are answered, whatever *keys* is.
            headers: headers of the answer with the keys.
        """
        document = self.issuer.jwks() if keys is None else keys
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        answers = {
            "/.well-known/openid-configuration": metadata
            or whole(json.dumps(self.metadata).encode()),
            "/keys": answer or whole(body, headers=headers),
        }
        self.server.answer = by_path(answers)

    def fetches(self) -> int:
        """How often the keys were asked for."""
        return sum(request.target == "/keys" for request in self.server.requests)

    def table(self, **settings: Any) -> dict[str, Any]:
        """The issuer's table in a policy."""
        trusted = self.issuer.trusted
        return {"issuer": trusted.issuer, "algorithms": sorted(trusted.algorithms), **settings}

    def token(self, kid: str | None = None, **claims: Any) -> str:
        """An honest token; with a *kid*, one that names another key."""
        header = {} if kid is None else {"kid": kid}
        return self.issuer.token(header=header, claims=claims)


def guard_of(
    names: Names, ca_file: Path, *tables: dict[str, Any], network: dict[str, Any] | None = None
) -> Guard:
    """Make a guard that fetches the keys of these issuers; the system's clock and resolver apart,
    everything is as in production.
    """
    config = {
        "api": {"audience": AUDIENCE},
        "issuer": list(tables),
        "network": {"ca_file": str(ca_file), **(network or {})},
    }
    guard = assemble_config(Guard, config, clock=None, observers=(), addresses=names)
    OPEN.append(guard)
    return guard


def code_of(decision: Decision) -> Code | None:
    """Why a request was refused; None if it was admitted."""
    return None if decision.refusal is None else decision.refusal.code
