"""What became of an event: where it counts, or why it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ..domain.correction import ADD, CONFLICT, VOID, Delivery, Step, delivery_of, step_of
from ..domain.event import SYSTEM_PREFIX
from ..domain.listing import StoredEvent
from ..domain.meter import Meter
from ..domain.period import Period
from ..domain.plan import usage_period
from ..domain.reading import PropertyReader, Reading, groups_of, reading_of
from ..ports.ledger import Ledger
from ..ports.whole_store import WholeStore
from .accounts import subscription_in
from .catalogs import Catalogs
from .named_events import EventName, find_named


@dataclass(frozen=True, slots=True)
class CorrectionRecord:
    """What a correction said of the event."""

    type: str
    at: datetime
    step: Step


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A later delivery with the same identity and other content, which was not taken."""

    at: datetime
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class MeterStory:
    """What the event is to a meter that reads events of its type."""

    meter: Meter
    reading: Reading
    groups: dict[str, str]
    """The texts of the properties that the meter can be broken down by."""


@dataclass(frozen=True, slots=True)
class Story:
    """All there is to tell of a stored event."""

    stored: StoredEvent
    known_organization: bool
    """Whether there is an organization of that id in the namespace; its events count as soon as there is."""
    period: Period
    """The usage period that the event's time lies in, by the organization's subscription of today."""
    meters: Sequence[MeterStory]
    known_types: Sequence[str]
    """The event types that the namespace has meters for."""
    words: Sequence[CorrectionRecord]
    """Oldest first; the last one stands."""
    contradictions: Sequence[Contradiction]

    @property
    def voided(self) -> CorrectionRecord | None:
        """The word that voided it, when it does not count for that."""
        last = next((record for record in reversed(self.words) if record.type != ADD), None)
        return last if last is not None and last.type == VOID else None


@dataclass(frozen=True, slots=True)
class EventExplanations:
    """Tells of single events."""

    store: WholeStore
    ledger: Ledger
    catalogs: Catalogs

    def of(self, namespace: str, name: EventName) -> Story:
        """The story of an event. Raises `NotFound` when none of that name is stored, or no such namespace is known, and
        `Invalid` when the name has no organization and several organizations have an event of that name."""
        catalog = self.catalogs.get(namespace)
        stored = find_named(self.store, namespace, [name])[name]
        event = stored.event
        properties = PropertyReader(event)
        organization = self.ledger.organization(event.organization)
        about = [] if event.type.startswith(SYSTEM_PREFIX) else self.store.corrections_of(event)
        return Story(
            stored=stored,
            known_organization=organization is not None and organization.namespace == namespace,
            period=usage_period(subscription_in(self.ledger, event.namespace, event.organization), event.time),
            meters=[
                MeterStory(meter, reading_of(meter.meant_at(event.time), properties), groups_of(meter, properties))
                for meter in catalog.meters_by_event_type.get(event.type, ())
            ],
            known_types=sorted(catalog.meters_by_event_type),
            words=[
                CorrectionRecord(e.event.type, e.stored_at, step_of(e.event)) for e in about if e.event.type != CONFLICT
            ],
            contradictions=[
                Contradiction(e.stored_at, delivery_of(e.event)) for e in about if e.event.type == CONFLICT
            ],
        )
