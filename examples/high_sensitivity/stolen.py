"""What a thief can do with a stolen access token, under each policy beside this: tried here.

python examples/high_sensitivity/stolen.py. The thief has everything that went over the wire: the
token and, where there is one, the proof that went with it. Nothing here is claimed: each cell is
what came of a request to the API of app.py. Time is moved by hand, so it takes seconds.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent))

from app import create
from issuer import SECRET, Issuer

from portvakt import Decision, HttpRequest
from portvakt.testing import FakeClient

__all__ = ["COLUMNS", "ROWS", "Api", "Stolen", "apis", "main", "table"]

_sessions = count(1)

ORIGIN = "https://journal.example"
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

#: Name of the column, policy, and how long the issuer's tokens live: as long as they may.
COLUMNS = (
    ("low", "low.toml", DAY),
    ("normal", "normal.toml", HOUR),
    ("high, DPoP", "high.toml", HOUR),
    ("high, reference", "reference.toml", HOUR),
)


class Api:
    """The API under one policy, and another API of the same issuer under the same.

    Parameters:
        policy: the file.
        lifetime: seconds that tokens live.
        issuer: who issues them.
        stack: closes what is opened here.
    """

    def __init__(self, policy: str, lifetime: float, issuer: Issuer, stack: ExitStack) -> None:
        self.issuer, self.lifetime = issuer, lifetime
        self.proven = policy == "high.toml"
        self.by_reference = policy == "reference.toml"
        self._decisions: list[Decision] = []
        self._client, self._guard = self._opened(policy, stack)
        with patch.dict(os.environ, {"PORTVAKT_API__AUDIENCE": "example:prescriptions"}):
            self._other, _ = self._opened(policy, stack)

    def _opened(self, policy: str, stack: ExitStack) -> tuple[TestClient, Any]:
        def note(_request: HttpRequest, decision: Decision) -> None:
            self._decisions.append(decision)

        app = create(policy, clock=self.issuer.clock, observers=[note])
        client = stack.enter_context(TestClient(app, base_url=ORIGIN))
        return client, app.state.guard

    def send(self, token: str, proof: str | None, path: str, *, other: bool = False) -> str:
        """Send a request; return "admitted", or for which reason it was refused."""
        scheme = "Bearer" if proof is None else "DPoP"
        headers = {"Authorization": f"{scheme} {token}"}
        if proof is not None:
            headers["DPoP"] = proof
        answer = (self._other if other else self._client).get(path, headers=headers)
        refusal = self._decisions.pop().refusal
        if (answer.status_code == 200) is not (refusal is None):
            raise RuntimeError("the API did not do what the guard decided")
        return "admitted" if refusal is None else refusal.code.value

    def end(self, session: str) -> None:
        """End a session at the issuer, and at the API if that can be told of it."""
        self.issuer.end(session)
        if self._guard.parts.standing is not None:
            self._guard.revoke_blocking("https://issuer.example", "session", session)


class Stolen:
    """A token that somebody got, used once for an honest request, and lost.

    Attributes:
        api: the API that it is for.
        owner: whose it is, with the key that it may be bound to.
        token: what the thief has.
        proof: the proof of that request, where there is one.
    """

    def __init__(self, api: Api) -> None:
        self.api = api
        self.owner = FakeClient(api.issuer.fake, origin=ORIGIN)
        self._session = f"session-{next(_sessions)}"
        claims = {"exp": int(api.issuer.clock() + api.lifetime), "sid": self._session}
        if api.by_reference:
            self.token = api.issuer.grant(claims)
        elif api.proven:
            self.token = self.owner.token(claims=claims)
        else:
            self.token = api.issuer.fake.token(claims=claims)
        self.proof = self.made()
        own = self.sent(self.proof)
        if own != "admitted":
            raise RuntimeError(f"the owner's own request was refused: {own}")

    def made(self, path: str = "/journal/1", by: FakeClient | None = None) -> str | None:
        """Return a proof for a request, if one is asked for: the owner's, or of another key."""
        if not self.api.proven:
            return None
        return (by or self.owner).proof(self.token, url=path).build()

    def sent(self, proof: str | None, path: str = "/journal/1", *, other: bool = False) -> str:
        """Send it."""
        return self.api.send(self.token, proof, path, other=other)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.api.issuer.clock.advance(seconds)

    def end_session(self) -> None:
        """Let the owner notice, and have the session ended."""
        self.api.end(self._session)


