"""When organizations are to be looked at: rows of the schedule, and making them due."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, Update, update

from ...domain.organization import Organization
from ...domain.shards import virtual_shard
from .tables import alert_schedule

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)


def scheduled(organization: Organization) -> dict[str, Any]:
    """The row of a new organization, which is due."""
    return {
        "organization": organization.id,
        "namespace": organization.namespace,
        "virtual": virtual_shard(organization.namespace, organization.id),
        "next_at": _AT_ONCE,
        "version": 0,
    }


def made_due(*conditions: ColumnElement[bool]) -> Update:
    """Makes some organizations due, also those that are being looked at."""
    return update(alert_schedule).where(*conditions).values(next_at=_AT_ONCE, version=alert_schedule.c.version + 1)


def own_virtuals(of: Table, virtuals: Collection[int] | None) -> list[ColumnElement[bool]]:
    """The condition that a row is of one of these virtual shards; none where all are meant."""
    return [] if virtuals is None else [of.c.virtual.in_(virtuals)]
