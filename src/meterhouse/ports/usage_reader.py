"""One organization's usage: for contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from ..domain.listing import EventPage
from ..domain.meter import StateWindow, Top
from ..domain.organization import Organization
from ..domain.period import Period
from ..domain.plan import Subscription


class UsageReader(Protocol):
    """One organization's usage at one moment: all that a contract may ask. Every answer comes from the same state
    of the store. Meters are named by slug; `filters` keep only events whose property has exactly that text."""

    @property
    def organization(self) -> Organization:
        """Whose usage it is."""
        ...

    @property
    def subscription(self) -> Subscription | None:
        """What the organization has subscribed to."""
        ...

    @property
    def now(self) -> datetime:
        """The moment of the question."""
        ...

    def period(self) -> Period:
        """The usage period that `now` lies in; all time without a subscription."""
        ...

    def limit(self, meter: str) -> Decimal | None:
        """How much of the meter may be used in the period; None when nothing limits it."""
        ...

    def total(self, meter: str, period: Period, filters: Mapping[str, str] | None = None) -> Decimal:
        """The meter over the period; 0 without events. A STATE_COUNT counts the entities in its counted states."""
        ...

    def totals(self, meters: Sequence[str], period: Period) -> list[Decimal]:
        """`total` for several meters; asked together they cost little more than one."""
        ...

    def windows(self, meters: Sequence[str], edges: Sequence[datetime]) -> list[list[Decimal]]:
        """For each meter its total in each of the adjoining windows that the n + 1 edges bound."""
        ...

    def groups(self, meters: Sequence[str], period: Period, by: str) -> list[dict[str, Decimal]]:
        """For each meter its total over the period by the text of a property; "" stands for events without it. Raises
        `TooManyGroups` for more than 10,000."""
        ...

    def top(self, meters: Sequence[str], period: Period, by: str, count: int) -> list[Top]:
        """The groups of `groups` that have most of the first meter, at most `count`, each with its total of every
        meter: among equals by the second meter and so on, then by name. For COUNT and SUM."""
        ...

    def state_windows(self, meter: str, edges: Sequence[datetime | None], by: StateWindow) -> list[dict[str, Decimal]]:
        """For each of the adjoining windows how many entities of a STATE_COUNT are in each state, of those whose change
        or creation falls in it; a first or last edge of None is open."""
        ...

    def state_groups(self, meter: str, period: Period, by: StateWindow, group: str) -> dict[str, Decimal]:
        """How many entities there are, whatever their state, by the text of a property."""
        ...

    def first_event_at(self) -> datetime | None:
        """The time of the organization's first event."""
        ...

    def events(
        self,
        event_type: str,
        period: Period,
        filters: Mapping[str, tuple[str, ...]],
        limit: int,
        cursor: str | None = None,
    ) -> EventPage:
        """A page of at most `limit` events of the period, newest first; `filters` keep those whose property has one
        of these texts. With a cursor the page next to the one it came from, of the same period and the same state of
        the store; raises `Invalid` when it came from a list of another organization, type or filters."""
        ...

    def key_users(self) -> frozenset[str]:
        """The users that the organization's keys stand for."""
        ...
