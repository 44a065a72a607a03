"""The part of a page that shows a meter over a span: controls, totals, chart, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from litestar import Response

from ..domain.errors import MeterhouseError
from ..domain.organization import Organization
from ..domain.period import Period, format_instant
from ..domain.query_parameters import parse_usage_query
from ..domain.usage_query import UsageAnswer
from ..http.usage_csv import csv_of
from ..services.catalogs import Catalogs
from ..services.usage_queries import UsageQueries
from .pages import download, linked
from .usage_controls import UsageControls, controls_of
from .usage_table import Link, usage_table

_MORE = "50"
"""How many groups are shown by whoever wants to know what the others are."""


@dataclass(frozen=True, slots=True)
class UsageSection:
    """Answers for a page."""

    queries: UsageQueries
    catalogs: Catalogs

    def of(
        self, organization: Organization, query: Sequence[tuple[str, str]], path: str, *, events: bool
    ) -> dict[str, Any]:
        """What the template needs. A query that cannot be answered is told in the place of the answer, beside the
        controls that mend it. `events` has numbers lead to their events."""
        controls = controls_of(self.catalogs.get(organization.namespace), query)
        told: dict[str, Any] = {
            "controls": controls,
            "path": path,
            "csv": f"{path.rstrip('/')}/usage.csv?{urlencode(controls.parameters)}",
            "more": linked(path, controls.parameters, top=_MORE),
            "table": None,
            "wrong": "",
            "unpriceable": "",
        }
        try:
            answer = self.answer(organization, controls)
        except MeterhouseError as wrong:
            try:
                answer = self.answer(organization, controls, costs=False)
            except MeterhouseError:
                return {**told, "wrong": str(wrong)}
            told["unpriceable"] = str(wrong)
        link = _links(organization, controls) if events else None
        return {**told, "table": usage_table(answer, answer.meters[0], link)}

    def csv(self, organization: Organization, query: Sequence[tuple[str, str]]) -> Response[bytes]:
        """The same numbers as a file."""
        controls = controls_of(self.catalogs.get(organization.namespace), query)
        content = csv_of(self.answer(organization, controls))
        return download(content, "text/csv; charset=utf-8", f"{controls.meter.slug}.csv")

    def answer(self, organization: Organization, controls: UsageControls, *, costs: bool = True) -> UsageAnswer:
        """The answer of `GET /v1/query` to the same parameters, with costs where the meter has prices."""
        priced = costs and controls.meter.slug in self.catalogs.get(organization.namespace).prices
        asked = replace(parse_usage_query(controls.parameters), costs=priced)
        return self.queries.answer(asked, organization.namespace, (organization.id,))


def events_path(organization: str, meter: str, period: Period, filters: Sequence[tuple[str, str]] = ()) -> str:
    """Where the events of a meter in a span are listed."""
    span = [("from", period.start), ("to", period.end)]
    sides = [(name, format_instant(side)) for name, side in span if side is not None]
    query = urlencode([("meter", meter), *sides, *filters])
    return f"/organizations/{quote(organization, safe='')}/events?{query}"


def _links(organization: Organization, controls: UsageControls) -> Link:
    def link(period: Period, group: Mapping[str, str]) -> str:
        narrowed = [(f"filter.{path}", text) for path, text in group.items()]
        others = [(name, text) for name, text in controls.others if name.startswith("filter.")]
        return events_path(organization.id, controls.meter.slug, period, [*narrowed, *others])

    return link
