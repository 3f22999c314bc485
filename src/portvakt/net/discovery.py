"""Where an issuer's endpoints are, by its own metadata. Metadata never widens the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from portvakt.clock import monotonic
from portvakt.http.url import RefusedUrl, check_url
from portvakt.net.address import FetchError
from portvakt.net.answer import freshness
from portvakt.oauth.metadata import MalformedMetadata, Metadata, metadata_urls, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from portvakt.net.answer import Fetched
    from portvakt.net.fetch import Fetch

__all__ = ["Discovery"]

#: Seconds for which metadata is believed: at least and at most, whatever ``Cache-Control`` says.
_FLOOR: Final = 600.0
_CEILING: Final = 86400.0

_FOUND: Final = 200
_NOT_FOUND: Final = 404


class Discovery:
    """Finds the endpoints of one issuer (OpenID Connect Discovery 1.0, RFC 8414).

    Parameters:
        issuer: the issuer's name; its metadata must name it character by character.
        fetch: how it is asked.
        metadata_uri: where the metadata is; None for the two well-known places.
        jwks_hosts: hosts, as ``host`` or ``host:port``, that the key endpoint may be on beside that
            of the metadata.
        introspection_hosts: and the introspection endpoint, which is sent tokens.
        loopback_http: whether an endpoint may be ``http`` on this machine.
        clock: an age, in seconds; the monotonic clock by default.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Fetch,
        *,
        metadata_uri: str | None = None,
        jwks_hosts: Collection[str] = (),
        introspection_hosts: Collection[str] = (),
        loopback_http: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._urls = metadata_urls(issuer) if metadata_uri is None else (metadata_uri,)
        self._hosts = {
            "jwks_uri": (_lowered(jwks_hosts), "jwks_hosts"),
            "introspection_endpoint": (_lowered(introspection_hosts), "introspection.hosts"),
        }
        self._loopback_http = loopback_http
        self._clock = clock
        self._found: tuple[str, Metadata] | None = None
        self._jwks_uri: str | None = None
        self._until = 0.0

    @property
    def source(self) -> str:
        """Where the keys are, as far as is known; else where that will be asked."""
        return self._jwks_uri or self._urls[0]

    async def jwks_uri(self) -> str:
        """Return where the keys are; ask if it is not known, or was not asked for long.

        Raises:
            FetchError: if the metadata cannot be had, is not this issuer's, or names an endpoint
                that may not be asked.
        """
        url, metadata = await self._metadata()
        self._check_host("jwks_uri", metadata.jwks_uri, url)
        self._jwks_uri = metadata.jwks_uri
        return metadata.jwks_uri

    async def introspection(self) -> tuple[str, frozenset[str]]:
        """Return where reference tokens are asked about, and how answers are signed if they are.

        Raises:
            FetchError: as :meth:`jwks_uri`.
        """
        url, metadata = await self._metadata()
        if metadata.introspection_endpoint is None:
            raise FetchError("the metadata has no introspection_endpoint that is a string")
        self._check_host("introspection_endpoint", metadata.introspection_endpoint, url)
        return metadata.introspection_endpoint, metadata.introspection_signing_algs

    def forget(self) -> None:
        """Ask again next time, as the endpoint did not answer as it should."""
        self._until = 0.0

    async def _metadata(self) -> tuple[str, Metadata]:
        if self._found is None or self._clock() >= self._until:
            started = self._clock()
            url, answer = await self._answer()
            try:
                self._found = url, read_metadata(answer.body, self._issuer)
            except MalformedMetadata as flaw:
                raise FetchError(str(flaw)) from None
            fresh_for = freshness(answer.headers)
            lifetime = _CEILING if fresh_for is None else fresh_for
            self._until = started + min(max(lifetime, _FLOOR), _CEILING)
        return self._found

    async def _answer(self) -> tuple[str, Fetched]:
        for url in self._urls:
            answer = await self._fetch.send(
                "GET", url, accept="application/json", accepted={_FOUND, _NOT_FOUND}
            )
            if answer.status == _FOUND:
                return url, answer
        raise FetchError("there is no metadata: the answer is 404")

    def _check_host(self, name: str, url: str, metadata_uri: str) -> None:
        """Refuse an endpoint that whoever wrote the metadata may not have chosen (JWKS-20)."""
        try:
            target = check_url(url, loopback_http=self._loopback_http)
        except RefusedUrl as flaw:
            raise FetchError(f"{name} of the metadata: {flaw}") from None
        home = check_url(metadata_uri, loopback_http=self._loopback_http)
        if (target.scheme, target.host, target.port) == (home.scheme, home.host, home.port):
            return
        hosts, setting = self._hosts[name]
        if hosts.isdisjoint({target.authority, f"{target.host}:{target.port}"}):
            raise FetchError(
                f"{name} of the metadata is on another host: if that is right, list it in {setting}"
            )


def _lowered(hosts: Collection[str]) -> frozenset[str]:
    return frozenset(host.lower() for host in hosts)
