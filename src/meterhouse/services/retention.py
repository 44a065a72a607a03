"""Reducing old events to what meters read of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog
import xxhash

from ..domain.catalog import Catalog
from ..domain.event import Event
from ..domain.listing import EventQuery
from ..domain.meter import Meter
from ..domain.retention import EVERYONE, RETENTION, SOURCE, Record, Redaction, complete_from, retained_by_type
from ..ports.clock import Clock
from ..ports.event_store import EventStore
from .catalogs import Catalogs
from .ingest import Ingest

_MOST_RECORDS = 100_000

_log = structlog.get_logger(__name__)


class Completeness:
    """Knows which meters were added after events had been reduced without what they read."""

    def __init__(self, store: EventStore, catalogs: Iterable[Catalog]):
        """Logs the meters of the catalogs that have an incomplete past."""
        self._store = store
        self._records: dict[str, list[Record]] = {}
        for catalog in catalogs:
            for meter in catalog.meters.values():
                if (instant := self.since(catalog.namespace, meter)) is not None:
                    _log.warning(
                        "events before this were reduced without what the meter reads",
                        namespace=catalog.namespace,
                        meter=meter.slug,
                        complete_from=instant,
                    )

    def since(self, namespace: str, meter: Meter) -> datetime | None:
        """The instant from which events have what the meter reads; None where all have it."""
        records = self._records.get(namespace)
        if records is None:
            records = self._records[namespace] = self._read(namespace)
        return complete_from(meter, records) if records else None

    def reduced(self, namespace: str) -> None:
        """Events of the namespace were reduced."""
        self._records.pop(namespace, None)

    def _read(self, namespace: str) -> list[Record]:
        commit = self._store.latest_commit()
        query = EventQuery(namespace, EVERYONE, RETENTION, None, None, commit, _MOST_RECORDS, {})
        return [msgspec.json.decode(found.event.data, type=Record) for found in self._store.list_events(query)]


@dataclass(frozen=True, slots=True)
class Retention:
    """Reduces events once a day, by namespace."""

    store: EventStore
    ingest: Ingest
    catalogs: Catalogs
    clock: Clock
    completeness: Completeness
    days: Mapping[str, int]
    """How many days events of a namespace stay whole; those of others always do."""

    def redact_due(self) -> Iterator[None]:
        """Pauses before each namespace."""
        now = self.clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        for namespace, days in self.days.items():
            yield
            meters = self.catalogs.get(namespace).meters.values()
            reduction = Redaction(namespace, today - timedelta(days=days), retained_by_type(meters))
            if events := self.store.redactable(reduction):
                # First: whatever was reduced, it is known what a meter that is added later will not find.
                self.ingest.record([_record(reduction, now)])
                self.completeness.reduced(namespace)
                self.store.redact(reduction)
                _log.warning("old events reduced", namespace=namespace, before=reduction.before, events=events)


def _record(reduction: Redaction, now: datetime) -> Event:
    """The same for the same reduction, however often it is begun."""
    data = msgspec.json.encode(Record(reduction.before, dict(reduction.kept)))
    record_id = f"{reduction.before.date()}-{xxhash.xxh3_64_hexdigest(data)}"
    return Event(reduction.namespace, SOURCE, record_id, RETENTION, EVERYONE, now, data, {})
