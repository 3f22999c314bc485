"""The Flask adapter: what is looked at before anything is served, and who is asked for what."""

from __future__ import annotations

from typing import Any, Final

import pytest
from flask import Blueprint, Flask, jsonify
from flask.views import MethodView
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from portvakt import AccessToken, ConfigurationError
from portvakt.adapters.flask import FlaskGuard
from portvakt.testing import FakeIssuer

ISSUER: Final = FakeIssuer()
READER: Final = {"Authorization": f"Bearer {ISSUER.token(scopes=['read'])}"}
NOBODY: Final = {"Authorization": f"Bearer {ISSUER.token()}"}


def guard_of(*routes: dict[str, Any], **more: Any) -> FlaskGuard:
    return FlaskGuard.from_config(ISSUER.config(route=list(routes), **more), clock=ISSUER.clock)


def served() -> str:
    return "served"


def problems_of(guard: FlaskGuard, app: Flask) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        guard.check_routes(app)
    return [f"{one.place}: {one.message}" for one in caught.value.problems if one.place]


@pytest.mark.attack("API-04")
def test_every_forgotten_view_is_named_with_its_method() -> None:
    guard = guard_of({"path": "/ruled", "methods": ["GET"], "scopes": ["read"]})
    app = Flask("app")
    app.get("/ruled", endpoint="ruled")(served)
    app.post("/ruled", endpoint="posted")(served)
    app.get("/a/<int:one>/<path:rest>", endpoint="a")(served)
    app.add_url_rule("/no-view", endpoint="nothing")
    blueprint = Blueprint("inner", "inner", url_prefix="/inner", static_folder="x")
    blueprint.get("/view")(served)
    app.register_blueprint(blueprint)

    assert problems_of(guard, app) == [
        "POST /ruled: nobody guards it",
        "GET /a/<int:one>/<path:rest>: nobody guards it",
        "GET /no-view: nobody guards it",
        "GET /inner/view: nobody guards it",
    ]


@pytest.mark.twin("API-04")
def test_rules_are_for_views_by_their_form() -> None:
    guard = guard_of(
        {"path": "/a/{x}/{y:path}", "public": True},
        {"path": "/b/{anything}"},
        {"path": "/c", "methods": ["PUT", "OPTIONS"]},
    )
    app = Flask("app")
    app.get("/a/<int:one>/<path:rest>", endpoint="a")(served)
    app.route("/b/<any(x, y):one>.json", endpoint="b")(served)
    app.route("/c", methods=["PUT", "OPTIONS"], endpoint="c")(served)
    app.add_url_rule("/only-built", endpoint="built", build_only=True)
    guard.protect(app)


def test_what_contradicts_itself_is_named() -> None:
    guard = guard_of(
        {"path": "/open", "public": True},
        {"path": "/bound", "sender_constraint": "dpop"},
        api={"audience": "test-api", "origin": "https://api.test"},
        store={"url": "memory://"},
    )
    app = Flask("app")
    app.get("/open", endpoint="open")(guard.requires()(served))
    app.get("/bound", endpoint="bound")(guard.requires(sender_constraint="none")(served))
    found = problems_of(guard, app)
    assert len(found) == 2
    assert "is public in the policy and has guard.requires()" in found[0]
    assert found[1].startswith("GET /bound: ")


@pytest.mark.attack("API-04")
def test_a_view_that_comes_later_stops_everything_before_it_is_served() -> None:
    guard = guard_of({"path": "/healthz", "public": True})
    app = Flask("app")
    app.get("/healthz", endpoint="healthz")(served)
    guard.protect(app)
    app.get("/late", endpoint="late")(served)
    for path in ("/healthz", "/late"):
        with pytest.raises(ConfigurationError, match="GET /late: nobody guards it"):
            app.test_client().get(path, headers=READER)


@pytest.mark.attack("API-04", "HTTP-09")
def test_a_forgotten_view_is_never_called_all_the_same() -> None:
    guard = guard_of({"path": "/ruled", "methods": ["GET"], "scopes": ["read"]})
    app = Flask("app")
    called: list[str] = []

    @app.get("/ruled")
    def ruled() -> str:
        called.append("ruled")
        return "ruled"

    guard.protect(app)
    client = app.test_client()
    assert client.get("/ruled", headers=READER).status_code == 200
    # It answers HEAD with what answers GET, and no rule is for HEAD.
    assert client.head("/ruled", headers=NOBODY).status_code == 403
    assert client.head("/ruled", headers=READER).status_code == 403
    assert called == ["ruled"]
    # Flask's own answers need a valid token, no more.
    assert client.options("/ruled").status_code == 401
    assert client.options("/ruled", headers=NOBODY).status_code == 200
    assert client.post("/ruled", headers=NOBODY).status_code == 405
    assert client.get("/static/x", headers=NOBODY).status_code == 404
    assert client.get("/static/x").status_code == 401


def test_without_rules_every_view_says_what_it_needs() -> None:
    guard = FlaskGuard.from_config(ISSUER.config(), clock=ISSUER.clock)
    app = Flask("app")
    app.get("/stated", endpoint="stated")(guard.requires(scopes=["read"])(served))
    guard.protect(app)
    client = app.test_client()
    assert client.get("/stated", headers=READER).status_code == 200
    assert client.get("/stated", headers=NOBODY).status_code == 403
    assert client.get("/stated").status_code == 401


