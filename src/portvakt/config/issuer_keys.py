"""Where an issuer's keys are: in the policy, in a file beside it, or published by the issuer.

Reads the files that a policy names, and opens no socket: where keys are fetched from is checked as
far as the URL alone tells.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import UNSET

from portvakt.config.issuer_schema import KEY_SOURCES, IssuerTable
from portvakt.config.problems import Problems
from portvakt.config.schema import NetworkTable
from portvakt.http.url import RefusedUrl, check_url
from portvakt.jose.algorithms import ALGORITHMS
from portvakt.jose.jwk_set import JwkSet, MalformedKeySet

__all__ = ["MAX_TIMEOUT", "check_network", "read_keys"]

#: Octets read of a key file at most: more than a key set may have, which JwkSet judges.
MAX_READ: Final = 1024 * 1024

#: Seconds. A request may wait for an exchange, and nobody waits for a request as long as this.
MAX_TIMEOUT: Final = 30.0

#: Seconds. Keys must serve at least until the next renewal may have failed, and a month is no age
#: for keys that nobody has seen since.
MIN_KEYS_AGE: Final = 300.0
MAX_KEYS_AGE: Final = 30 * 86400.0

_ONLY_IF_FETCHED: Final = {
    "jwks_hosts": (),
    "pin": (),
    "private": False,
    "unsafe_loopback": False,
    "keys_max_age": 86400.0,
}

#: Those of them that are for everything that the issuer is asked.
_HOW_FAR: Final = frozenset({"private", "unsafe_loopback"})

#: An RFC 7638 thumbprint with SHA-256, in base64url.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def read_keys(
    table: IssuerTable, directory: Path, place: str, problems: Problems
) -> JwkSet | IssuerTable | None:
    """Import the keys that a table states, or check where it says that they are published.

    Parameters:
        table: one issuer's.
        directory: where the file that it may name is looked for.
        place: the place of the table.
        problems: where to note what is wrong.

    Returns:
        the keys; the table itself if they are to be fetched; None if a problem was noted.
    """
    # Settled: neither is unset.
    algorithms: tuple[str, ...] = () if table.algorithms is UNSET else table.algorithms
    stated = [name for name in KEY_SOURCES if getattr(table, name) is not UNSET]
    if len(stated) > 1:
        problems.add(f"{place}.{stated[0]}", f"stands beside {stated[1]}: keep one of them")
        return None
    if table.jwks is UNSET and table.jwks_file is UNSET:
        return _check_published(table, place, problems)
    # How far one may dial is also for what else is asked of the issuer.
    asked = table.introspection is not UNSET or table.events is not UNSET or table.status_lists
    for name, default in _ONLY_IF_FETCHED.items():
        if getattr(table, name) != default and not (asked and name in _HOW_FAR):
            problems.add(
                f"{place}.{name}", f"is for keys that are fetched; {stated[0]} states them"
            )
    try:
        if table.jwks is not UNSET:
            place = f"{place}.jwks"
            keys = JwkSet.from_object(table.jwks, algorithms)
        else:
            place = f"{place}.jwks_file"
            keys = JwkSet.from_json(_read(directory / str(table.jwks_file)), algorithms)
    except OSError as error:
        problems.add(place, f"cannot be read: {error.strerror}")
    except MalformedKeySet as flaw:
        problems.add(place, str(flaw))
    except ValueError:
        problems.add(place, "cannot be read: the name holds a null character")
    else:
        _check_keys(keys, algorithms, place, problems)
        return keys
    return None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_READ)


def _check_keys(keys: JwkSet, algorithms: Iterable[str], place: str, problems: Problems) -> None:
    # A secret that was written down beside public keys is a secret no longer (KEY-14); an HMAC key
    # among them is someone's mistake about who signs (ALG-17). Neither is passed over.
    secret = [key for key in keys.ignored if key.secret]
    for key in secret:
        problems.add(
            place,
            f"keys[{key.position}] is a private or symmetric key: whoever read it can sign tokens; "
            "replace it, and state public keys only",
        )
    # Without a sound list of algorithms no key is usable, and the list is the mistake.
    if not keys.keys and not secret and set(algorithms) & ALGORITHMS.keys():
        reasons = "; ".join(f"keys[{key.position}]: {key.reason}" for key in keys.ignored)
        problems.add(place, f"has no usable key: {reasons or 'the set is empty'}")


def _check_published(table: IssuerTable, place: str, problems: Problems) -> IssuerTable | None:
    """Check where a table says that its issuer publishes keys; with a flaw noted, None."""
    flaws = [*_flaws_of_urls(table), *_flaws_of_lists(table)]
    if not MIN_KEYS_AGE <= table.keys_max_age <= MAX_KEYS_AGE:
        flaws.append(("keys_max_age", 'must be between "5m" and "720h"'))
    for setting, message in flaws:
        problems.add(f"{place}.{setting}" if setting else place, message)
    return None if flaws else table


def _flaws_of_urls(table: IssuerTable) -> Iterator[tuple[str, str]]:
    stated = {name: getattr(table, name) for name in ("jwks_uri", "metadata_uri")}
    for name, url in stated.items():
        if url is not UNSET and (flaw := _flaw_of_url(url, table)):
            yield name, flaw
    # A name that is missing is a mistake of its own.
    if table.issuer and all(url is UNSET for url in stated.values()):
        # The metadata is looked for at the issuer's own name.
        issuer = str(table.issuer)
        flaw = _flaw_of_url(issuer, table)
        if flaw is None and "?" in issuer:
            flaw = "the URL has a query"
        if flaw is not None:
            what = "has no keys: state jwks_uri, or else jwks_file or jwks"
            yield "", f"{what}. Its metadata cannot be looked for at its name: {flaw}"


def _flaw_of_url(url: str, table: IssuerTable) -> str | None:
    try:
        check_url(url, loopback_http=table.unsafe_loopback)
    except RefusedUrl as flaw:
        return str(flaw)
    return None


def _flaws_of_lists(table: IssuerTable) -> Iterator[tuple[str, str]]:
    if table.jwks_hosts and table.jwks_uri is not UNSET:
        yield "jwks_hosts", "is for keys that the metadata names; jwks_uri names them already"
    for index, host in enumerate(table.jwks_hosts):
        try:
            sound = check_url(f"https://{host}/").path == "/"
        except RefusedUrl:
            sound = False
        if not sound:
            yield f"jwks_hosts[{index}]", "is not a host, or a host and a port"
    for index, one in enumerate(table.pin):
        if not _THUMBPRINT.fullmatch(one):
            yield f"pin[{index}]", "is not an RFC 7638 thumbprint: 43 characters of base64url"


def check_network(network: NetworkTable, directory: Path, problems: Problems) -> None:
    """Check how issuers are to be reached, as far as nothing has to be reached for that.

    Parameters:
        network: the table.
        directory: where the files that it names are looked for.
        problems: where to note what is wrong.
    """
    if not 0 < network.timeout <= MAX_TIMEOUT:
        problems.add("network.timeout", 'must be more than nothing and at most "30s"')
    if not 0 < network.register_deadline <= MAX_TIMEOUT:
        problems.add("network.register_deadline", 'must be more than nothing and at most "30s"')
    if network.ca_file is not UNSET:
        try:
            found = _read(directory / network.ca_file)
        except OSError as error:
            problems.add("network.ca_file", f"cannot be read: {error.strerror}")
        except ValueError:
            problems.add("network.ca_file", "cannot be read: the name holds a null character")
        else:
            if b"-----BEGIN CERTIFICATE-----" not in found:
                problems.add("network.ca_file", "holds no certificate in PEM form")
    if network.cache_dir is not UNSET:
        if not network.cache_dir:
            problems.add("network.cache_dir", "is empty")
        if "\0" in network.cache_dir:
            problems.add("network.cache_dir", "holds a null character")
