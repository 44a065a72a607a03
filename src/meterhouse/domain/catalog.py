"""Catalogs: one namespace's meters and plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from .errors import Invalid
from .limit_rule import ENFORCED, Limited
from .meter import Meter
from .meter_needs import Needs, needs_of
from .plan import Plan
from .pool import Pool
from .rate_card import RateCards
from .telemetry import TelemetryRule


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
    telemetry: tuple[TelemetryRule, ...] = ()
    """What of OpenTelemetry becomes events."""

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
    def limited(self) -> dict[str, Limited]:
        """The meters that can be held to a limit event by event, and the pools."""
        meters = {slug: meter for slug, meter in self.meters.items() if meter.aggregation in ENFORCED}
        return {slug: Limited(slug, ((meter, Decimal(1)),)) for slug, meter in meters.items()} | {
            slug: Limited(slug, tuple((meters[meter], rate) for meter, rate in pool.rates.items()))
            for slug, pool in self.pools.items()
        }

    @cached_property
    def drawn_on(self) -> dict[str, tuple[tuple[Limited, Decimal], ...]]:
        """By meter, the pools that it draws on, and how much one unit of it takes of each."""
        pools = [(self.limited[pool.slug], pool.rates) for pool in self.pools.values()]
        return {slug: tuple((pool, rates[slug]) for pool, rates in pools if slug in rates) for slug in self.meters}

    @cached_property
    def limited_by_event_type(self) -> dict[str, tuple[Limited, ...]]:
        """All that events of a type can take something of, pools last."""
        types = self.meters_by_event_type
        return {type_: tuple(each for each in self.limited.values() if type_ in each.event_types) for type_ in types}

    @cached_property
    def needs(self) -> dict[str, Needs]:
        """What events of each type need to have."""
        return {event_type: needs_of(meters) for event_type, meters in self.meters_by_event_type.items()}


class CatalogError(Invalid):
    """A catalog that cannot be used; the message names the file and the place."""

    code = "catalog"
