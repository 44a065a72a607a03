"""What usage costs, day by day, meter by meter, for contracts that tell costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

from ..domain.quantity import ZERO, add
from ..domain.usage_query import ORGANIZATION, CostFigures, UsageQuery, Window
from .namespace_contract import Call, Services
from .usage_buckets import Buckets

_MOST_ORGANIZATIONS = 1_000


@dataclass(frozen=True, slots=True, order=True)
class CostPart:
    """What a cost is for."""

    organization: str
    """"" where costs are not told apart by organization."""
    meter: str
    """"" where they are not told apart by meter."""
    currency: str


def read_costs(
    call: Call, services: Services, buckets: Buckets, *, by_organization: bool, by_meter: bool
) -> list[dict[CostPart, Decimal]]:
    """For each day the costs of all meters that have prices, without minimums of usage periods. Only what the key may
    see. Raises `Invalid` for more organizations than can be priced at once."""
    found: list[defaultdict[CostPart, Decimal]] = [defaultdict(lambda: ZERO) for _ in buckets.edges[1:]]
    organizations = (call.organization,) if call.organization is not None else ()
    for slug in services.catalogs.get(call.namespace).prices:
        query = UsageQuery(
            meters=(slug,),
            start=buckets.edges[0],
            end=buckets.edges[-1],
            window=Window.DAY,
            group_by=(ORGANIZATION,) if by_organization else (),
            top=_MOST_ORGANIZATIONS,
            costs=True,
        )
        [answer] = services.queries.answer(query, call.namespace, organizations).meters
        parts = [("", answer.figures.costs)]
        if answer.groups is not None:
            parts = [(each.group[ORGANIZATION], each.figures.costs) for each in answer.groups]
        for organization, costs in parts:
            _add(found, costs, organization, slug if by_meter else "")
    return [dict(sorted(each.items())) for each in found]


def _add(found: list[defaultdict[CostPart, Decimal]], costs: CostFigures | None, organization: str, meter: str) -> None:
    if costs is None:
        return
    for place, amounts in enumerate(costs.windows):
        for currency, amount in amounts.items():
            part = CostPart(organization, meter, currency)
            found[place][part] = add((found[place][part], amount))
