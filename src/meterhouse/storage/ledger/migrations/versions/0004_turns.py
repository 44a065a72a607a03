"""Which turn of the data folder the ledger belongs to."""

from alembic import op
from sqlalchemy import Column, Integer

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "turns",
        Column("number", Integer, primary_key=True),
        Column("turn", Integer, nullable=False),
    )
