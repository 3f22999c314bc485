"""Whoever a guard asks, made of the policy: keys, registers, references, lists and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec import UNSET

from portvakt.net.keys import FixedKeys, KeySource, KeySources

if TYPE_CHECKING:
    from portvakt.clock import Clock
    from portvakt.config.compile import Policy
    from portvakt.config.feeds_schema import EventsTable
    from portvakt.config.introspection_schema import IntrospectionTable
    from portvakt.config.issuer_schema import IssuerTable
    from portvakt.config.register_schema import RegisterTable
    from portvakt.config.secrets_schema import SecretTable
    from portvakt.keystore.references import Secrets
    from portvakt.net.address import Addresses, Reach
    from portvakt.net.discovery import Discovery
    from portvakt.net.event_stream import EventStream, Record
    from portvakt.net.fetch import Fetch
    from portvakt.net.introspection import Introspection
    from portvakt.net.introspection_endpoint import IntrospectionEndpoint
    from portvakt.net.remote_keys import KeyEndpoint
    from portvakt.net.security_events import SecurityEvents
    from portvakt.net.status_lists import StatusLists
    from portvakt.oauth.client_auth import ClientKey, ClientSecret
    from portvakt.policy.issuer import TrustedIssuer
    from portvakt.registers.base import Register
    from portvakt.registers.remembered import Memory
    from portvakt.registers.verify import Registers

__all__ = ["Outward"]


class Outward:
    """Makes what asks others. Nothing is asked yet.

    What goes out is imported where something has to: it costs more than the whole guard.

    Parameters:
        policy: the compiled policy.
        addresses: what each host is dialled at, for tests; None: what its name resolves to, each
            address checked.
        clock: what time it is.
    """

    def __init__(self, policy: Policy, addresses: Addresses | None, clock: Clock) -> None:
        self._policy = policy
        self._clock = clock
        self._addresses = addresses

    def key_source(self) -> KeySource:
        """Return where the keys of each issuer come from."""
        policy = self._policy
        fixed = FixedKeys(policy.keys)
        if not policy.published:
            return fixed
        from portvakt.net.cache import Budget
        from portvakt.net.remote_keys import RemoteKeys

        budget = Budget()
        sources: dict[str, KeySource] = dict.fromkeys(policy.keys, fixed)
        for issuer in policy.issuers:
            table = policy.published.get(issuer.issuer)
            if table is not None:
                endpoint = self._endpoint(table)
                sources[issuer.issuer] = RemoteKeys(issuer, endpoint, budget=budget)
        return KeySources(sources)

    def _endpoint(self, table: IssuerTable) -> KeyEndpoint:
        from portvakt.net.cache import Schedule
        from portvakt.net.key_files import KeyFile
        from portvakt.net.remote_keys import KeyEndpoint

        fetch, name = self._fetch_of(table), str(table.issuer)
        where: str | Discovery = (
            self._discovery(table, fetch) if table.jwks_uri is UNSET else table.jwks_uri
        )
        cache_dir, directory = self._policy.network.cache_dir, self._policy.directory
        return KeyEndpoint(
            where=where,
            fetch=fetch,
            pinned=frozenset(table.pin),
            schedule=Schedule(hard_limit=table.keys_max_age),
            file=None if cache_dir is UNSET else KeyFile(directory / cache_dir, name),
        )

    def _discovery(self, table: IssuerTable, fetch: Fetch) -> Discovery:
        from portvakt.net.discovery import Discovery

        asked = table.introspection
        return Discovery(
            str(table.issuer),
            fetch,
            metadata_uri=None if table.metadata_uri is UNSET else table.metadata_uri,
            jwks_hosts=table.jwks_hosts,
            introspection_hosts=() if asked is UNSET else asked.hosts,
            loopback_http=table.unsafe_loopback,
        )

    def _fetch_of(self, table: IssuerTable, max_body: int | None = None) -> Fetch:
        from portvakt.net.address import Reach

        return self._fetch(
            Reach(private=table.private, loopback=table.unsafe_loopback), max_body=max_body
        )

    def _fetch(self, reach: Reach, *, max_body: int | None = None) -> Fetch:
        """Return how something is asked within *reach*; inwards never through the proxy."""
        from portvakt.net.address import CheckedAddresses
        from portvakt.net.fetch import Fetch

        network, directory = self._policy.network, self._policy.directory
        inwards = reach.private or reach.loopback
        longer = {} if max_body is None else {"max_body": max_body}
        return Fetch(
            CheckedAddresses(reach) if self._addresses is None else self._addresses,
            ca_file=None if network.ca_file is UNSET else directory / network.ca_file,
            proxy=None if inwards or network.proxy is UNSET else network.proxy,
            loopback_http=reach.loopback,
            timeout=network.timeout,
            **longer,
        )

    def introspection(
        self, secrets: Secrets, keys: KeySource, *, revocable: bool
    ) -> Introspection | None:
        """Return who is asked about reference tokens; None: nobody.

        Raises:
            ConfigurationError: if what this API proves its name with cannot be had.
        """
        endpoints = [
            self._introspection_of(issuer, asked, f"issuer[{number}].introspection", secrets)
            for number, issuer in enumerate(self._policy.issuers)
            if (asked := self._table(issuer).introspection) is not UNSET
        ]
        if not endpoints:
            return None
        from portvakt.net.introspection import Introspection

        return Introspection(endpoints, keys, revocable=revocable)

    def _table(self, issuer: TrustedIssuer) -> IssuerTable:
        return self._policy.tables[issuer.issuer]

    def _introspection_of(
        self, issuer: TrustedIssuer, asked: IntrospectionTable, place: str, secrets: Secrets
    ) -> IntrospectionEndpoint:
        from portvakt.net.introspection_endpoint import IntrospectionEndpoint
        from portvakt.oauth.client_auth import ClientKey, ClientSecret

        table = self._table(issuer)
        fetch = self._fetch_of(table)
        client: ClientKey | ClientSecret
        if asked.key is not UNSET:
            signer = secrets.signer(asked.key, f"{place}.key")
            client = ClientKey(asked.client_id, signer, typ=asked.assertion_typ)
        else:
            # One of the two is there: the policy was checked.
            secret = secrets.text(cast("SecretTable", asked.secret), f"{place}.secret")
            client = ClientSecret(asked.client_id, secret)
        return IntrospectionEndpoint(
            issuer=issuer,
            where=self._discovery(table, fetch) if asked.endpoint is UNSET else asked.endpoint,
            fetch=fetch,
            client=client,
            signed=None if asked.signed is UNSET else asked.signed,
            prefix="" if asked.prefix is UNSET else asked.prefix,
            timeout=asked.timeout,
            max_staleness=asked.max_staleness,
        )

    def status_lists(self, keys: KeySource) -> StatusLists | None:
        """Return the lists in which issuers say which of their tokens still hold; None: none."""
        listing = [one for one in self._policy.issuers if one.status_lists]
        if not listing:
            return None
        from portvakt.net.status_lists import PublishedLists, StatusLists
        from portvakt.oauth.status_list import MAX_LIST_TOKEN

        return StatusLists(
            [
                PublishedLists(
                    issuer=issuer,
                    fetch=self._fetch_of(self._table(issuer), MAX_LIST_TOKEN),
                    max_age=self._table(issuer).status_max_age,
                )
                for issuer in listing
            ],
            keys,
            wall_clock=self._clock,
        )

    def events(self, secrets: Secrets, keys: KeySource, record: Record) -> SecurityEvents | None:
        """Return what issuers tell of sessions and accounts; None: nothing.

        Raises:
            ConfigurationError: if what an issuer wants to see in a poll cannot be had.
        """
        streams = [
            self._stream(issuer, told, f"issuer[{number}].events", secrets)
            for number, issuer in enumerate(self._policy.issuers)
            if (told := self._table(issuer).events) is not UNSET
        ]
        if not streams:
            return None
        from portvakt.net.security_events import SecurityEvents

        return SecurityEvents(streams, keys, record, wall_clock=self._clock)

    def _stream(
        self, issuer: TrustedIssuer, told: EventsTable, place: str, secrets: Secrets
    ) -> EventStream:
        from portvakt.net.event_stream import EventStream, Polling
        from portvakt.oauth.event_delivery import MAX_ANSWER

        table = self._table(issuer)
        polling = None
        if told.poll is not UNSET:
            place = f"{place}.token"
            polling = Polling(
                uri=told.poll,
                fetch=self._fetch_of(table, MAX_ANSWER),
                token=None if told.token is UNSET else secrets.text(told.token, place),
                interval=told.interval,
                max_staleness=told.max_staleness,
            )
        return EventStream(
            issuer=issuer,
            audience=issuer.audience if told.audience is UNSET else told.audience,
            polling=polling,
            push=told.push,
        )

    def registers(self, own: tuple[Register, ...]) -> Registers | None:
        """Return the registers that routes may ask; None if there are none."""
        if not self._policy.registers and not own:
            return None
        from portvakt.registers.verify import Registers

        made = (self._register(table) for table in self._policy.registers)
        return Registers((*made, *own), deadline=self._policy.network.register_deadline)

    def _register(self, table: RegisterTable) -> Register:
        from portvakt.net.address import Reach
        from portvakt.registers.base import Subject
        from portvakt.registers.enhetsregisteret import OPEN_API, Enhetsregisteret
        from portvakt.registers.list_file import ListForm
        from portvakt.registers.lists import ListRegister
        from portvakt.registers.remembered import Remembered
        from portvakt.registers.snapshot import SnapshotRegister

        if table.kind == "enhetsregisteret":
            url = OPEN_API if table.base_url is UNSET else table.base_url
            # A URL on this machine is a stand-in's, written down as such.
            loopback = url.startswith("http://")
            register = Enhetsregisteret(
                self._fetch(Reach(loopback=loopback)),
                base_url=url,
                name=table.name,
                tolerate=table.tolerate,
                loopback_http=loopback,
            )
            return Remembered(register, _memory(table))
        path, name = self._policy.directory / str(table.file), table.name
        if table.kind == "snapshot":
            stale = 48 * 3600.0 if table.max_staleness is UNSET else table.max_staleness
            return SnapshotRegister(path, name=name, tolerate=table.tolerate, max_staleness=stale)
        form = ListForm(
            subject=Subject(table.subject),
            column=str(table.column),
            table=None if table.table is UNSET else table.table,
            delimiter="," if table.delimiter is UNSET else table.delimiter,
        )
        stale = 24 * 3600.0 if table.max_staleness is UNSET else table.max_staleness
        return ListRegister(name, path, form, max_staleness=stale)


def _memory(table: RegisterTable) -> Memory:
    """Return for how long answers of the open API serve; no fresher than they may be stale."""
    from portvakt.registers.remembered import Memory

    if table.max_staleness is UNSET:
        return Memory()
    most = table.max_staleness
    return Memory(max_staleness=most, fresh=min(600.0, most), fresh_denial=min(60.0, most))
