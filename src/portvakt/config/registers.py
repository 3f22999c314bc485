"""What is wrong with the ``[[register]]`` tables, as far as they alone tell."""

from collections.abc import Iterable, Iterator

from msgspec import UNSET

from portvakt.config.problems import Problems
from portvakt.config.register_schema import KINDS, SUBJECTS, RegisterTable

__all__ = ["check_registers"]

#: The settings of all kinds, and of some.
_ALWAYS = {"name", "kind", "max_staleness"}
_OPTIONAL = {
    "enhetsregisteret": {"base_url", "tolerate"},
    "snapshot": {"tolerate"},
    "csv": {"delimiter"},
    "sqlite": set[str](),
}


def check_registers(tables: Iterable[RegisterTable], problems: Problems) -> frozenset[str]:
    """Note what is wrong with the tables, and return the names of the registers.

    Does not check that there are such files, nor what is in them: what is not there when it is
    asked is unavailable, and may come later.
    """
    names: set[str] = set()
    for index, table in enumerate(tables):
        place = f"register[{index}]"
        if table.name in names:
            problems.add(f"{place}.name", "is the name of an earlier register")
        names.add(table.name)
        if table.kind not in KINDS:
            problems.add(f"{place}.kind", f"must be one of {', '.join(KINDS)}")
            continue
        for setting, message in _flaws(table):
            problems.add(f"{place}.{setting}", message)
    return frozenset(names)


def _flaws(table: RegisterTable) -> Iterator[tuple[str, str]]:
    needed = KINDS[table.kind]
    for name in needed:
        if getattr(table, name) is UNSET:
            yield name, f"is missing: a register of kind {table.kind} needs it"
    for name in RegisterTable.__struct_fields__:
        stated = getattr(table, name) not in (UNSET, ())
        if stated and name not in {*_ALWAYS, *needed, *_OPTIONAL[table.kind]}:
            yield name, f"means nothing for a register of kind {table.kind}"
    if table.subject is not UNSET and table.subject not in SUBJECTS:
        yield "subject", f"must be one of {', '.join(SUBJECTS)}"
    if table.max_staleness is not UNSET and not 0 < table.max_staleness <= 366 * 86400:
        yield "max_staleness", "must be more than nothing and at most 366 days"
