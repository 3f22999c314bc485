"""The tables, as the newest migration leaves them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

__all__ = [
    "SCHEMA",
    "VERSION_TABLE",
    "epochs",
    "metadata",
    "positions",
    "records",
    "revocations",
    "uses",
]

#: The newest migration. A store of another form is not used.
SCHEMA: Final = "0002"

#: Where the database says which it has.
VERSION_TABLE: Final = "portvakt_schema"

metadata: Final = MetaData()

#: What was used: digests, and when it may be forgotten, in seconds since 1970.
uses: Final = Table(
    "portvakt_uses",
    metadata,
    Column("owner", LargeBinary, primary_key=True),
    Column("item", LargeBinary, primary_key=True),
    Column("expires_at", Float(53), nullable=False),
    Index("portvakt_uses_expires", "expires_at"),
    sqlite_with_rowid=False,
)

#: What is revoked. The position grows with each time that it is written: on PostgreSQL it is the
#: writing transaction, on SQLite it is counted in :data:`positions`.
revocations: Final = Table(
    "portvakt_revocations",
    metadata,
    Column("handle", LargeBinary, primary_key=True),
    Column("issued_before", Float(53), nullable=False),
    Column("expires_at", Float(53), nullable=False),
    Column("position", BigInteger, nullable=False),
    Index("portvakt_revocations_position", "position", "handle"),
    Index("portvakt_revocations_expires", "expires_at"),
    sqlite_with_rowid=False,
)

#: Each server, or file, that this data was found on, and since when: what was written to an earlier
#: one may be lost. The mark names it in cursors.
epochs: Final = Table(
    "portvakt_epochs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("identity", String, nullable=False),
    Column("mark", String, nullable=False),
    Column("begins", Float(53), nullable=False),
)

#: The last position that was given to a revocation on SQLite. One row; PostgreSQL leaves it be.
positions: Final = Table(
    "portvakt_positions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("last", BigInteger, nullable=False),
)

#: Decision records: of each writer, its lines by number, octet for octet as they were sealed.
records: Final = Table(
    "portvakt_records",
    metadata,
    Column("writer", String(64), primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("at", Float(53), nullable=False),
    Column("line", LargeBinary, nullable=False),
    Index("portvakt_records_at", "at"),
)
