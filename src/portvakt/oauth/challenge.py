"""What the caller is told: a refusal becomes a response (RFC 6750 section 3, RFC 9457)."""

from typing import Final

from portvakt.http.response import Response, problem
from portvakt.refusal import Code

__all__ = ["Challenges"]

_TITLES: Final = {401: "unauthorized", 403: "forbidden", 503: "unavailable"}


class Challenges:
    """The answers to refused requests of one API, made before the first of them.

    Nothing in them depends on what a caller sent: one answer for each code, and where a scope is
    missing, one for each route's scopes.

    Parameters:
        realm: the protection space (RFC 9110 section 11.5): the name of the API.
    """

    __slots__ = ("_answers", "_realm", "_scoped")

    def __init__(self, realm: str) -> None:
        self._realm = realm
        self._answers = {code: self._answer(code) for code in Code}
        self._scoped: dict[str, Response] = {}

    def answer(
        self, code: Code, scope: str | None = None, retry_after: int | None = None
    ) -> Response:
        """Return the response to a refusal.

        Parameters:
            code: why the request was refused.
            scope: the scopes that the route demands, separated by spaces; named if one is missing.
            retry_after: in how many seconds a 503 may be tried again.
        """
        if retry_after is not None:
            return self._answer(code, retry_after=retry_after)
        if code is not Code.SCOPE_INSUFFICIENT or not scope:
            return self._answers[code]
        answer = self._scoped.get(scope)
        if answer is None:
            answer = self._scoped[scope] = self._answer(code, scope=scope)
        return answer

    def _answer(
        self, code: Code, *, scope: str | None = None, retry_after: int | None = None
    ) -> Response:
        headers: tuple[tuple[str, str], ...] = ()
        if code.error is not None or code.status == 401:
            headers = (("WWW-Authenticate", self._challenge(code, scope)),)
        if retry_after is not None:
            headers += (("Retry-After", str(retry_after)),)
        return problem(code.status, code.error or _TITLES[code.status], code.sentence, headers)

    def _challenge(self, code: Code, scope: str | None) -> str:
        # Every value is a word of ours or of the policy, already without quotes and backslashes.
        parameters = [f'realm="{self._realm}"']
        if code.error is not None:
            # Without credentials there is nothing to explain (RFC 6750 section 3.1).
            parameters += [f'error="{code.error}"', f'error_description="{code.sentence}"']
        if scope is not None:
            parameters.append(f'scope="{scope}"')
        return "Bearer " + ", ".join(parameters)
