"""Uses and revocations."""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "portvakt_uses",
        sa.Column("owner", sa.LargeBinary, primary_key=True),
        sa.Column("item", sa.LargeBinary, primary_key=True),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("portvakt_uses_expires", "portvakt_uses", ["expires_at"])
    op.create_table(
        "portvakt_revocations",
        sa.Column("handle", sa.LargeBinary, primary_key=True),
        sa.Column("issued_before", sa.Float(53), nullable=False),
        sa.Column("expires_at", sa.Float(53), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("portvakt_revocations_position", "portvakt_revocations", ["position", "handle"])
    op.create_index("portvakt_revocations_expires", "portvakt_revocations", ["expires_at"])
    op.create_table(
        "portvakt_epochs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("identity", sa.String, nullable=False),
        sa.Column("mark", sa.String, nullable=False),
        sa.Column("begins", sa.Float(53), nullable=False),
    )
    op.create_table(
        "portvakt_positions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO portvakt_positions (id, last) VALUES (1, 0)")
