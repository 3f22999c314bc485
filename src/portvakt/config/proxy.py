"""The ``[proxy]`` table → who may speak for the client."""

import re
from typing import Final

from msgspec import UNSET

from portvakt.config.problems import Problems, must_be_one_of
from portvakt.config.proxy_schema import ProxyTable
from portvakt.http.forwarded import FORMS, UNIX, Network, Proxies, RefusedNetwork, network_of

__all__ = ["compile_proxies"]

#: Without an underscore: some proxies and gateways take it for a hyphen, and some drop the header.
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

#: Headers that the client itself has something to say in.
_OF_CLIENTS: Final = frozenset({"authorization", "cookie", "dpop", "host"})


def compile_proxies(table: ProxyTable, problems: Problems) -> Proxies | None:
    """Return who may speak for the client, or note what is wrong and return None.

    Does not check that there is a proxy, nor that it overwrites the header in every request: that
    only its own configuration can say.
    """
    trusted: list[Network | str] = []
    flaws = [*_header_flaws(table)]
    if not table.trusted:
        flaws.append(("trusted", "must name at least one address or network"))
    for index, one in enumerate(table.trusted):
        place = f"trusted[{index}]"
        if one in table.trusted[:index]:
            flaws.append((place, "is there already"))
        elif one == UNIX:
            trusted.append(UNIX)
        else:
            try:
                trusted.append(network_of(one))
            except RefusedNetwork as flaw:
                near = one.strip().lower() == UNIX
                flaws.append((place, f'{flaw}; did you mean "unix"?' if near else str(flaw)))
    for setting, message in flaws:
        problems.add(f"proxy.{setting}", message)
    if flaws:
        return None
    header = table.client_certificate_header
    return Proxies(trusted, table.client_certificate, None if header is UNSET else header)


def _header_flaws(table: ProxyTable) -> list[tuple[str, str]]:
    form, header = table.client_certificate, table.client_certificate_header
    if form not in FORMS:
        return [("client_certificate", must_be_one_of(FORMS, form))]
    if header is UNSET:
        return []
    if not _HEADER.fullmatch(header):
        flaw = "must be the name of a header, of letters, digits and hyphens"
    elif header.lower() in _OF_CLIENTS:
        flaw = "is a header that clients write themselves"
    elif form == "nginx" and not re.fullmatch(r"(?i).+-cert", header):
        flaw = "must end in -Cert: the header that ends in -Verify instead has $ssl_client_verify"
    else:
        return []
    return [("client_certificate_header", flaw)]
