"""What the OpenAPI document of a FastAPI application says of its guarded operations."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from portvakt.adapters.endpoints import REFUSALS
from portvakt.adapters.fastapi_routes import guarding
from portvakt.guard import Requirement

__all__ = ["SCHEME", "document_demands"]

#: The name of the security scheme.
SCHEME: Final = "AccessToken"

DemandOf = Callable[[object], Requirement | None]


def document_demands(app: FastAPI, demand_of: DemandOf) -> None:
    """Have the document name the scopes that each operation demands, and the refusals.

    FastAPI itself names the scheme, and the scopes of ``Security(…)`` around a dependency. An
    ``app.openapi`` of one's own has to be there before, or what is added here is not in it.

    Parameters:
        app: whose document; nothing is done twice.
        demand_of: what a dependency demands, if it is one of the guard's; else None.
    """
    made = app.openapi
    if not (isinstance(made, _Document) and made.demand_of == demand_of):
        app.openapi = _Document(app, made, demand_of)  # type: ignore[method-assign]


class _Document:
    """Makes the document, and adds to it."""

    def __init__(
        self, app: FastAPI, make: Callable[[], dict[str, Any]], demand_of: DemandOf
    ) -> None:
        self.demand_of = demand_of
        self._app = app
        self._make = make

    def __call__(self) -> dict[str, Any]:
        """Return the document."""
        document = self._make()
        # FastAPI keeps what it made, so all of this may be there already.
        for operation, scopes in self._operations(document):
            for scheme in operation.get("security", ()):
                if SCHEME in scheme:
                    scheme[SCHEME] = list(dict.fromkeys([*scheme[SCHEME], *scopes]))
                    for status, description in REFUSALS.items():
                        operation["responses"].setdefault(status, {"description": description})
        return document

    def _operations(self, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
        """Return each operation of the document, and the scopes that its dependencies demand."""
        demanded: dict[tuple[str | None, str], list[str]] = {}
        for context in iter_route_contexts(self._app.routes):
            if not getattr(context, "include_in_schema", False):
                continue
            scopes: list[str] = []
            for dependant in guarding(context, self.demand_of):
                demand = self.demand_of(dependant.call)
                scopes += [] if demand is None else demand.challenge.split()
            for method in context.methods or ():
                # As in the document: of two for the same, the last one counts.
                demanded[context.path_format, method.lower()] = scopes
        for path, operations in document.get("paths", {}).items():
            for method, operation in operations.items():
                yield operation, demanded.get((path, method), [])
