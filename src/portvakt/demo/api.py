"""A sample journal API behind the guard. The patients are invented, and so is what ails them."""

from typing import Annotated, Final

from fastapi import Body, Depends, FastAPI, HTTPException

from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.guard import AccessToken

__all__ = ["AUDIENCE", "READ", "ROUTES", "WRITE", "journal_api"]

AUDIENCE: Final = "nhn:journal"
READ: Final = "nhn:journal/read"
WRITE: Final = "nhn:journal/write"

#: The rules that are no endpoint's own: that anyone may ask whether the API is up.
ROUTES: Final = ({"path": "/healthz", "methods": ["GET"], "public": True},)

_ENTRIES: Final = {
    "1": ("2026-01-12: sore throat, rest advised", "2026-01-19: well again"),
    "2": ("2026-03-02: sprained ankle",),
}


def journal_api(guard: FastAPIGuard) -> FastAPI:
    """Make the API: one open endpoint, one to read a journal, one to write in it.

    Parameters:
        guard: who judges every request before an endpoint sees it.

    Raises:
        ConfigurationError: when it starts, if an endpoint is neither guarded nor declared public.
    """
    # Each API its own journals: what one run writes, the next does not read.
    journals = {patient: list(entries) for patient, entries in _ENTRIES.items()}
    app = FastAPI(title="Journal", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "up"}

    @app.get("/journal/{patient}")
    async def read(
        patient: str, token: Annotated[AccessToken, Depends(guard.requires(scopes=[READ]))]
    ) -> dict[str, object]:
        if patient not in journals:
            raise HTTPException(404, "no such patient")
        return {"patient": patient, "read_by": token.client_id, "entries": journals[patient]}

    @app.post("/journal/{patient}", status_code=201)
    async def write(
        patient: str,
        entry: Annotated[str, Body(embed=True, max_length=200)],
        token: Annotated[AccessToken, Depends(guard.requires(scopes=[WRITE]))],
    ) -> dict[str, object]:
        if patient not in journals:
            raise HTTPException(404, "no such patient")
        journals[patient].append(entry)
        return {"patient": patient, "written_by": token.client_id}

    guard.protect(app)
    return app
