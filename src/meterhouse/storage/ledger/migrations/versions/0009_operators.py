"""Operator keys, with the triggers that count their changes, and the audit log, which is only added to."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text

revision = "0009"
down_revision = "0008"

_CHANGES = ("INSERT", "UPDATE", "DELETE")
_COUNTED = "UPDATE changes SET change = change + 1;"
_REFUSED = "the audit log is only added to"


def upgrade() -> None:
    """Creates the tables and their triggers."""
    op.create_table(
        "operator_keys",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("namespace", Text),
        Column("prefix", Text, nullable=False),
        Column("secret_hash", Text, nullable=False, unique=True),
        Column("created_at", BigInteger, nullable=False),
        Column("created_by", Text, nullable=False),
        Column("expires_at", BigInteger),
        Column("revoked_at", BigInteger),
    )
    op.create_table(
        "audit_log",
        Column("number", Integer, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("actor", Text, nullable=False),
        Column("address", Text, nullable=False),
        Column("request_id", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("namespace", Text),
        Column("organization", Text),
        Column("about", Text, nullable=False),
    )
    op.create_index("audit_log_organization", "audit_log", ["organization", "number"])
    if op.get_bind().dialect.name == "sqlite":
        for change in _CHANGES:
            trigger = f"TRIGGER operator_keys_{change.lower()} AFTER {change} ON operator_keys"
            op.execute(f"CREATE {trigger} BEGIN {_COUNTED} END")
        for change in ("UPDATE", "DELETE"):
            trigger = f"TRIGGER audit_log_{change.lower()} BEFORE {change} ON audit_log"
            op.execute(f"CREATE {trigger} BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END")
        return
    op.execute(
        f"CREATE TRIGGER operator_keys_changed AFTER {' OR '.join(_CHANGES)} ON operator_keys "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_change()"
    )
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_log_kept BEFORE UPDATE OR DELETE ON audit_log "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change()"
    )
