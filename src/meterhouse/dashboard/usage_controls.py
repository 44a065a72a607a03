"""What can be chosen of a chart: the same parameters as `GET /v1/query`, so that the URL says all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..domain.catalog import Catalog
from ..domain.meter import Meter

SPANS = {
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "12w": "12 weeks",
    "12mo": "12 months",
    "current_period": "This usage period",
    "previous_period": "Previous usage period",
}
WINDOWS = {
    "hour": "Hours",
    "day": "Days",
    "week": "Weeks",
    "month": "Months",
    "minute": "Minutes",
    "none": "In one sum",
}
_WINDOW_OF = {"24h": "hour", "12w": "week", "12mo": "month"}
COMPARISONS = {"": "Nothing", "previous": "The span before", "year": "A year earlier"}
TOPS = ("5", "10", "20", "50")
ZONES = (
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Zurich",
    "Africa/Nairobi",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
)
"""Suggestions: any IANA zone can be written."""


@dataclass(frozen=True, slots=True)
class UsageControls:
    """The state of the controls. `parameters` are those of the query that they stand for."""

    meters: Sequence[Meter]
    meter: Meter
    span: str
    start: str
    end: str
    window: str
    timezone: str
    group: str
    top: str
    compare: str
    others: Sequence[tuple[str, str]]
    """Parameters without a control, such as filters."""

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """In the words of `GET /v1/query`."""
        span = [("range", self.span)] if not self.start else [("from", self.start), ("to", self.end)]
        grouped = [("group_by", self.group), ("top", self.top)] if self.group else []
        pairs = [
            ("meter", self.meter.slug),
            *span,
            ("window", self.window),
            ("timezone", self.timezone),
            *grouped,
            ("compare", self.compare),
            *self.others,
        ]
        return [(name, value) for name, value in pairs if value]

    @property
    def choices(self) -> dict[str, object]:
        """What each control offers."""
        groups = {"": "Nothing", **{path: path for path in self.meter.group_by}}
        tops = (*TOPS, *(() if self.top in TOPS else (self.top,)))
        return {
            "spans": SPANS if self.span in SPANS or self.start else {**SPANS, self.span: self.span},
            "windows": WINDOWS,
            "groups": groups if self.group in groups else {**groups, self.group: self.group},
            "tops": tops,
            "comparisons": COMPARISONS,
            "zones": ZONES,
        }


_CONTROLLED = frozenset({"meter", "range", "from", "to", "window", "timezone", "group_by", "top", "compare"})


def controls_of(catalog: Catalog, query: Sequence[tuple[str, str]]) -> UsageControls:
    """The controls as a query sets them. A meter that there is not leads to the first one, as does a group that the
    meter has not to none: they are what is left of another choice."""
    given = dict(query)
    meters = [*catalog.meters.values()]
    meter = catalog.meters.get(given.get("meter", ""), meters[0])
    span, start = given.get("range", "30d"), given.get("from", "")
    group = given.get("group_by", "")
    return UsageControls(
        meters=meters,
        meter=meter,
        span=span,
        start=start,
        end=given.get("to", ""),
        window=given.get("window", _WINDOW_OF.get(span, "day") if not start else "day"),
        timezone=given.get("timezone", "UTC"),
        group=group if group in meter.group_by else "",
        top=given.get("top", TOPS[0]),
        compare=given.get("compare", ""),
        others=[(name, value) for name, value in query if name not in _CONTROLLED],
    )
