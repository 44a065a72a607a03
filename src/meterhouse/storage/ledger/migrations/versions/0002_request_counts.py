"""Counted requests, and the server's own secrets."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Creates the two tables."""
    op.create_table(
        "request_counts",
        Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
        Column("hour", BigInteger, nullable=False),
        Column("requests", Integer, nullable=False),
    )
    op.create_table(
        "secrets",
        Column("name", Text, primary_key=True),
        Column("secret", LargeBinary, nullable=False),
    )
