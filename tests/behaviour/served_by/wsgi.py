"""The sample API as a plain WSGI application."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from behaviour.sample import Sample, plain_endpoint
from behaviour.serving import Adapter, Address, serve_wsgi
from portvakt import Guard
from portvakt.adapters.wsgi import GuardMiddleware, token_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["WSGI", "make_app"]


def make_app(sample: Sample) -> GuardMiddleware:
    """Make the application, guarded."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        # As frameworks do: text in which each character is an octet of UTF-8.
        path = environ["PATH_INFO"].encode("latin-1").decode()
        endpoint = plain_endpoint(sample, environ["REQUEST_METHOD"], path)
        if endpoint is None:
            start_response("404 Not Found", [])
            return []
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        found = endpoint(token_of(environ), body)
        start_response("200 OK", [("X-Api", "1")])
        if environ["REQUEST_METHOD"] == "HEAD":
            return []
        if isinstance(found, str):
            return [found.encode()]
        return [found] if isinstance(found, bytes) else found

    return GuardMiddleware(app, sample.guard(Guard))


@contextmanager
def serve(sample: Sample) -> Iterator[Address]:
    with serve_wsgi(make_app(sample)) as address:
        yield address


WSGI: Final = Adapter(
    name="wsgi",
    title="WSGI",
    serve=serve,
    lacks={"demands": "plain WSGI has no endpoints: what they demand is in the policy"},
)
