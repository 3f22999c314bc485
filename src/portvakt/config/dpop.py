"""What is wrong with ``[dpop]`` and ``[api] origin``, and the rules that come of them."""

from collections.abc import Iterable
from typing import Final

from msgspec import UNSET, UnsetType

from portvakt.config.dpop_schema import DpopTable
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.errors import said_of
from portvakt.http.origin import Origin
from portvakt.http.url import RefusedUrl
from portvakt.oauth.dpop import MAX_AGE, MAX_AHEAD, PROOF_ALGORITHMS, DpopRules
from portvakt.oauth.dpop_nonce import Nonces

__all__ = ["check_dpop", "check_origins", "dpop_rules"]

#: Seconds. A shorter one is over before a slow client has tried again; a longer one says nothing.
_NONCE_LIFETIMES: Final = (10.0, 3600.0)


def check_origins(
    stated: str | tuple[str, ...] | UnsetType, problems: Problems
) -> tuple[Origin, ...]:
    """Read ``[api] origin``, and note what is wrong with it. Nothing is resolved."""
    if stated is UNSET:
        return ()
    if not stated:
        problems.add("api.origin", "must name at least one origin, or be left out")
    places = (
        {"api.origin": stated}
        if isinstance(stated, str)
        else {f"api.origin[{index}]": text for index, text in enumerate(stated)}
    )
    origins: dict[Origin, None] = {}
    for place, text in places.items():
        try:
            origin = Origin.parse(text)
        except RefusedUrl as flaw:
            problems.add(place, f"must be like https://api.example.no, perhaps with a path: {flaw}")
            continue
        if origin in origins:
            problems.add(place, "is the same as an earlier one")
        origins[origin] = None
    return tuple(origins)


def check_dpop(table: DpopTable, problems: Problems) -> None:
    """Note what is wrong with the table, as far as it alone tells.

    Does not look for the secrets, nor see that an origin is stated: only a route that asks for
    proofs needs one.
    """
    if table.algorithms is not UNSET:
        for index, name in enumerate(table.algorithms):
            if name not in PROOF_ALGORITHMS:
                known = ", ".join(PROOF_ALGORITHMS)
                problems.add(
                    f"dpop.algorithms[{index}]",
                    said_of(name, f"is not an algorithm for proofs; known are {known}"),
                )
    if not 0 < table.max_age <= MAX_AGE:
        problems.add("dpop.max_age", f"must be more than nothing and at most {MAX_AGE:.0f}s")
    if not 0 <= table.max_ahead <= MAX_AHEAD:
        problems.add("dpop.max_ahead", f"must be at most {MAX_AHEAD:.0f}s")
    shortest, longest = _NONCE_LIFETIMES
    if not shortest <= table.nonce_lifetime <= longest:
        problems.add("dpop.nonce_lifetime", "must be from 10s to 1h")
    for index, secret in enumerate(table.nonce_keys):
        check_secret(secret, f"dpop.nonce_keys[{index}]", problems)


def dpop_rules(
    table: DpopTable, origins: tuple[Origin, ...], nonce_keys: Iterable[str]
) -> DpopRules:
    """Return what proofs must be like. The table and the origins have been found right.

    Parameters:
        table: the table.
        origins: what :func:`check_origins` returned; at least one.
        nonce_keys: the secrets that the table refers to, in its order.

    Raises:
        ConfigurationError: if a secret is too short. Places are relative to the table, and the
            message holds nothing of the secret.
    """
    keys = tuple(text.encode("utf-8", "surrogatepass") for text in nonce_keys)
    algorithms = PROOF_ALGORITHMS if table.algorithms is UNSET else table.algorithms
    return DpopRules(
        origins=origins,
        algorithms=frozenset(algorithms),
        max_age=table.max_age,
        max_ahead=table.max_ahead,
        nonces=Nonces(keys, table.nonce_lifetime) if keys else None,
    )
