"""What proofs, references, encryption and revocation need: table by table, and together."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import UNSET, Struct

from portvakt.config.dpop import check_dpop, check_origins
from portvakt.config.feeds import check_events, check_status_lists
from portvakt.config.gateway import GatewaySettings, check_gateway
from portvakt.config.introspection import check_introspection
from portvakt.config.issuer_schema import IssuerTable
from portvakt.config.keystore import check_encryption, check_keystore
from portvakt.config.problems import Problems
from portvakt.config.proxy import compile_proxies
from portvakt.config.records import check_records
from portvakt.config.revocation import check_revocation
from portvakt.config.schema import Configuration
from portvakt.config.secrets_schema import SecretTable
from portvakt.config.store import check_store
from portvakt.http.forwarded import Proxies
from portvakt.http.origin import Origin
from portvakt.policy.requirement import Requirement
from portvakt.policy.sender_constraint import SenderConstraint

__all__ = ["Guarding", "check_demanded", "check_guarding"]


class Guarding(Struct, frozen=True):
    """What the tables come to.

    Attributes:
        proxies: who may speak for a client; None: nobody.
        origins: where clients reach the API.
        max_staleness: the seconds within which a revocation holds; None where nothing is revoked.
        gateway: how ``portvakt serve`` serves; None where the policy does not say.
    """

    proxies: Proxies | None
    origins: tuple[Origin, ...]
    max_staleness: float | None
    gateway: GatewaySettings | None = None


def check_guarding(
    configuration: Configuration, tables: Mapping[int, IssuerTable], problems: Problems
) -> Guarding:
    """Note what is wrong with the tables, as far as nothing outside has to be looked at.

    Parameters:
        configuration: the policy as it was read.
        tables: its issuers, settled, by their number.
        problems: where to note what is wrong.
    """
    proxies = None
    if configuration.proxy is not UNSET:
        proxies = compile_proxies(configuration.proxy, problems)
    origins = check_origins(configuration.api.origin, problems)
    check_dpop(configuration.dpop, problems)
    asked = {
        index: table.introspection
        for index, table in tables.items()
        if table.introspection is not UNSET
    }
    check_introspection(asked, tables, problems)
    for index, table in tables.items():
        place, loopback = f"issuer[{index}]", table.unsafe_loopback
        check_status_lists(
            table.status_lists, table.status_max_age, place, problems, loopback_http=loopback
        )
        if table.events is not UNSET:
            check_events(table.events, f"{place}.events", problems, loopback_http=loopback)
            if configuration.store is UNSET:
                what = "need a [store]: what they revoke is kept there, for all guards"
                problems.add(f"{place}.events", what)
    if configuration.store is not UNSET:
        check_store(configuration.store, problems)
    stale = check_revocation(
        configuration.revocation, problems, has_store=configuration.store is not UNSET
    )
    check_records(configuration.records, configuration.store, problems)
    check_encryption(configuration.encryption, problems)
    check_keystore(configuration.keystore, _references(configuration, tables), problems)
    gateway = None
    if configuration.gateway is not UNSET:
        store = None if configuration.store is UNSET else configuration.store
        gateway = check_gateway(configuration.gateway, store, problems)
    return Guarding(proxies, origins, stale, gateway)


def check_demanded(
    demands: Iterable[tuple[str, Requirement]],
    configuration: Configuration,
    problems: Problems,
) -> None:
    """Note what routes demand that nobody could ever meet, as the policy lacks what it takes.

    Parameters:
        demands: each route's, with its place.
        configuration: the policy.
        problems: where to note it.
    """
    referable = any(table.introspection is not UNSET for table in configuration.issuer)
    # Once for the API, whatever its routes say: what [api] states, a guard has to be able to do.
    everywhere = configuration.api.sender_constraint == SenderConstraint.DPOP.value
    if everywhere:
        _check_proofs("api", configuration, problems)
    for place, demand in demands:
        # One that is wrong has been told already.
        constraint = demand.sender_constraint
        if constraint is SenderConstraint.DPOP and not everywhere:
            _check_proofs(place, configuration, problems)
        if demand.require_encryption and configuration.encryption is UNSET and not referable:
            what = "needs [encryption] with keys, or an issuer with introspection"
            problems.add(f"{place}.require_encryption", what)
        if demand.bound and constraint in {None, SenderConstraint.NONE} and not referable:
            problems.add(
                f"{place}.sensitivity",
                "is high, and opens to nobody: state sender_constraint as dpop or mtls, or give an "
                "issuer of reference tokens an introspection",
            )
        if demand.unsafe_on_stale and not _revocable(configuration):
            what = "is about revocation: add a [store], or status_lists of an issuer"
            problems.add(f"{place}.unsafe_on_stale", what)


def _check_proofs(place: str, configuration: Configuration, problems: Problems) -> None:
    if configuration.api.origin is UNSET:
        what = "needs [api] origin: proofs are made for the address that clients call"
        problems.add(f"{place}.sender_constraint", what)
    if configuration.store is UNSET:
        what = "needs a [store] that remembers used proofs: memory:// serves one process"
        problems.add(f"{place}.sender_constraint", what)


def _revocable(configuration: Configuration) -> bool:
    return configuration.store is not UNSET or any(
        table.status_lists or table.events is not UNSET for table in configuration.issuer
    )


def _references(
    configuration: Configuration, tables: Mapping[int, IssuerTable]
) -> Iterator[tuple[str, SecretTable]]:
    """Yield every reference to a secret, with its place."""
    named: list[tuple[str, object]] = [
        (f"dpop.nonce_keys[{index}]", key)
        for index, key in enumerate(configuration.dpop.nonce_keys)
    ]
    # A table that the policy does not have is UNSET, and so has no such setting.
    store, records, gateway = configuration.store, configuration.records, configuration.gateway
    named += [
        (f"records.keys[{index}]", key) for index, key in enumerate(getattr(records, "keys", ()))
    ]
    named += [
        ("store.password", getattr(store, "password", UNSET)),
        ("records.password", getattr(records, "password", UNSET)),
        ("encryption.keys", getattr(configuration.encryption, "keys", UNSET)),
        ("gateway.secret", getattr(gateway, "secret", UNSET)),
        ("gateway.admin_token", getattr(gateway, "admin_token", UNSET)),
    ]
    if gateway is not UNSET:
        named.append(("gateway.identity.key", gateway.identity.key))
    for index, table in tables.items():
        place = f"issuer[{index}]"
        named += [
            (f"{place}.introspection.key", getattr(table.introspection, "key", UNSET)),
            (f"{place}.introspection.secret", getattr(table.introspection, "secret", UNSET)),
            (f"{place}.events.token", getattr(table.events, "token", UNSET)),
        ]
    for where, reference in named:
        if isinstance(reference, SecretTable):
            yield where, reference
