"""Catalogs: one namespace's meters and plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from .errors import Invalid
from .meter import Meter
from .meter_needs import Needs, needs_of
from .plan import Plan
from .pool import Pool
from .rate_card import RateCards


@dataclass(frozen=True)
class Catalog:
    """A product: its namespace, the contract its organizations speak, its meters and plans."""

    namespace: str
    contract: str | None
    """None: the organizations of this namespace use Meterhouse's own API only."""
    meters: dict[str, Meter]
    plans: dict[str, Plan]
    pools: dict[str, Pool] = field(default_factory=dict)
    unmetered: frozenset[str] = frozenset()
    """Event types that are stored and that no meter is meant to read."""
    prices: dict[str, RateCards] = field(default_factory=dict)
    """By meter."""
    flex: str | None = None
    """The meter whose overage flex sells: a subscription's budget and unit price are of this one."""

    @cached_property
    def expected_types(self) -> frozenset[str]:
        """The event types that the product sends; any other may be a mistake, though it is stored as well."""
        return self.unmetered | self.meters_by_event_type.keys()

    @cached_property
    def meters_by_event_type(self) -> dict[str, tuple[Meter, ...]]:
        """Which meters read an event."""
        types = {meter.event_type for meter in self.meters.values()}
        return {each: tuple(meter for meter in self.meters.values() if meter.event_type == each) for each in types}

    @cached_property
    def needs(self) -> dict[str, Needs]:
        """What events of each type need to have."""
        return {event_type: needs_of(meters) for event_type, meters in self.meters_by_event_type.items()}


class CatalogError(Invalid):
    """A catalog that cannot be used; the message names the file and the place."""

    code = "catalog"
