"""What the caller is told: a refusal becomes a response (RFC 6750 section 3, RFC 9457, 9470)."""

import re
from typing import Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.http.response import Response, problem
from portvakt.refusal import Code

__all__ = ["NO_HINTS", "Challenges", "Hints"]

#: What a quoted string holds without being escaped (RFC 9110 section 5.6.4).
_QUOTED: Final = re.compile(r"[ !#-\[\]-~]{1,256}")

#: Answers remembered at most. A policy has one for each route's demands; an API that makes up
#: demands for each request has no end of them.
_MAX_HINTED: Final = 1024

_TITLES: Final = {401: "unauthorized", 403: "forbidden", 503: "unavailable"}


class Hints(Struct, frozen=True):
    """What a client that was refused may ask its issuer for.

    Attributes:
        scope: the scopes that are demanded, separated by spaces (RFC 6750 section 3).
        acr_values: the authentication that is demanded, separated by spaces (RFC 9470 section 3).
        max_age: seconds since the person signed in, at the most (RFC 9470 section 3).
    """

    scope: str | None = None
    acr_values: str | None = None
    max_age: int | None = None


#: Nothing to ask for, or nothing that the API tells.
NO_HINTS: Final = Hints()


class Challenges:
    """The answers to refused requests of one API, made before the first of them.

    Nothing in them depends on what a caller sent: one answer for each code, and where something can
    be asked for, one for each route's demands.

    Parameters:
        realm: the protection space (RFC 9110 section 11.5): the name of the API.

    Raises:
        ConfigurationError: if the realm could not be quoted.
    """

    __slots__ = ("_answers", "_hinted", "_realm")

    def __init__(self, realm: str) -> None:
        if not _QUOTED.fullmatch(realm):
            message = "must be 1 to 256 characters of ASCII without quotes and backslashes"
            raise ConfigurationError([Problem("realm", message)])
        self._realm = realm
        self._answers = {code: self._answer(code, NO_HINTS) for code in Code}
        self._hinted: dict[tuple[Code, Hints], Response] = {}

    def answer(
        self, code: Code, hints: Hints = NO_HINTS, retry_after: int | None = None
    ) -> Response:
        """Return the response to a refusal.

        Parameters:
            code: why the request was refused.
            hints: what the client may ask its issuer for.
            retry_after: in how many seconds a 503 may be tried again.
        """
        if retry_after is not None:
            return self._answer(code, NO_HINTS, retry_after)
        if hints is NO_HINTS:
            return self._answers[code]
        answer = self._hinted.get((code, hints))
        if answer is None:
            answer = self._answer(code, hints)
            if len(self._hinted) < _MAX_HINTED:
                self._hinted[code, hints] = answer
        return answer

    def _answer(self, code: Code, hints: Hints, retry_after: int | None = None) -> Response:
        headers: tuple[tuple[str, str], ...] = ()
        if code.error is not None or code.status == 401:
            headers = (("WWW-Authenticate", self._challenge(code, hints)),)
        if retry_after is not None:
            headers += (("Retry-After", str(retry_after)),)
        return problem(code.status, code.error or _TITLES[code.status], code.sentence, headers)

    def _challenge(self, code: Code, hints: Hints) -> str:
        # Every value is a word of ours or of the policy, already without quotes and backslashes.
        parameters = [f'realm="{self._realm}"']
        if code.error is not None:
            # Without credentials there is nothing to explain (RFC 6750 section 3.1).
            parameters += [f'error="{code.error}"', f'error_description="{code.sentence}"']
        if hints.scope:
            parameters.append(f'scope="{hints.scope}"')
        if hints.acr_values:
            parameters.append(f'acr_values="{hints.acr_values}"')
        if hints.max_age is not None:
            parameters.append(f'max_age="{hints.max_age}"')
        return "Bearer " + ", ".join(parameters)