@pytest.mark.twin("API-09")
def test_the_token_is_given_to_who_asks() -> None:
    guard = guard_of({"path": "/open", "public": True})
    app = Flask("app")

    @app.get("/given/<patient>")
    @guard.requires(scopes=["read"])
    def given(patient: str, token: AccessToken) -> list[str]:
        assert guard.token() is token
        return [patient, str(token.subject)]

    class Views(MethodView):
        decorators = [guard.requires(any_scopes=["read"]), guard.requires()]  # noqa: RUF012  as Flask has it

        async def get(self) -> str:
            return str(guard.token().subject)

    app.add_url_rule("/class", view_func=Views.as_view("views"))

    @app.get("/open")
    def opened() -> str:
        with pytest.raises(ConfigurationError, match="as the route is public"):
            guard.token()
        return "open"

    guard.protect(app)
    client = app.test_client()
    assert client.get("/given/1", headers=READER).json == ["1", "test-subject"]
    assert client.get("/class", headers=READER).text == "test-subject"
    assert client.get("/class", headers=NOBODY).status_code == 403
    assert client.get("/open").text == "open"


@pytest.mark.attack("API-12")
def test_no_error_handler_changes_a_refusal() -> None:
    guard = guard_of()
    app = Flask("app")
    blueprint = Blueprint("inner", "inner")
    blueprint.get("/stated")(guard.requires(scopes=["read"])(served))

    @blueprint.errorhandler(Exception)
    @app.errorhandler(HTTPException)
    @app.errorhandler(403)
    @app.errorhandler(Exception)
    def swallow(error: Exception) -> Any:
        return jsonify("all is well"), 200

    app.register_blueprint(blueprint)
    guard.protect(app)
    answer = app.test_client().get("/stated", headers=NOBODY)
    assert answer.status_code == 403
    assert answer.content_type == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].endswith('scope="read"')


@pytest.mark.attack("API-12")
def test_a_demand_without_a_guard_in_front_admits_nobody() -> None:
    guard, other = guard_of(), guard_of()
    app = Flask("app")
    app.get("/stated")(guard.requires()(served))
    app.testing = True
    with pytest.raises(ConfigurationError, match="no guard stands in front"):
        app.test_client().get("/stated", headers=READER)
    # Another guard's demand is none of this one's.
    assert problems_of(other, app) == ["GET /stated: nobody guards it"]


def test_a_demand_on_a_public_path_is_met_or_refused() -> None:
    guard = guard_of({"path": "/open/{page:path}", "public": True})
    app = Flask("app")
    app.get("/open/<page>")(guard.requires(scopes=["read"])(lambda page: page))
    guard.protect(app)
    client = app.test_client()
    assert client.get("/open/x", headers=READER).status_code == 200
    assert client.get("/open/x", headers=NOBODY).status_code == 403
    assert client.get("/open/x").status_code == 401


def test_it_is_protected_once_and_by_one() -> None:
    guard = guard_of({"path": "/", "scopes": ["read"]})
    app = Flask("app")
    app.get("/")(served)
    guard.protect(app)
    with pytest.raises(ConfigurationError, match="twice"):
        guard.protect(app)
    with pytest.raises(ConfigurationError, match="twice"):
        guard_of().protect(app)


@pytest.mark.attack("API-12")
def test_an_application_inside_another_is_judged_by_its_own_guard() -> None:
    outer, inner = guard_of(), guard_of({"path": "/", "scopes": ["read"]})
    app, mounted = Flask("app"), Flask("mounted")
    mounted.get("/")(served)
    inner.protect(mounted)
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, {"/inner": mounted.wsgi_app}
    )
    outer.protect(app)
    client = app.test_client()
    assert client.get("/inner/", headers=READER).status_code == 200
    assert client.get("/inner/", headers=NOBODY).status_code == 403
    assert client.get("/inner/").status_code == 401


def test_two_guards_around_one_application_are_an_error() -> None:
    guard, other = guard_of(), guard_of()
    app = Flask("app")
    app.get("/")(guard.requires()(served))
    guard.protect(app)
    inside: Any = app.before_request_funcs[None]
    inside[0] = other._refuse_forgotten
    app.testing = True
    with pytest.raises(ConfigurationError, match="two guards"):
        app.test_client().get("/", headers=READER)


@pytest.mark.attack("MTLS-03")
def test_a_proxy_needs_one_spelling_and_stands_inside() -> None:
    guard = guard_of(proxy={"trusted": ["127.0.0.1"], "client_certificate": "rfc9440"})
    with pytest.raises(ConfigurationError, match="drops_underscores=True"):
        guard.protect(Flask("app"))
    app = Flask("app")
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    guard.protect(app, drops_underscores=True)
    assert app.test_client().get("/x", headers=READER).status_code == 404
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    with pytest.raises(ConfigurationError, match="ProxyFix stands around"):
        app.test_client().get("/x", headers=READER)


def test_demands_are_compiled_when_they_are_written_down() -> None:
    guard = guard_of()
    with pytest.raises(ConfigurationError, match="scope"):
        guard.requires(scopes=["two words"])
    with pytest.raises(ConfigurationError, match="registers are to be asked"):
        guard.requires(registers=["hpr"])
