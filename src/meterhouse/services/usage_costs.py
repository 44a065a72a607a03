"""What usage costs: of one organization in its usage period, and in the answers to queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from ..domain.cost import (
    Amounts,
    CostCell,
    CostPlan,
    Texts,
    add_amounts,
    amounts_of,
    cost_cells,
    missing_minimums,
    plan_costs,
    unpriced,
)
from ..domain.errors import Invalid, TooManyGroups
from ..domain.meter import BY_ORGANIZATION, Meter, MeterQuery
from ..domain.period import Period
from ..domain.plan import Subscription
from ..domain.rate_card import RateCards
from ..domain.usage_query import ORGANIZATION, CostFigures, MeterAnswer, UsageFigures, UsageQuery
from ..ports.ledger import Ledger
from ..ports.meter_reader import MeasureFunction
from ..ports.snapshots import Snapshot
from .accounts import subscription_in
from .organization_usage import OrganizationUsage

MOST_CELLS = 200_000
"""The most windows, each of so many groups, that are priced of a meter and an organization."""
MOST_ORGANIZATIONS = 100
"""That one answer prices."""


@dataclass(frozen=True, slots=True)
class MeterCost:
    """What a meter costs in a span."""

    amounts: Amounts
    """With what is missing to the minimum of each usage period that lies wholly in the span."""
    from_usage: Amounts
    unpriced: Decimal
    """Usage that no price was in force for."""


@dataclass(frozen=True, slots=True)
class PricedUsage:
    """Reads the usage of one organization, and prices it."""

    measuring: MeasureFunction
    namespace: str
    organization: str
    commit: int
    subscription: Subscription | None

    def cells(
        self, meter: Meter, cards: RateCards, edges: Sequence[datetime | None], names: Sequence[str] = ()
    ) -> tuple[CostPlan, list[CostCell]]:
        """The priced cells of the windows that some edges bound, by some properties beside those of the cards. Raises
        `Invalid` for too many."""
        plan = plan_costs(cards, self.subscription, edges, names)
        asked = MeterQuery(
            namespace=self.namespace,
            organization=self.organization,
            meters=(meter,),
            edges=plan.edges,
            as_of_commit=self.commit,
            group_by=plan.names,
            most_groups=max(1, MOST_CELLS // len(plan.windows)) if plan.names else None,
        )
        try:
            usage = {(each.window, each.group): each.value for each in self.measuring(asked)}
        except TooManyGroups as wrong:
            raise Invalid(f"costs: of {meter.slug} {wrong}") from None
        return plan, [*cost_cells(plan, usage)]

    def cost(self, meter: Meter, cards: RateCards, span: Period, moment: datetime) -> MeterCost:
        """What a meter costs in a span, as of a moment."""
        plan, cells = self.cells(meter, cards, (span.start, span.end))
        from_usage = amounts_of(cells)
        amounts = add_amounts((from_usage, missing_minimums(plan, cells, span, moment)))
        return MeterCost(amounts, from_usage, unpriced(cells))


def usage_costs(reader: OrganizationUsage) -> Mapping[str, MeterCost]:
    """By meter, what an organization's usage costs in the period that is asked about. Meters without prices are not
    there."""
    catalog = reader.catalogs.get(reader.organization.namespace)
    usage = PricedUsage(reader.measuring, catalog.namespace, reader.organization.id, reader.commit, reader.subscription)
    return {
        slug: usage.cost(catalog.meters[slug], cards, reader.period(), reader.now)
        for slug, cards in catalog.prices.items()
    }


@dataclass(frozen=True, slots=True)
class AnswerCosts:
    """Adds costs to the answers of a query, from the same snapshot."""

    query: UsageQuery
    namespace: str
    organizations: tuple[str, ...]
    snapshot: Snapshot
    ledger: Ledger

    def of(self, answer: MeterAnswer, cards: RateCards, edges: Sequence[datetime | None]) -> MeterAnswer:
        """The answer with what it costs. Raises `Invalid` for too many organizations."""
        meter, divided = answer.meter, len(answer.figures.windows) > 0
        parts: defaultdict[Texts, list[CostCell]] = defaultdict(list)
        for organization in self.organizations or self._organizations(meter, edges):
            for key, cell in self._cells(organization, meter, cards, edges):
                parts[key].append(cell)

        def figures(cells: Iterable[CostCell]) -> CostFigures:
            windows: list[list[CostCell]] = [[] for _ in edges[1:]]
            for cell in cells:
                windows[cell.place].append(cell)
            amounts = tuple(amounts_of(each) for each in windows)
            return CostFigures(add_amounts(amounts), amounts if divided else ())

        def priced(of: UsageFigures, costs: CostFigures) -> UsageFigures:
            return replace(of, costs=costs)

        whole = [cell for cells in parts.values() for cell in cells]
        answer = replace(answer, figures=priced(answer.figures, figures(whole)), unpriced=unpriced(whole))
        if answer.groups is None:
            return answer
        keys = [tuple(each.group.values()) for each in answer.groups]
        groups = tuple(
            replace(each, figures=priced(each.figures, figures(parts[key])))
            for key, each in zip(keys, answer.groups, strict=True)
        )
        other = answer.other
        if other is not None:
            rest = [cell for key, cells in parts.items() if key not in keys for cell in cells]
            other = replace(other, figures=priced(other.figures, figures(rest)))
        return replace(answer, groups=groups, other=other)

    def _cells(
        self, organization: str, meter: Meter, cards: RateCards, edges: Sequence[datetime | None]
    ) -> Iterator[tuple[Texts, CostCell]]:
        """The cells of one organization that the query is about, with their groups."""
        filters = dict(self.query.filters)
        properties = [name for name in self.query.group_by if name != ORGANIZATION]
        usage = PricedUsage(
            self.snapshot.reader.measure,
            self.namespace,
            organization,
            self.snapshot.commit,
            subscription_in(self.ledger, self.namespace, organization),
        )
        plan, cells = usage.cells(meter, cards, edges, [*properties, *filters])
        for cell in cells:
            texts = dict(zip(plan.names, cell.texts, strict=True))
            if all(texts[name] in wanted for name, wanted in filters.items()):
                texts[ORGANIZATION] = organization
                yield tuple(texts[name] for name in self.query.group_by), cell

    def _organizations(self, meter: Meter, edges: Sequence[datetime | None]) -> list[str]:
        """Those of the namespace that have usage in the span, by id."""
        asked = MeterQuery(
            namespace=self.namespace,
            organization=None,
            meters=(meter,),
            edges=(edges[0], edges[-1]),
            as_of_commit=self.snapshot.commit,
            group_by=(BY_ORGANIZATION,),
            most_groups=MOST_ORGANIZATIONS,
        )
        try:
            return sorted(each.group[0] for each in self.snapshot.reader.measure(asked))
        except TooManyGroups:
            raise Invalid(
                f"costs: more than {MOST_ORGANIZATIONS} organizations of {self.namespace} have used {meter.slug}, too "
                "many to price at once; name organizations, or ask for a shorter span"
            ) from None
