"""Organizations, keys and subscriptions."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates the three tables."""
    op.create_table(
        "organizations",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("namespace", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("deleted_at", BigInteger),
    )
    op.create_table(
        "keys",
        Column("number", Integer, primary_key=True),
        Column("id", Text, nullable=False, unique=True),
        Column("organization", Text, ForeignKey("organizations.id"), nullable=False, index=True),
        Column("prefix", Text, nullable=False),
        Column("secret_hash", Text, nullable=False, unique=True),
        Column("scopes", Text, nullable=False),
        Column("user_id", Text),
        Column("created_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger),
        Column("revoked_at", BigInteger),
    )
    op.create_table(
        "subscriptions",
        Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
        Column("plan", Text),
        Column("anchor", BigInteger, nullable=False),
        Column("interval", Text),
        Column("limits", Text, nullable=False),
        Column("addons", Text, nullable=False),
        Column("flex", Text),
    )
