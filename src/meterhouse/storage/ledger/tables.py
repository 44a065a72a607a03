"""The ledger's tables, as the newest migration leaves them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

from ...domain.alert_rule import Basis
from ...domain.catalog_version import CatalogFormat
from ...domain.delivery import DeliveryStatus
from ...domain.grant import Recurrence, Rollover
from ...domain.meter import EarlierMeaning
from ...domain.operator_key import Role
from ...domain.plan import Addon, Flex
from ...domain.webhook import EventType, SigningSecret
from .column_types import Flag, Instant, IsoInterval, Json, Number, Word

metadata = MetaData()

organizations = Table(
    "organizations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Column("purged_at", Instant),
)

keys = Table(
    "keys",
    metadata,
    Column("number", Integer, primary_key=True),  # in the order of adding: decides between keys of the same instant
    Column("id", Text, nullable=False, unique=True),
    Column("organization", Text, ForeignKey("organizations.id"), nullable=False, index=True),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("scopes", Json(frozenset[str]), nullable=False),
    Column("user_id", Text),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
    Column("plan", Text),
    Column("anchor", Instant, nullable=False),
    Column("interval", IsoInterval),
    Column("limits", Json(dict[str, Decimal]), nullable=False),
    Column("addons", Json(dict[str, Addon]), nullable=False),
    Column("flex", Json(Flex)),
)

grants = Table(
    "grants",
    metadata,
    Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("meter", Text, nullable=False),
    Column("amount", Json(Decimal), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("recurrence", Json(Recurrence)),
    Column("rollover", Json(Rollover)),
    Column("voided_at", Instant),
    Column("reason", Text),
)

catalog_versions = Table(
    "catalog_versions",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("format", Word(CatalogFormat), nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text),
    Column("restored", Integer),
    Column("earlier", Json(dict[str, tuple[EarlierMeaning, ...]]), nullable=False),
)

operator_keys = Table(
    "operator_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", Word(Role), nullable=False),
    Column("namespace", Text),
    Column("prefix", Text, nullable=False),
    Column("secret_hash", Text, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

audit_log = Table(
    "audit_log",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("namespace", Text),
    Column("organization", Text),
    Column("about", Json(dict[str, str]), nullable=False),
    Index("audit_log_organization", "organization", "number"),
)

request_counts = Table(
    "request_counts",
    metadata,
    Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
    Column("hour", Instant, nullable=False),
    Column("requests", Integer, nullable=False),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("secret", LargeBinary, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("number", Integer, primary_key=True),  # of the shard, from 1
    Column("turn", Integer, nullable=False),
)

shards = Table(
    "shards",
    metadata,
    Column("virtual", Integer, primary_key=True),
    Column("shard", Integer, nullable=False),
)
"""Empty where there is one shard."""

ended_sessions = Table(
    "ended_sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("until", Instant, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("number", Integer, primary_key=True),  # always 1: there is one row
    Column("change", BigInteger, nullable=False),
)
"""Counts what triggers see: every change of organizations, keys, subscriptions, grants and catalogs."""

alert_rules = Table(
    "alert_rules",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("meter", Text, nullable=False),
    Column("basis", Word(Basis), nullable=False),
    Column("threshold", Json(Decimal), nullable=False),
    Column("organization", Text),
    Column("tell_resolved", Flag, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revised_at", Instant, nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("id", Text, primary_key=True),  # follows from the rule, the organization, the period and the crossing
    Column("namespace", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("meter", Text, nullable=False),
    Column("basis", Word(Basis), nullable=False),
    Column("threshold", Json(Decimal), nullable=False),
    Column("revised_at", Instant, nullable=False),
    Column("period_start", Instant),
    Column("period_end", Instant),
    Column("crossing", Integer, nullable=False),
    Column("value", Json(Decimal), nullable=False),
    Column("usage_limit", Json(Decimal)),
    Column("raised_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Index("alerts_of_organization", "organization", "period_start"),
    Index("alerts_of_namespace", "namespace", "raised_at", "id"),
)

alert_schedule = Table(
    "alert_schedule",
    metadata,
    Column("organization", Text, ForeignKey("organizations.id"), primary_key=True),
    Column("namespace", Text, nullable=False, index=True),
    Column("virtual", Integer, nullable=False),
    Column("next_at", Instant),
    Column("told_until", Instant),
    Column("version", Integer, nullable=False),
    Index("alert_schedule_due", "next_at", "virtual"),
)
"""When each organization is to be looked at."""

contract_records = Table(
    "contract_records",
    metadata,
    Column("contract", Text, primary_key=True),
    Column("namespace", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("key", Text),
    Column("parent", Text),
    Column("body", Json(dict[str, Any]), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("deleted_at", Instant),
    Index("contract_records_parent", "parent"),
    Index("contract_records_key", "contract", "kind", "key", "namespace", unique=True),
)

evaluated = Table(
    "evaluated",
    metadata,
    Column("number", Integer, primary_key=True),  # of the shard, from 1
    Column("commit", BigInteger, nullable=False),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("event_types", Json(frozenset[EventType]), nullable=False),
    Column("secrets", Json(tuple[SigningSecret, ...]), nullable=False),
    Column("enabled", Flag, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("failing_since", Instant),
    Column("switched_off", Text),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),  # follows from what is told
    Column("namespace", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("type", Word(EventType), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("payload", Text, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Number, primary_key=True),
    Column("message", Text, ForeignKey("messages.id"), nullable=False, index=True),
    Column("namespace", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("organization", Text, nullable=False),
    Column("virtual", Integer, nullable=False),
    Column("type", Word(EventType), nullable=False),
    Column("status", Word(DeliveryStatus), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("next_attempt_at", Instant, nullable=False),
    Column("first_attempt_at", Instant),
    Column("attempted_at", Instant),
    Index("deliveries_of_endpoint", "namespace", "endpoint", "id"),
    Index("deliveries_waiting", "status", "namespace", "endpoint", "organization", "id"),
    sqlite_autoincrement=True,  # an id is never given again: it decides the order
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("delivery", Number, ForeignKey("deliveries.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Instant, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("answer", Text, nullable=False),
    Column("milliseconds", Integer, nullable=False),
)
