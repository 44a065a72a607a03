"""Answering what an organization has used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from ..domain.errors import Invalid
from ..domain.grant import known_grants
from ..domain.listing import CursorSeal
from ..domain.organization import Organization
from ..domain.period import format_instant
from ..domain.shards import Seat
from ..ports.clock import Clock
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from ..ports.meter_reader import MeasureFunction
from .catalogs import Catalogs
from .organization_usage import CompleteSince, OrganizationUsage


@dataclass(frozen=True, slots=True)
class Usage:
    """Opens the usage of organizations, each answer from the newest finished commit."""

    store: EventStore
    ledger: Ledger
    catalogs: Catalogs
    clock: Clock
    seal: CursorSeal
    complete_since: CompleteSince = lambda _namespace, _meter: None
    """See `Completeness.since`."""
    seat: Seat = field(default_factory=Seat)

    def of(self, organization: Organization, as_of: datetime | None = None) -> OrganizationUsage:
        """The organization's usage at this moment; or, under the subscription it has now, at an earlier one, as it and
        grants were known then. Raises `Invalid` for a moment that is still to come, and `Elsewhere`."""
        self.seat.check(organization.namespace, organization.id)
        now = self.clock.now()
        if as_of is not None and as_of > now:
            raise Invalid(f"as_of: {format_instant(as_of)} is still to come")
        commit = self.store.latest_commit() if as_of is None else self.store.commit_at(as_of)
        reader = self.reader(organization, as_of or now, commit, self.store.measure)
        return reader if as_of is None else replace(reader, grants=known_grants(reader.grants, as_of))

    def reader(
        self, organization: Organization, now: datetime, commit: int, measuring: MeasureFunction
    ) -> OrganizationUsage:
        """The usage at any moment and state of the store, as far as it is what `measuring` answers."""
        return OrganizationUsage(
            store=self.store,
            measuring=measuring,
            ledger=self.ledger,
            catalogs=self.catalogs,
            seal=self.seal,
            complete_since=self.complete_since,
            organization=organization,
            subscription=self.ledger.subscription(organization.id),
            grants=self.ledger.grants(organization.id),
            now=now,
            commit=commit,
        )
