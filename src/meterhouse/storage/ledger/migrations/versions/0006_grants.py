"""Grants, and the triggers that count their changes with those of organizations, keys and subscriptions."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Text

revision = "0006"
down_revision = "0005"

_CHANGES = ("INSERT", "UPDATE", "DELETE")
_COUNTED = "UPDATE changes SET change = change + 1;"


def upgrade() -> None:
    """Creates the table and its triggers."""
    op.create_table(
        "grants",
        Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
        Column("id", Text, primary_key=True),
        Column("meter", Text, nullable=False),
        Column("amount", Text, nullable=False),
        Column("priority", Integer, nullable=False),
        Column("effective_at", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("expires_at", BigInteger),
        Column("recurrence", Text),
        Column("rollover", Text),
        Column("voided_at", BigInteger),
        Column("reason", Text),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in _CHANGES:
            trigger = f"TRIGGER grants_{change.lower()} AFTER {change} ON grants"
            op.execute(f"CREATE {trigger} BEGIN {_COUNTED} END")
        return
    op.execute(
        f"CREATE TRIGGER grants_changed AFTER {' OR '.join(_CHANGES)} ON grants "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_change()"
    )
