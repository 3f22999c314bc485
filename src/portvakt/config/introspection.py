"""What is wrong with the ``introspection`` tables, as far as they and their issuers alone tell."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import UNSET

from portvakt.config.introspection_schema import ASSERTION_TYPES, IntrospectionTable
from portvakt.config.issuer_keys import MAX_TIMEOUT
from portvakt.config.issuer_schema import IssuerTable
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.http.url import RefusedUrl, check_url

__all__ = ["check_introspection"]

#: RFC 6749 appendix A.1, and no more of it than anybody needs.
_CLIENT: Final = re.compile(r"[ -~]{1,256}")

#: Seconds. For longer, a token that speaks for itself and a mirror of revocations do better.
MAX_STALENESS: Final = 300.0

#: How a b64token without a dot may begin (RFC 6750 section 2.1).
_PREFIX: Final = re.compile(r"[A-Za-z0-9~+/_-]{1,64}")


def check_introspection(
    tables: Mapping[int, IntrospectionTable], issuers: Mapping[int, IssuerTable], problems: Problems
) -> None:
    """Note what is wrong with the tables, each by itself and beside the others.

    Does not look for the secrets that they refer to, and asks nobody.

    Parameters:
        tables: by the number of the ``[[issuer]]`` they stand in.
        issuers: all issuers, settled, by the same numbers.
        problems: where to note what is wrong.
    """
    for index, table in tables.items():
        place = f"issuer[{index}].introspection"
        for setting, message in _flaws(table, issuers[index]):
            problems.add(f"{place}.{setting}" if setting else place, message)
        for name in ("key", "secret"):
            reference = getattr(table, name)
            if reference is not UNSET:
                check_secret(reference, f"{place}.{name}", problems)
    for index, message in _ambiguous(tables):
        problems.add(f"issuer[{index}].introspection.prefix", message)


def _flaws(table: IntrospectionTable, issuer: IssuerTable) -> Iterator[tuple[str, str]]:
    if not _CLIENT.fullmatch(table.client_id):
        yield "client_id", "must be 1 to 256 printable ASCII characters"
    if (table.key is UNSET) == (table.secret is UNSET):
        yield "", "needs key or secret, and not both: this API has to prove who asks"
    if table.key is UNSET and table.assertion_typ != ASSERTION_TYPES[0]:
        yield "assertion_typ", "is for what a key signs, and there is none"
    if table.assertion_typ not in ASSERTION_TYPES:
        yield "assertion_typ", f"must be one of {', '.join(ASSERTION_TYPES)}"
    if table.prefix is not UNSET and not _PREFIX.fullmatch(table.prefix):
        yield "prefix", "must be 1 to 64 of the characters that a reference token has; no dot"
    if not 0 < table.timeout <= MAX_TIMEOUT:
        yield "timeout", 'must be more than nothing and at most "30s"'
    if not 0 <= table.max_staleness <= MAX_STALENESS:
        yield "max_staleness", 'must be at most "5m"'
    yield from _flaws_of_place(table, issuer)


def _flaws_of_place(table: IntrospectionTable, issuer: IssuerTable) -> Iterator[tuple[str, str]]:
    loopback = issuer.unsafe_loopback
    if table.endpoint is not UNSET:
        if table.hosts:
            yield "hosts", "is for an endpoint that the metadata names; endpoint names it already"
        if flaw := _flaw_of_url(table.endpoint, loopback=loopback):
            yield "endpoint", flaw
        return
    yield from (
        (f"hosts[{index}]", "is not a host, or a host and a port")
        for index, host in enumerate(table.hosts)
        if not _is_host(host)
    )
    # The metadata says, at its own URL or at the issuer's name. Without one or with a bad one of
    # either, that is a mistake of its own.
    if issuer.metadata_uri is UNSET and issuer.issuer:
        name = str(issuer.issuer)
        flaw = _flaw_of_url(name, loopback=loopback)
        if flaw is not None or "?" in name:
            what = "needs an endpoint: the metadata cannot be looked for at the issuer's name"
            yield "", f"{what}: {flaw or 'the URL has a query'}"


def _flaw_of_url(url: str, *, loopback: bool) -> str | None:
    try:
        check_url(url, loopback_http=loopback)
    except RefusedUrl as flaw:
        return str(flaw)
    return None


def _is_host(host: str) -> bool:
    try:
        return check_url(f"https://{host}/").path == "/"
    except RefusedUrl:
        return False


def _ambiguous(tables: Mapping[int, IntrospectionTable]) -> Iterable[tuple[int, str]]:
    """Yield whose tokens cannot be told from those of an issuer further up."""
    seen: list[str] = []
    for index, table in tables.items():
        prefix = "" if table.prefix is UNSET else table.prefix
        if not prefix and len(tables) > 1:
            yield index, "is missing: several issuers have reference tokens, and it tells whose"
            continue
        if any(prefix.startswith(one) or one.startswith(prefix) for one in seen):
            yield index, "begins like that of an earlier issuer: a token could be of either"
        seen.append(prefix)
