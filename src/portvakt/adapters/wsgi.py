"""Guard any WSGI application: what is not admitted never reaches it.

Which path is judged: the one that the application routes by, ``PATH_INFO``. WSGI hands it over
decoded, and keeps ``SCRIPT_NAME`` apart, so rules are written as the application's own routes are.
Where the server tells how the target was written (``REQUEST_URI`` or ``RAW_URI``), that is judged,
and it must say the same as what the application goes by; a request of which server and application
could read different paths is answered with 400. So is a path that begins with two slashes, of which
servers and routers drop one, a target that is no path, and a path with control characters. Where
the server does not tell, the decoded path is judged as it is served: of ``/a%2Fb`` nothing is left
but ``/a/b``.

WSGI takes ``X_Name`` and ``X-Name`` for one header, and several lines of one for one line with
commas. Several credentials are refused all the same, for no token holds a comma. But a header in
which a proxy tells of its client could be sent by that client in the other spelling. Gunicorn (from
version 22), Waitress, uWSGI behind nginx, and Apache drop what has an underscore; others do not. So
with a ``[proxy]`` in the policy it has to be stated that the server does: ``drops_underscores``.

A client's certificate is taken from ``SSL_CLIENT_CERT``, if ``SSL_CLIENT_VERIFY`` says ``SUCCESS``
(Apache with mod_wsgi: ``SSLOptions +StdEnvVars +ExportCertData``), and from the connection itself
under Gunicorn with ``--cert-reqs 2``. Apache hands over no credentials without
``WSGIPassAuthorization On``.

Who the proxy is, the address of the connection says (``REMOTE_ADDR``), so nothing may replace that
address before the guard sees it: no ``ProxyFix`` around it (it may stand inside), and no
``trusted_proxy`` of Waitress.
"""

import re
import socket
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from portvakt.adapters.judgement import KEY, Judgement, decision_of, judgement_of, token_of
from portvakt.guard import (
    ConfigurationError,
    Decision,
    Guard,
    HttpRequest,
    NotCertificate,
    Response,
    read_pem,
)

__all__ = [
    "Application",
    "Environ",
    "GuardMiddleware",
    "StartResponse",
    "answer",
    "check_underscores",
    "decision_of",
    "judgement_of",
    "read_request",
    "token_of",
]

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: What a path holds without encoding, beside letters and digits (RFC 3986 section 3.3).
_PLAIN: Final = "/:@!$&'()*+,;=-._~"

#: No honest path has one, and patterns that end in ``$`` overlook a line break at the end.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

#: Where servers say how the target was written; none is part of WSGI.
_TARGETS: Final = ("REQUEST_URI", "RAW_URI")

#: Headers that have no prefix in an environ.
_UNPREFIXED: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")

#: The peer of a connection by a Unix socket. The guard's policy has the same word for it.
_UNIX: Final = "unix"

#: Where ``werkzeug.middleware.proxy_fix`` leaves what it has replaced.
_REPLACED: Final = "werkzeug.proxy_fix.orig"


class GuardMiddleware:
    """A WSGI application that lets another one see admitted requests only.

    Requests are judged by the policy alone: without rules each needs a valid token; with rules,
    what no rule is for is refused. The application finds the outcome with :func:`token_of`, which
    takes its environ.

    Parameters:
        app: the application to stand in front of.
        guard: who judges.
        drops_underscores: whether the server drops headers with an underscore in their names.

    Raises:
        ConfigurationError: if the policy names a proxy and the server keeps such headers.
    """

    def __init__(self, app: Application, guard: Guard, *, drops_underscores: bool = False) -> None:
        check_underscores(guard, drops=drops_underscores)
        self.app = app
        self.guard = guard

    def judge(self, request: HttpRequest) -> Decision:
        """Judge one request."""
        return self.guard.check_blocking(request)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request, as PEP 3333 says.

        Raises:
            ConfigurationError: if something around the guard has replaced whom the request is from.
        """
        if _REPLACED in environ:
            raise ConfigurationError(
                "ProxyFix stands around the guard and replaces the address of the connection: put "
                "it inside, and name the proxy in the policy"
            )
        request, flaw = read_request(environ)
        decision = self.guard.malformed(request, flaw) if flaw else self.judge(request)
        if decision.response is not None:
            return answer(decision.response, environ, start_response)
        environ[KEY] = Judgement(self.guard, request, decision)
        return self.app(environ, _adding_headers(environ, start_response))


def check_underscores(guard: Guard, *, drops: bool) -> None:
    """See that nobody can write a header that a proxy is believed in.

    Parameters:
        guard: whose policy may name a proxy.
        drops: whether the server drops headers with an underscore in their names.

    Raises:
        ConfigurationError: if the policy names a proxy, and the server does not.
    """
    if guard.parts.proxies is not None and not drops:
        raise ConfigurationError(
            "the policy names a [proxy], and a WSGI server may take X_Name for X-Name, so that "
            "anyone could write what only the proxy may say: state drops_underscores=True if the "
            "server drops such names, as Gunicorn and Waitress do"
        )


def read_request(
    environ: Mapping[str, Any], path: str | None = None, prefix: str | None = None
) -> tuple[HttpRequest, str | None]:
    """Return what an environ holds as the guard wants it, and why it cannot be judged, if so.

    Parameters:
        environ: what the server made of the request.
        path: the path that the application goes by, if a framework has decoded it already.
        prefix: likewise, where the application is mounted.
    """
    written, flaw = _path_as_written(environ, path, prefix)
    query: str = environ.get("QUERY_STRING") or ""
    method: str = environ["REQUEST_METHOD"]
    if method != method.upper():
        flaw = flaw or "the method is not in capitals, and frameworks take it as if it were"
    headers = [
        (name[5:].replace("_", "-").lower(), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [
        (name.replace("_", "-").lower(), environ[name]) for name in _UNPREFIXED if environ.get(name)
    ]
    certificate = None
    try:
        certificate = _certificate_of(environ)
    except NotCertificate as error:
        flaw = flaw or f"the client certificate from the server: {error}"
    request = HttpRequest(
        method=method,
        url=f"{written}?{query}" if query else written,
        headers=tuple(headers),
        peer=_peer_of(environ),
        client_certificate=certificate,
    )
    return request, flaw


def _peer_of(environ: Mapping[str, Any]) -> str | None:
    """Return who is at the other end of the connection, as far as the server says."""
    if getattr(environ.get("gunicorn.socket"), "family", None) == _AF_UNIX:
        return _UNIX
    # What a server writes there may come from a header: that is no Unix socket, whatever it says.
    address: str | None = environ.get("REMOTE_ADDR")
    return address if address and address != _UNIX else None


#: None where the system has none.
_AF_UNIX: Final = getattr(socket, "AF_UNIX", object())


def _certificate_of(environ: Mapping[str, Any]) -> bytes | None:
    """Return the certificate that the client showed, if the server says that it verified it.

    Raises:
        NotCertificate: if it is not exactly one certificate in PEM.
    """
    shown_by = getattr(environ.get("gunicorn.socket"), "getpeercert", None)
    if shown_by is not None:
        # OpenSSL asks for one only if it is to verify it, and gives it only after that.
        shown: bytes | None = shown_by(binary_form=True)
        return shown
    text = environ.get("SSL_CLIENT_CERT")
    # Web servers hand over what they could not verify, too ("optional_no_ca", "GENEROUS").
    if not text or environ.get("SSL_CLIENT_VERIFY") != "SUCCESS":
        return None
    return read_pem(text)


def _path_as_written(
    environ: Mapping[str, Any], path: str | None, prefix: str | None
) -> tuple[str, str | None]:
    """Return the path that the application routes by, encoded, and what is wrong with it."""
    try:
        octets = _octets(environ, "PATH_INFO", path)
        before = _octets(environ, "SCRIPT_NAME", prefix)
    except UnicodeEncodeError:
        return "/", "PATH_INFO or SCRIPT_NAME is not as PEP 3333 has it"
    written = quote(octets, safe=_PLAIN)
    if _CONTROL.search(octets.decode("utf-8", "replace")):
        return written, "the path has a control character"
    for name in _TARGETS:
        target: str | None = environ.get(name)
        if target is None:
            continue
        whole, _, query = target.partition("?")
        if not whole.startswith("/"):
            return written, "the target is not a path"
        if query != (environ.get("QUERY_STRING") or ""):
            return written, f"{name} has another query than QUERY_STRING"
        # With the prefix in front; or without it, where a proxy has taken it off.
        found = _rest(whole, before) if before else whole
        if found is None or _decoded(found) != octets:
            found = whole
        if _decoded(found) != octets:
            return written, f"{name} is not what PATH_INFO is decoded from"
        written = found
    if not written.startswith("/") or written.startswith("//"):
        return written, "the target is not a path, or begins with two slashes"
    return written, None


def _octets(environ: Mapping[str, Any], name: str, text: str | None) -> bytes:
    """Return a part of the path: of the environ, where each character is an octet, or as text."""
    return (environ.get(name) or "").encode("latin-1") if text is None else text.encode()


def _rest(whole: str, before: bytes) -> str | None:
    """Cut as many segments off an encoded path as the prefix has; None if they are not it."""
    segments = whole.split("/")
    cut = "/".join(segments[: before.count(b"/") + 1])
    return whole[len(cut) :] if _decoded(cut) == before else None


def _decoded(path: str) -> bytes:
    """Return the octets of an encoded path; what no server can have received stays escaped."""
    return unquote_to_bytes(path.encode("latin-1", "backslashreplace"))


def _adding_headers(environ: Environ, start_response: StartResponse) -> StartResponse:
    """Return a ``start_response`` that adds to the application's answer what the decision says.

    The last decision: an endpoint's demand may have made another. A header that the answer has
    already is left as it is there: it may be a refusal that states its own.
    """

    def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
        names = {name.lower() for name, _ in headers}
        added = [one for one in decision_of(environ).headers if one[0].lower() not in names]
        return start_response(status, [*headers, *added], *exc_info)

    return start


def answer(
    response: Response, environ: Mapping[str, Any], start_response: StartResponse
) -> list[bytes]:
    """Answer a request with a complete response; to HEAD without its body."""
    phrase = HTTPStatus(response.status).phrase
    start_response(f"{response.status} {phrase}", list(response.headers))
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]
