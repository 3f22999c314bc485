"""The ``[gateway]`` table → how ``portvakt serve`` serves; or what is wrong with it."""

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from msgspec import UNSET, Struct

from portvakt.config.gateway_schema import FIELDS, FORMS, GatewayTable, IdentityTable
from portvakt.config.problems import Problems, must_be_one_of
from portvakt.config.secrets import check_secret
from portvakt.config.store_schema import StoreTable
from portvakt.http.forwarded import UNIX, Network, Proxies, RefusedNetwork, network_of
from portvakt.http.presets import PRESETS, Preset
from portvakt.stores.urls import MEMORY, scheme_of

__all__ = ["GatewaySettings", "Listen", "check_gateway"]

#: Bytes of the name of a Unix socket (sockaddr_un has 108, with the zero that ends it).
MAX_SOCKET_NAME: Final = 107

#: The bounds of ``workers``.
MAX_WORKERS: Final = 64

_PORT: Final = re.compile(r"(.+):([1-9][0-9]{0,4})")
_SECONDS: Final = {"header_timeout": (1.0, 60.0), "grace": (1.0, 300.0)}
_LIFETIME: Final = (5.0, 300.0)

_OPEN: Final = (
    "is open to whoever reaches it, and nobody is believed by default: state trusted or secret, or "
    "listen on unix:/path"
)
_IN_CLEAR: Final = (
    "lets tokens cross a network in the clear: state [gateway.tls], or unsafe_plaintext = true"
)
_ADMIN_IN_CLEAR: Final = (
    "lets admin_token cross a network in the clear: listen on loopback or unix:/path, or state "
    "unsafe_plaintext = true"
)
_ONE: Final = "memory:// is the memory of one: state sqlite:///file.db as [store] url"


