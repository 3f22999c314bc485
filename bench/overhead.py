"""What a guard adds to a request of a FastAPI application, beside a PyJWT dependency.

Three applications with the same route: bare, guarded by Portvakt, and with a dependency that calls
PyJWT. Each is called as an ASGI server calls it, in turns of one process, so what is compared is
the framework's and the guard's own time and no socket's. The token is seen again and again, as
those of real clients are; PyJWT has no memory of it.

    python bench/overhead.py [--requests N] [--turns N] [--most RATIO]
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

import contenders
import payload
from fastapi import Depends, FastAPI, Header

from portvakt import AccessToken
from portvakt.adapters.fastapi import FastAPIGuard
from portvakt.jose.signer import Signer, sign_compact

SCOPE = "example:journal.api/read"


def bare() -> FastAPI:
    app = FastAPI()

    @app.get("/journal/{patient}")
    async def journal(patient: str) -> dict[str, str]:
        return {"patient": patient}

    return app


def guarded(signer: Signer) -> FastAPI:
    guard = FastAPIGuard.from_config(
        {
            "api": {"audience": payload.AUDIENCE},
            "issuer": [
                {
                    "issuer": payload.ISSUER,
                    "algorithms": [signer.alg],
                    "jwks": {"keys": [signer.public_jwk()]},
                }
            ],
        }
    )
    app = FastAPI()

    @app.get("/journal/{patient}")
    async def journal(
        patient: str,
        token: Annotated[AccessToken, Depends(guard.requires(scopes=[SCOPE]))],
    ) -> dict[str, str]:
        assert token.subject
        return {"patient": patient}

    guard.protect(app)
    return app


def with_pyjwt(signer: Signer) -> FastAPI:
    check = contenders.pyjwt(signer.public_jwk())
    app = FastAPI()

    async def claims(authorization: Annotated[str, Header()]) -> dict[str, Any]:
        scheme, _, token = authorization.partition(" ")
        assert scheme == "Bearer"
        found = check(token)
        assert isinstance(found, dict)
        assert SCOPE in found["scope"]
        return found

    @app.get("/journal/{patient}")
    async def journal(
        patient: str, found: Annotated[dict[str, Any], Depends(claims)]
    ) -> dict[str, str]:
        assert found["sub"]
        return {"patient": patient}

    return app


App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


async def call(app: App, token: str) -> int:
    """Call an application as a server does, and return the status of its answer."""
    status = 0
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/journal/1",
        "raw_path": b"/journal/1",
        "root_path": "",
        "query_string": b"",
        "headers": [
            (b"host", b"api.example.no"),
            (b"user-agent", b"bench"),
            (b"accept", b"*/*"),
            (b"authorization", b"Bearer " + token.encode()),
        ],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    return status


async def turn(app: App, token: str, requests: int) -> float:
    """Return the microseconds that one request takes."""
    began = time.perf_counter()
    for _ in range(requests):
        assert await call(app, token) == 200
    return (time.perf_counter() - began) / requests * 1e6


async def measure(requests: int, turns: int, most: float) -> int:
    signer = Signer.generate("RS256")
    header = {"alg": "RS256", "typ": "at+jwt", "kid": signer.kid}
    token = sign_compact(header, payload.claims(int(time.time()), 1), signer)
    apps: dict[str, App] = {
        "bare": bare(),
        "portvakt": guarded(signer),
        "PyJWT": with_pyjwt(signer),
    }
    found: dict[str, list[float]] = {name: [] for name in apps}
    for app in apps.values():
        await turn(app, token, requests // 10 + 1)  # compiled and seen before
    assert await call(apps["portvakt"], token[:-4] + "AAAA") == 401
    for _ in range(turns):
        for name, app in apps.items():
            found[name].append(await turn(app, token, requests))
    added = {
        name: [one - base for one, base in zip(found[name], found["bare"], strict=True)]
        for name in ("portvakt", "PyJWT")
    }
    print("a FastAPI route, in microseconds for each request")
    for name, took in found.items():
        more = f"   adds {statistics.median(added[name]):6.1f}" if name in added else ""
        print(f"  {name:10} {statistics.median(took):7.1f}{more}")
    ratio = statistics.median(
        ours / theirs for ours, theirs in zip(added["portvakt"], added["PyJWT"], strict=True)
    )
    met = ratio <= most
    verdict = "met" if met else "MISSED"
    print(f"  portvakt adds {ratio:.2f} of what PyJWT adds (wanted {most:g}: {verdict})")
    return 0 if met else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=15)
    # What Portvakt may add, as a ratio to what PyJWT adds.
    parser.add_argument("--most", type=float, default=0.2)
    options = parser.parse_args()
    return asyncio.run(measure(options.requests, options.turns, options.most))


if __name__ == "__main__":
    sys.exit(main())
