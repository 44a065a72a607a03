"""Versions of catalogs, and the triggers that count their changes with those of grants and the others."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0007"
down_revision = "0006"

_CHANGES = ("INSERT", "UPDATE", "DELETE")
_COUNTED = "UPDATE changes SET change = change + 1;"


def upgrade() -> None:
    """Creates the table and its triggers."""
    op.create_table(
        "catalog_versions",
        Column("namespace", Text, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("format", Text, nullable=False),
        Column("text", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("reason", Text),
        Column("restored", Integer),
        Column("earlier", Text, nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in _CHANGES:
            trigger = f"TRIGGER catalog_versions_{change.lower()} AFTER {change} ON catalog_versions"
            op.execute(f"CREATE {trigger} BEGIN {_COUNTED} END")
        return
    op.execute(
        f"CREATE TRIGGER catalog_versions_changed AFTER {' OR '.join(_CHANGES)} ON catalog_versions "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_change()"
    )