def _by_a_fake_api(stolen: Stolen) -> str:
    """Pass on what a client sent to an address that it was lured to."""
    if not stolen.api.proven:
        return stolen.sent(None)
    made = stolen.owner.proof(stolen.token, url="/journal/1")
    return stolen.sent(made.claims(htu="https://journa1.example/journal/1").build())


def _with_an_unsent_proof(stolen: Stolen, *, times: int = 1, after: float = 0.0) -> str:
    """Take a proof out of the owner's own program before that sends it."""
    proof = stolen.made()
    stolen.later(after)
    return [stolen.sent(proof) for _ in range(times)][-1]


def _with_his_own_key(stolen: Stolen) -> str:
    return stolen.sent(stolen.made(by=FakeClient(stolen.api.issuer.fake, origin=ORIGIN)))


def _ended(stolen: Stolen) -> str:
    stolen.end_session()
    return stolen.sent(stolen.made())


def _late(stolen: Stolen, seconds: float) -> str:
    stolen.later(seconds)
    return stolen.sent(stolen.made())


#: What the thief does. Where no proof is asked for, he sends the token and nothing with it. In the
#: last rows he has more than he could: whatever proof is asked for, the owner's own program makes.
ROWS: tuple[tuple[str, Callable[[Stolen], str]], ...] = (
    ("sends the token as it is", lambda stolen: stolen.sent(None)),
    ("sends it with the proof that he saw", lambda stolen: stolen.sent(stolen.proof)),
    ("… for another journal", lambda stolen: stolen.sent(stolen.proof, "/journal/2")),
    ("… made with a key of his own", _with_his_own_key),
    ("… that a fake API was given", _by_a_fake_api),
    ("takes it to another API", lambda stolen: stolen.sent(stolen.made(), other=True)),
    ("takes a proof that was never sent", _with_an_unsent_proof),
    ("… and uses it twice", lambda stolen: _with_an_unsent_proof(stolen, times=2)),
    ("… a minute later", lambda stolen: _with_an_unsent_proof(stolen, after=MINUTE)),
    ("any proof, when the session was ended", _ended),
    ("any proof, after an hour", lambda stolen: _late(stolen, HOUR + MINUTE)),
    ("any proof, after a day", lambda stolen: _late(stolen, DAY + MINUTE)),
)


@contextmanager
def apis() -> Iterator[dict[str, Api]]:
    """Start the issuer, and the API under each policy."""
    issuer = Issuer()
    with ExitStack() as stack:
        url = stack.enter_context(issuer.served())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "keys.json").write_text(json.dumps(issuer.fake.jwks()))
        # Its keys come from a file here, and references from this machine.
        file = {"PORTVAKT_ISSUER__0__JWKS_FILE": str(folder / "keys.json")}
        here = {
            "PORTVAKT_ISSUER__0__JWKS_URI": url,
            "PORTVAKT_ISSUER__0__INTROSPECTION__ENDPOINT": url,
            "PORTVAKT_ISSUER__0__UNSAFE_LOOPBACK": "true",
            "JOURNAL_SECRET": SECRET,
        }
        found = {}
        for name, policy, lifetime in COLUMNS:
            with patch.dict(os.environ, here if policy == "reference.toml" else file):
                found[name] = Api(policy, lifetime, issuer, stack)
        # One that has just been made does not know which proofs were used before, and refuses.
        issuer.clock.advance(MINUTE)
        yield found


def table(columns: dict[str, Api]) -> dict[str, tuple[str, ...]]:
    """Return what came of each row, column by column; every cell has a token of its own."""
    return {
        title: tuple(attempt(Stolen(api)) for api in columns.values()) for title, attempt in ROWS
    }


def main() -> None:
    """Print the table."""
    with apis() as columns:
        found = table(columns)
        first = max(len(title) for title in found) + 2
        for title, cells in {"the thief …": tuple(columns), **found}.items():
            print((f"{title:{first}}" + "".join(f"{cell:18}" for cell in cells)).rstrip())


if __name__ == "__main__":
    main()
