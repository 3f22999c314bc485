"""Where an API is, as its callers see it: its public origin, and URLs in their normal form.

What a request says of its own address (``Host``, what a proxy adds) is chosen by whoever sends it.
So what a client signed is compared with what the policy states, never with what was received.
"""

import re
from typing import Final

from msgspec import Struct

from portvakt.http.url import RefusedUrl, check_url, literal

__all__ = ["Origin", "normal_path", "normalised"]

#: Nothing in it has a second form: most paths of APIs.
_NORMAL: Final = re.compile(r"/[\w~!$&'()*+,;=:@/.-]*", re.ASCII)
_PATH: Final = re.compile(r"/(?:[\w~!$&'()*+,;=:@/.-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_FRAGMENT: Final = re.compile(r"(?:[\w~!$&'()*+,;=:@/?.-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_ENCODED: Final = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = re.compile(r"[\w.~-]", re.ASCII)
_DOTS: Final = frozenset({".", ".."})


class Origin(Struct, frozen=True):
    """One public origin of an API, with the path below which it lies if a proxy takes one away.

    Made by :meth:`parse`.

    Attributes:
        scheme: ``https``; ``http`` on this machine.
        host: a name or an address in lower case; IPv6 in brackets.
        port: the port, stated or the scheme's own.
        base_path: ``/journal``; empty where nothing is taken away.
        text: all of it in its normal form, without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    base_path: str
    text: str

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read an origin as a policy states it: ``https://api.example.no/journal``.

        Nothing is resolved: whether the API can be reached there, nobody checks.

        Raises:
            RefusedUrl: if it is no URL, is not https (or http on this machine), or has a query, a
                fragment or a user name. The reason holds nothing of it.
        """
        target = check_url(text, loopback_http=True)
        if "?" in target.path:
            raise RefusedUrl("an origin has no query")
        if target.scheme == "http" and not _is_loopback(target.host):
            raise RefusedUrl("http is allowed to loopback addresses only")
        base_path = normal_path(target.path).rstrip("/")
        text = f"{target.scheme}://{target.authority}{base_path}"
        return cls(target.scheme, target.host, target.port, base_path, text)


def normalised(url: str) -> str:
    """Bring an absolute URL into its normal form, without query and fragment.

    By syntax (RFC 3986 section 6.2.2): scheme and host in lower case, percent-encoding in capitals
    and only where it is needed, no dot segments. By scheme (6.2.3): no default port, no empty path.
    What two parsers could read in two ways has no normal form.

    Raises:
        RefusedUrl: if it is none, or one of those. The reason holds nothing of the URL.
    """
    located, _, fragment = url.partition("#")
    if not _FRAGMENT.fullmatch(fragment):
        raise RefusedUrl("the URL holds a character that does not belong there")
    target = check_url(located, loopback_http=True)
    return f"{target.scheme}://{target.authority}{normal_path(target.path.partition('?')[0])}"


def normal_path(path: str) -> str:
    """Bring the path of a URL into its normal form (RFC 3986 section 6.2.2).

    For comparing only: which rule is for a request, its path decides as it was written.

    Parameters:
        path: as it was written, without a query.

    Raises:
        RefusedUrl: if it is no absolute path, or has a dot segment that is encoded: some parsers
            decode it first, and some do not.
    """
    if _NORMAL.fullmatch(path) and "/." not in path:
        return path
    if not _PATH.fullmatch(path):
        raise RefusedUrl("the path holds a character that does not belong there")
    kept: list[str] = []
    segment = ""
    for written in path[1:].split("/"):
        segment = _ENCODED.sub(_decoded, written)
        if segment not in _DOTS:
            kept.append(segment)
            continue
        if segment != written:
            raise RefusedUrl("the path has an encoded dot segment")
        if segment == ".." and kept:
            kept.pop()
    if segment in _DOTS:
        kept.append("")
    return "/" + "/".join(kept)


def _decoded(match: re.Match[str]) -> str:
    """Decode an unreserved character (RFC 3986 section 2.3); write any other in capitals."""
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _is_loopback(host: str) -> bool:
    address = literal(host)
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback
