"""A journal API under whichever policy it is started with: low, normal or high sensitivity.

JOURNAL_POLICY=high.toml uvicorn --factory app:create. The code is the same under each of them: what
a token has to be, and what a stolen one is good for, the policy beside it decides.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from fastapi import FastAPI

from portvakt import Decision, HttpRequest
from portvakt.adapters.fastapi import FastAPIGuard

Observer = Callable[[HttpRequest, Decision], None]


def create(
    policy: str | None = None,
    *,
    clock: Callable[[], float] | None = None,
    observers: Iterable[Observer] = (),
) -> FastAPI:
    """Make the API.

    Parameters:
        policy: the file that decides, in this folder; by default what JOURNAL_POLICY says.
        clock: what time it is; the system's by default.
        observers: who is told of every decision.
    """
    file = Path(__file__).parent / (policy or os.environ.get("JOURNAL_POLICY", "high.toml"))
    guard = FastAPIGuard.from_file(file, clock=clock, observers=observers)
    app = FastAPI(title="Journal")
    app.state.guard = guard
    guard.protect(app)

    @app.get("/journal/{patient}")
    def read_journal(patient: str) -> dict[str, str]:
        """Read a journal."""
        return {"patient": patient}

    return app