class Listen(Struct, frozen=True):
    """Where to listen: an address and a port, or a Unix socket.

    Attributes:
        host: the IP address; empty for a Unix socket.
        port: the port; 0 for a Unix socket.
        path: the Unix socket, relative to the policy file if it is not absolute; None for TCP.
    """

    host: str
    port: int
    path: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.path is not None or ip_address(self.host).is_loopback

    @property
    def text(self) -> str:
        """The address and the port, as URLs write them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class GatewaySettings(Struct, frozen=True):
    """How the gateway serves, as far as the policy alone tells.

    Attributes:
        preset: how the proxy tells what its client asked.
        listen: where the proxy comes.
        proxies: who is the proxy, by address; None: whoever shows the secret.
        certificates: reads the client's certificate out of what a proxy wrote that is trusted.
        admin: where the operator comes; None: nowhere.
        ext_authz: where Envoy comes by gRPC; None: nowhere.
    """

    preset: Preset
    listen: Listen
    proxies: Proxies | None
    certificates: Proxies
    admin: Listen | None
    ext_authz: Listen | None


def check_gateway(
    table: GatewayTable, store: StoreTable | None, problems: Problems
) -> GatewaySettings | None:
    """Note what is wrong with the table and return None, or return what it comes to.

    Does not look for secrets, keys or certificates, nor whether the addresses are free: starting
    the gateway does.

    Parameters:
        table: what the policy says.
        store: its store, if it has one.
        problems: where to note what is wrong.
    """
    flaws = [*_flaws_of_words(table), *_flaws_of_identity(table.identity)]
    places: dict[str, Listen] = {}
    for name in ("listen", "admin", "ext_authz"):
        text = getattr(table, name)
        if text is UNSET or (name == "admin" and text == "off"):
            continue
        listen = _listen(text)
        if isinstance(listen, str):
            flaws.append((name, listen))
        elif listen in places.values():
            flaws.append((name, "is stated above: each needs an address of its own"))
        else:
            places[name] = listen
    networks: list[Network | str] = []
    for index, text in enumerate(table.trusted):
        try:
            networks.append(network_of(text))
        except RefusedNetwork as flaw:
            flaws.append((f"trusted[{index}]", str(flaw)))
    flaws += _flaws_together(table, places, store)
    for place, message in flaws:
        problems.add(f"gateway.{place}", message)
    for name in ("secret", "admin_token"):
        if getattr(table, name) is not UNSET:
            check_secret(getattr(table, name), f"gateway.{name}", problems)
    if table.identity.key is not UNSET:
        check_secret(table.identity.key, "gateway.identity.key", problems)
    if flaws:
        return None
    preset = PRESETS[table.proxy]
    # Whoever can connect to a Unix socket is let in by the file's permissions.
    by_address = bool(networks) or places["listen"].path is not None
    return GatewaySettings(
        preset,
        places["listen"],
        Proxies((*networks, UNIX), preset.client_certificate) if by_address else None,
        Proxies((UNIX,), preset.client_certificate),
        places.get("admin"),
        places.get("ext_authz"),
    )


def _flaws_of_words(table: GatewayTable) -> Iterator[tuple[str, str]]:
    if table.proxy not in PRESETS:
        yield "proxy", must_be_one_of(PRESETS, table.proxy)
    if not 1 <= table.workers <= MAX_WORKERS:
        yield "workers", f"must be between 1 and {MAX_WORKERS}"
    for name, (least, most) in _SECONDS.items():
        if not least <= getattr(table, name) <= most:
            yield name, f"must be between {least:g}s and {most:g}s"


def _flaws_of_identity(table: IdentityTable) -> Iterator[tuple[str, str]]:
    if table.form not in FORMS:
        yield "identity.form", must_be_one_of(FORMS, table.form)
    for index, name in enumerate(table.fields):
        if name not in FIELDS:
            yield f"identity.fields[{index}]", must_be_one_of(FIELDS, name)
        elif name in table.fields[:index]:
            yield f"identity.fields[{index}]", "is there already"
    if table.form == "jwt" and table.key is UNSET:
        yield "identity.key", "is missing: by its signature the API sees where the JWT comes from"
    if table.form == "headers" and table.key is not UNSET:
        yield "identity.key", 'signs nothing: state form = "jwt"'
    least, most = _LIFETIME
    if not least <= table.lifetime <= most:
        yield "identity.lifetime", f"must be between {least:g}s and {most:g}s"


def _flaws_together(
    table: GatewayTable, places: dict[str, Listen], store: StoreTable | None
) -> Iterator[tuple[str, str]]:
    for name in ("listen", "ext_authz"):
        listen = places.get(name)
        if listen is None:
            continue
        if listen.path is None and not table.trusted and table.secret is UNSET:
            yield name, _OPEN
        bare = table.tls is UNSET or name == "ext_authz"
        if bare and not listen.loopback and not table.unsafe_plaintext:
            yield name, _IN_CLEAR
    admin, shown = places.get("admin"), table.admin_token is not UNSET
    if admin is not None and not admin.loopback and shown and not table.unsafe_plaintext:
        yield "admin", _ADMIN_IN_CLEAR
    if "ext_authz" in places and places["ext_authz"].path is not None and table.workers > 1:
        yield "ext_authz", "is a Unix socket, and only one worker can have it: state an address"
    if table.tls is not UNSET and places.get("listen") is not None and places["listen"].path:
        yield "tls", "means nothing on a Unix socket"
    memory = store is not None and scheme_of(store.url) == MEMORY
    if memory and table.workers > 1:
        yield "workers", f"make several processes, and {_ONE}"
    if table.admin_token is not UNSET:
        if store is None:
            yield "admin_token", "is for revoking, and there is no [store] to keep revocations in"
        elif memory:
            yield "admin_token", f"is for revoking from a process of its own, and {_ONE}"


def _listen(text: str) -> Listen | str:
    """Return where a text says to listen, or what is wrong with it."""
    if text.startswith("unix:"):
        name = text.removeprefix("unix:")
        if not name or "\0" in name or len(name.encode()) > MAX_SOCKET_NAME:
            return f"must name a Unix socket, in at most {MAX_SOCKET_NAME} octets"
        return Listen("", 0, Path(name))
    match = _PORT.fullmatch(text)
    if match is None or int(match[2]) > 65_535:
        return "must be an address and a port as 127.0.0.1:8600, or unix:/path"
    host = match[1].removeprefix("[").removesuffix("]")
    try:
        address = ip_address(host)
    except ValueError:
        return "must state an IP address, as 127.0.0.1:8600: a name can mean another one tomorrow"
    return Listen(str(address), int(match[2]))
