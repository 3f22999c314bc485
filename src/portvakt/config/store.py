"""What is wrong with the ``[store]`` table, as far as it alone tells."""

from msgspec import UNSET

from portvakt.config.duration import write_duration
from portvakt.config.problems import Problems
from portvakt.config.secrets import check_secret
from portvakt.config.store_schema import LEAST_TIMEOUT, MOST_TIMEOUT, MOST_USES, StoreTable
from portvakt.stores.urls import MEMORY, SQLITE, flaw_of, scheme_of

__all__ = ["check_store"]


def check_store(table: StoreTable, problems: Problems) -> None:
    """Note what is wrong with the table. No message shows what stands in the URL.

    Does not check that there is such a server or file, nor how many processes serve:
    :func:`portvakt.stores.opened.open_store` does what it can of that.
    """
    flaw = flaw_of(table.url)
    if flaw is not None:
        problems.add("store.url", flaw)
    if table.password is not UNSET:
        if scheme_of(table.url) in {MEMORY, SQLITE}:
            problems.add("store.password", "means nothing for a store without a server")
        check_secret(table.password, "store.password", problems)
    if not LEAST_TIMEOUT <= table.timeout <= MOST_TIMEOUT:
        least, most = write_duration(LEAST_TIMEOUT), write_duration(MOST_TIMEOUT)
        problems.add("store.timeout", f"must be between {least} and {most}")
    for name in ("replay_capacity", "replay_per_key"):
        if not 1 <= getattr(table, name) <= MOST_USES:
            problems.add(f"store.{name}", f"must be between 1 and {MOST_USES}")
    if table.replay_per_key > table.replay_capacity:
        problems.add("store.replay_per_key", "must not be more than replay_capacity, that of all")
