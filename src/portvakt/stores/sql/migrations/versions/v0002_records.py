"""Decision records."""

from typing import Final

import sqlalchemy as sa
from alembic import op

__all__ = ["down_revision", "revision", "upgrade"]

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "portvakt_records",
        sa.Column("writer", sa.String(64), primary_key=True),
        sa.Column("n", sa.BigInteger, primary_key=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
    )
    op.create_index("portvakt_records_at", "portvakt_records", ["at"])
