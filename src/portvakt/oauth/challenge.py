"""What the caller is told: a refusal becomes a response (RFC 6750 section 3, 9449, 9457, 9470)."""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from portvakt.errors import ConfigurationError, Problem
from portvakt.http.response import Response, problem
from portvakt.refusal import Code

__all__ = ["NO_HINTS", "Challenges", "Hints"]

#: What a quoted string holds without being escaped (RFC 9110 section 5.6.4).
_QUOTED: Final = re.compile(r"[ !#-\[\]-~]{1,256}")
_QUOTED_URL: Final = re.compile(r"https://[!#-\[\]-~]{1,2400}")

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
        algorithms: those that proofs may be signed with, for the challenges of routes that take
            proofs (RFC 9449 section 7.1).
        resource_metadata: the URL of the API's metadata (RFC 9728 section 5.1); None: it has none.

    Raises:
        ConfigurationError: if the realm or the URL could not be quoted.
    """

    __slots__ = ("_algorithms", "_answers", "_hinted", "_pointer", "_realm")

    def __init__(
        self, realm: str, algorithms: Iterable[str] = (), resource_metadata: str | None = None
    ) -> None:
        if not _QUOTED.fullmatch(realm):
            message = "must be 1 to 256 characters of ASCII without quotes and backslashes"
            raise ConfigurationError([Problem("realm", message)])
        self._realm = realm
        #: How every challenge ends, whatever its scheme.
        self._pointer = ""
        if resource_metadata is not None:
            if not _QUOTED_URL.fullmatch(resource_metadata):
                message = "must be the URL of a document, in ASCII without quotes"
                raise ConfigurationError([Problem("resource_metadata", message)])
            self._pointer = f', resource_metadata="{resource_metadata}"'
        self._algorithms = " ".join(sorted(algorithms))
        self._answers = {
            dpop: {code: self._answer(code, NO_HINTS, dpop) for code in Code}
            for dpop in (False, True, None)
        }
        self._hinted: dict[tuple[Code, Hints, bool | None], Response] = {}

    def answer(
        self,
        code: Code,
        hints: Hints = NO_HINTS,
        retry_after: int | None = None,
        *,
        dpop: bool | None = False,
        nonce: str | None = None,
    ) -> Response:
        """Return the response to a refusal.

        Parameters:
            code: why the request was refused.
            hints: what the client may ask its issuer for.
            retry_after: in how many seconds a 503 may be tried again.
            dpop: whether the request was to one that takes proofs; None: nobody knows yet, so both
                schemes are named, as far as proofs are taken at all.
            nonce: what the next proof must carry (RFC 9449 section 9).
        """
        if retry_after is not None or nonce is not None:
            return self._answer(code, NO_HINTS, dpop, retry_after, nonce)
        if hints is NO_HINTS:
            return self._answers[dpop][code]
        answer = self._hinted.get((code, hints, dpop))
        if answer is None:
            answer = self._answer(code, hints, dpop)
            if len(self._hinted) < _MAX_HINTED:
                self._hinted[code, hints, dpop] = answer
        return answer

    def _answer(
        self,
        code: Code,
        hints: Hints,
        dpop: bool | None,  # noqa: FBT001  which of two
        retry_after: int | None = None,
        nonce: str | None = None,
    ) -> Response:
        headers: tuple[tuple[str, str], ...] = ()
        if code.error is not None or code.status == 401:
            challenge = self._challenge(code, hints, dpop is True)
            if dpop is None and self._algorithms:
                proof = f'DPoP realm="{self._realm}", algs="{self._algorithms}"{self._pointer}'
                challenge = f"{challenge}, {proof}"
            headers = (("WWW-Authenticate", challenge),)
        if nonce is not None:
            headers += (("DPoP-Nonce", nonce),)
        if retry_after is not None:
            headers += (("Retry-After", str(retry_after)),)
        return problem(code.status, code.error or _TITLES[code.status], code.sentence, headers)

    def _challenge(self, code: Code, hints: Hints, dpop: bool) -> str:  # noqa: FBT001  as above
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
        if dpop:
            parameters.append(f'algs="{self._algorithms}"')
        return ("DPoP " if dpop else "Bearer ") + ", ".join(parameters) + self._pointer
