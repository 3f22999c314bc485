"""A journal API behind HelseID: a clinician's route, and a citizen's.

uvicorn app:app, with portvakt.toml beside it. What each route demands stands there; an endpoint
that is in neither the policy nor under guard.requires() keeps the application from starting.
"""

from typing import Annotated

from fastapi import Depends, FastAPI

from portvakt import AccessToken
from portvakt.adapters.fastapi import FastAPIGuard

guard = FastAPIGuard.from_file("portvakt.toml")
app = FastAPI(title="Journal")
guard.protect(app)

Token = Annotated[AccessToken, Depends(guard.requires())]


@app.get("/journal/{patient}")
def read_journal(patient: str, token: Token) -> dict[str, str | None]:
    """Read a journal, as a clinician. Whether they treat the patient is this API's to know."""
    organisation = token.organisation.parent if token.organisation else None
    return {
        "patient": patient,
        "read_by": token.hpr_number.number if token.hpr_number else None,
        "for": organisation.number if organisation else None,
    }


@app.get("/me/{pid}")
def read_own(pid: str) -> dict[str, str]:
    """Read one's own journal: the policy has seen to it that the path is about the caller."""
    return {"journal_of": pid}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that the API runs."""
    return {"status": "ok"}
