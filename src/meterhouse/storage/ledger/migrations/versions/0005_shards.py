"""Which shard has each virtual shard, a number that grows with each change that other processes may remember, and the
sessions that were ended."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, column, table

revision = "0005"
down_revision = "0004"

_TABLES = ("organizations", "keys", "subscriptions")
_CHANGES = ("INSERT", "UPDATE", "DELETE")
_COUNTED = "UPDATE changes SET change = change + 1;"


def upgrade() -> None:
    """Creates the tables, and the triggers that count changes, whoever makes them."""
    op.create_table(
        "shards",
        Column("virtual", Integer, primary_key=True),
        Column("shard", Integer, nullable=False),
    )
    op.create_table(
        "changes",
        Column("number", Integer, primary_key=True),
        Column("change", BigInteger, nullable=False),
    )
    op.create_table(
        "ended_sessions",
        Column("id", Text, primary_key=True),
        Column("until", BigInteger, nullable=False),
    )
    op.bulk_insert(table("changes", column("number"), column("change")), [{"number": 1, "change": 0}])
    if op.get_bind().dialect.name == "sqlite":
        for name in _TABLES:
            for change in _CHANGES:
                trigger = f"TRIGGER {name}_{change.lower()} AFTER {change} ON {name}"
                op.execute(f"CREATE {trigger} BEGIN {_COUNTED} END")
        return
    op.execute(
        f"CREATE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_COUNTED} RETURN NULL; END $$"
    )
    for name in _TABLES:
        op.execute(
            f"CREATE TRIGGER {name}_changed AFTER {' OR '.join(_CHANGES)} ON {name} "
            "FOR EACH STATEMENT EXECUTE FUNCTION count_change()"
        )
