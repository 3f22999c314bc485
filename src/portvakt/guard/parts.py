"""What only some guards have: each is None where the policy has no use for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from portvakt.guard.possession import Possession
    from portvakt.guard.standing import Standing
    from portvakt.guard.telling import Telling
    from portvakt.http.forwarded import Proxies
    from portvakt.jose.jwe import Decryption
    from portvakt.net.introspection import Introspection
    from portvakt.records.keeping import DecisionRecords
    from portvakt.registers.verify import Registers
    from portvakt.stores.base import Store

__all__ = ["NO_PARTS", "Parts"]


class Parts(NamedTuple):
    """The parts of a guard that a policy asks for.

    Attributes:
        proxies: who may speak for a client, and in which headers.
        introspection: who is asked about reference tokens.
        decryption: the keys that tokens may be encrypted to.
        possession: checks proofs, and remembers which were used.
        standing: knows what was revoked.
        registers: know whom a token speaks of.
        store: what proofs and revocations are remembered in.
        resource_metadata: the URL that challenges name for the API's metadata (RFC 9728).
        records: where every decision is written down.
        telling: logs, counts and traces decisions.
    """

    proxies: Proxies | None = None
    introspection: Introspection | None = None
    decryption: Decryption | None = None
    possession: Possession | None = None
    standing: Standing | None = None
    registers: Registers | None = None
    store: Store | None = None
    resource_metadata: str | None = None
    records: DecisionRecords | None = None
    telling: Telling | None = None

    def open(self) -> None:
        """Start what goes on in the background; runs at home, and waits for nothing."""
        for part in (self.introspection, self.standing, self.registers, self.records):
            if part is not None:
                part.open()

    async def close(self) -> None:
        """End it, and give back what is open; runs at home."""
        for part in (self.introspection, self.standing, self.registers):
            if part is not None:
                part.close()
        if self.store is not None:
            await self.store.close()
        if self.records is not None:
            import asyncio

            # It waits for its thread, and the loop has others to serve.
            await asyncio.to_thread(self.records.close)
        if self.telling is not None:
            await self.telling.close()


#: Of a guard that judges signed bearer tokens alone.
NO_PARTS: Final = Parts()
