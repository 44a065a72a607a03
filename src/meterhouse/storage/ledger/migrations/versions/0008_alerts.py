"""Alert rules and what they have raised, when organizations are to be looked at, and webhooks with their outbox."""

from alembic import op
from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Text, column, select, table

from meterhouse.domain.shards import virtual_shard

revision = "0008"
down_revision = "0007"

_AT_ONCE = 1_000
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Creates the tables; every organization is to be looked at."""
    _create_alerts()
    _create_webhooks()
    organizations = table("organizations", column("id"), column("namespace"))
    schedule = table("alert_schedule", *map(column, ("organization", "namespace", "virtual", "next_at", "version")))
    rows = [
        {"organization": name, "namespace": namespace, "virtual": virtual_shard(namespace, name)}
        for name, namespace in op.get_bind().execute(select(organizations.c.id, organizations.c.namespace))
    ]
    for first in range(0, len(rows), _AT_ONCE):
        op.bulk_insert(schedule, [{**row, "next_at": 0, "version": 0} for row in rows[first : first + _AT_ONCE]])


def _create_alerts() -> None:
    op.create_table(
        "alert_rules",
        Column("namespace", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("meter", Text, nullable=False),
        Column("basis", Text, nullable=False),
        Column("threshold", Text, nullable=False),
        Column("organization", Text),
        Column("tell_resolved", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("revised_at", BigInteger, nullable=False),
    )
    op.create_table(
        "alerts",
        Column("id", Text, primary_key=True),
        Column("namespace", Text, nullable=False),
        Column("rule", Text, nullable=False),
        Column("organization", Text, nullable=False),
        Column("meter", Text, nullable=False),
        Column("basis", Text, nullable=False),
        Column("threshold", Text, nullable=False),
        Column("revised_at", BigInteger, nullable=False),
        Column("period_start", BigInteger),
        Column("period_end", BigInteger),
        Column("crossing", Integer, nullable=False),
        Column("value", Text, nullable=False),
        Column("usage_limit", Text),
        Column("raised_at", BigInteger, nullable=False),
        Column("resolved_at", BigInteger),
        Index("alerts_of_organization", "organization", "period_start"),
        Index("alerts_of_namespace", "namespace", "raised_at", "id"),
    )
    op.create_table(
        "alert_schedule",
        Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
        Column("namespace", Text, nullable=False, index=True),
        Column("virtual", Integer, nullable=False),
        Column("next_at", BigInteger),
        Column("told_until", BigInteger),
        Column("version", Integer, nullable=False),
        Index("alert_schedule_due", "next_at", "virtual"),
    )
    op.create_table(
        "evaluated",
        Column("number", Integer, primary_key=True),
        Column("commit", BigInteger, nullable=False),
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhook_endpoints",
        Column("namespace", Text, primary_key=True),
        Column("id", Text, primary_key=True),
        Column("url", Text, nullable=False),
        Column("event_types", Text, nullable=False),
        Column("secrets", Text, nullable=False),
        Column("enabled", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("failing_since", BigInteger),
        Column("switched_off", Text),
    )
    op.create_table(
        "messages",
        Column("id", Text, primary_key=True),
        Column("namespace", Text, nullable=False),
        Column("organization", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("payload", Text, nullable=False),
    )
    op.create_table(
        "deliveries",
        Column("id", _NUMBER, primary_key=True),
        Column("message", Text, ForeignKey("messages.id"), nullable=False, index=True),
        Column("namespace", Text, nullable=False),
        Column("endpoint", Text, nullable=False),
        Column("organization", Text, nullable=False),
        Column("virtual", Integer, nullable=False),
        Column("type", Text, nullable=False),
        Column("status", Text, nullable=False),
        Column("attempts", Integer, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("next_attempt_at", BigInteger, nullable=False),
        Column("first_attempt_at", BigInteger),
        Column("attempted_at", BigInteger),
        Index("deliveries_of_endpoint", "namespace", "endpoint", "id"),
        Index("deliveries_waiting", "status", "namespace", "endpoint", "organization", "id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "delivery_attempts",
        Column("delivery", _NUMBER, ForeignKey("deliveries.id"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("at", BigInteger, nullable=False),
        Column("status", Integer),
        Column("error", Text),
        Column("answer", Text, nullable=False),
        Column("milliseconds", Integer, nullable=False),
    )
