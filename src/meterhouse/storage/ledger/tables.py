"""The ledger's tables, as the newest migration leaves them, and how domain values are written in their columns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, Dialect, ForeignKey, Integer, LargeBinary, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

from ...domain.catalog_version import CatalogFormat
from ...domain.grant import Recurrence, Rollover
from ...domain.meter import EarlierMeaning
from ...domain.period import Interval
from ...domain.plan import Addon, Flex

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An instant as microseconds since 1970: exact, and UTC again when it is read. A naive datetime is refused."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Counts the microseconds."""
        return None if value is None else (value - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Counts them back."""
        return None if value is None else _EPOCH + value * _MICROSECOND


class IsoInterval(TypeDecorator[Interval]):
    """An interval as its text, `P1M`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Interval | None, dialect: Dialect) -> str | None:
        """Writes the text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Interval | None:
        """Reads the text."""
        return None if value is None else Interval.parse(value)


class Word(TypeDecorator[Any]):
    """One of some words, as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]):
        """`kind` has the words."""
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """Writes the text."""
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Reads the text."""
        return None if value is None else self.kind(value)


class Json(TypeDecorator[Any]):
    """A value of one type as JSON text. Decimals are written as strings, so every digit comes back."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any):
        """`kind` is any type that msgspec can read back."""
        super().__init__()
        self.kind = kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Writes the JSON text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Reads the JSON text."""
        return None if value is None else self._decoder.decode(value)


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
