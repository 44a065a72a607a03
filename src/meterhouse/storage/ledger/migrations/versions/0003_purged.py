"""When the events of a deleted organization were removed."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("organizations", Column("purged_at", BigInteger))
