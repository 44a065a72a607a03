"""What another price would have made of usage that there was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ..domain.catalog import Catalog
from ..domain.cost import Amounts, add_amounts
from ..domain.directory import OrganizationSearch
from ..domain.errors import Invalid
from ..domain.organization import Organization
from ..domain.period import FIRST_INSTANT, Period
from ..domain.plan import Subscription
from ..domain.quantity import add
from ..domain.rate_card import RateCard, RateCards
from ..ports.clock import Clock
from ..ports.ledger import Ledger
from ..ports.snapshots import Snapshot, Snapshots
from .catalogs import Catalogs
from .usage_costs import PricedUsage

MOST_METERS = 20
MOST_ORGANIZATIONS_OF_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What something costs by the prices of the catalog, and by the proposed ones."""

    now: Amounts
    proposed: Amounts
    unpriced: Decimal
    """Usage that the proposed cards have no price for."""


@dataclass(frozen=True, slots=True)
class PricePreview:
    """A page of organizations, by id, in one state of the store."""

    span: Period
    position: str
    organizations: Sequence[tuple[Organization, PriceChange]]
    meters: Mapping[str, PriceChange]
    """Of the page."""
    total: PriceChange
    """Of the page."""
    of: int
    """How many organizations there are in all."""
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class PricePreviews:
    """Prices past usage anew. Nothing is stored."""

    snapshots: Snapshots
    ledger: Ledger
    catalogs: Catalogs
    clock: Clock

    def preview(
        self, namespace: str, proposed: Mapping[str, RateCards], span: Period | None, offset: int, limit: int
    ) -> PricePreview:
        """What some organizations of a namespace would have paid in a span, which is the last calendar month (UTC) when
        absent: as if the proposed cards had been in force all the time. Raises `NotFound` and `Invalid`."""
        catalog = self.catalogs.get(namespace)
        cards = {meter: _only(found) for meter, found in proposed.items()}
        if not cards:
            raise Invalid("prices: propose at least one rate card")
        if len(cards) > MOST_METERS:
            raise Invalid(f"prices: are of {len(cards)} meters; at most {MOST_METERS} are priced at once")
        now = self.clock.now()
        found = self.ledger.find_organizations(OrganizationSearch(namespace=namespace, offset=offset, limit=limit))
        organizations = [each.organization for each in found.found]
        snapshot = self.snapshots.snapshot(namespace, tuple(each.id for each in organizations), None)
        asked = _Pricing(catalog, cards, snapshot, span or last_month(now), now)
        changes = [(each, asked.of(each, self.ledger.subscription(each.id))) for each in organizations]
        meters = {meter: _together(of_meters[meter] for _, of_meters in changes) for meter in cards}
        after = offset + len(organizations)
        return PricePreview(
            span=asked.span,
            position=snapshot.position,
            organizations=[(organization, _together(each.values())) for organization, each in changes],
            meters=meters,
            total=_together(meters.values()),
            of=found.total,
            next_offset=after if organizations and after < found.total else None,
        )


@dataclass(frozen=True, slots=True)
class _Pricing:
    """What is priced anew."""

    catalog: Catalog
    cards: Mapping[str, RateCard]
    snapshot: Snapshot
    span: Period
    now: datetime

    def of(self, organization: Organization, subscription: Subscription | None) -> dict[str, PriceChange]:
        """Each meter of one organization."""
        measure, commit = self.snapshot.reader.measure, self.snapshot.commit
        usage = PricedUsage(measure, self.catalog.namespace, organization.id, commit, subscription)
        changes = {}
        for slug, card in self.cards.items():
            meter, present = self.catalog.meters[slug], self.catalog.prices.get(slug, ())
            before = usage.cost(meter, present, self.span, self.now)
            after = usage.cost(meter, (card,), self.span, self.now)
            changes[slug] = PriceChange(before.amounts, after.amounts, after.unpriced)
        return changes


def last_month(now: datetime) -> Period:
    """The calendar month before that of an instant, UTC."""
    end = datetime(now.year, now.month, 1, tzinfo=UTC)
    return Period((end - timedelta(days=1)).replace(day=1), end)


def _only(cards: RateCards) -> RateCard:
    """The one card of a meter, in force all the time."""
    if len(cards) > 1:
        raise Invalid(f"prices: {cards[0].meter!r} has {len(cards)} rate cards; propose one for each meter")
    return replace(cards[0], effective_at=FIRST_INSTANT)


def _together(changes: Iterable[PriceChange]) -> PriceChange:
    every = [*changes]
    return PriceChange(
        add_amounts(each.now for each in every),
        add_amounts(each.proposed for each in every),
        add(each.unpriced for each in every),
    )
