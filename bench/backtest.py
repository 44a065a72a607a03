"""How good forecasts are: every usage period of the demo's year, and of traces, forecast again and again while it runs.

`python -m bench.backtest --trace code.csv --trace conv.csv`; without a trace only the demo.

A forecast is off by |forecast - truth| / truth of the whole period. The straight line, which takes what is used for the
same share of the period as has passed, shows what a forecast is worth. A trace is a CSV file with a column TIMESTAMP
(`2023-11-16 18:17:03.97`) and columns of numbers. It may be short: each of its seconds stands for an hour.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import fmean

import msgspec
from cyclopts import App
from rich.console import Console
from rich.table import Table

from meterhouse.catalog_files import load_catalogs
from meterhouse.demo import ORGANIZATIONS, DemoOrganization, year_of_events
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.forecast import HISTORY_HOURS, Method, forecast, outlook
from meterhouse.domain.meter import Aggregation
from meterhouse.domain.period import THIRTY_DAYS, Interval, parse_instant, period_at
from meterhouse.domain.reading import PropertyReader, reading_of

HOUR = timedelta(hours=1)
EVERY_HOURS = 31
"""Between two forecasts of a period: all hours of the day have their turn."""
NOW = datetime(2026, 3, 15, tzinfo=UTC)
"""The end of the demo's year."""

app = App(name="backtest", result_action="return_value")


@dataclass(frozen=True)
class Series:
    """A meter's amounts by hour, from its first hour with any usage, and the usage periods."""

    name: str
    start: datetime
    amounts: list[Decimal]
    anchor: datetime
    interval: Interval


@dataclass(frozen=True)
class Trial:
    """One forecast, and what became of it."""

    method: Method
    error: float
    straight_line_error: float
    inside: bool | None
    """Whether the truth was between low and high; None where there were none."""


def trials(series: Series) -> Iterator[Trial]:
    """Forecasts of all whole periods."""
    end_of_all = series.start + len(series.amounts) * HOUR
    period = period_at(series.anchor, series.interval, series.start)
    while period.start and period.end and period.end <= end_of_all:
        first, last = (max(0, (edge - series.start) // HOUR) for edge in (period.start, period.end))
        truth = sum(series.amounts[first:last])
        for hour in range(first + EVERY_HOURS, last, EVERY_HOURS):
            now = series.start + hour * HOUR
            expecting = outlook(series.amounts[max(0, hour - HISTORY_HOURS) : hour], now, period.end)
            if truth <= 0 or expecting is None:
                continue
            used = sum(series.amounts[first:hour], Decimal())
            found = forecast(expecting, used, None, now)
            straight_line = used * (last - first) / (hour - first)
            yield Trial(
                found.method,
                float(abs(found.used - truth) / truth),
                float(abs(straight_line - truth) / truth),
                None if found.low is None or found.high is None else found.low <= truth <= found.high,
            )
        period = period_at(series.anchor, series.interval, period.end)


def demo_series(organization: DemoOrganization) -> Iterator[Series]:
    """The meters of one of the demo's organizations that can be forecast."""
    meters = load_catalogs(()).get(organization.namespace).meters_by_event_type
    amounts: dict[str, dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for raw in year_of_events(organization, NOW):
        event = parse_event(msgspec.json.encode(raw), organization.namespace, meters, NOW)
        for meter in meters.get(event.type, ()):
            value = reading_of(meter, PropertyReader(event)).value
            if meter.aggregation in (Aggregation.COUNT, Aggregation.SUM) and value is not None:
                amounts[meter.slug][int(event.time.timestamp()) // 3600] += value
    subscription = organization.subscription
    anchor, interval = parse_instant(f"{subscription['anchor']}T00:00:00Z"), Interval.parse(subscription["interval"])
    for slug, by_hour in amounts.items():
        start, filled = _filled(by_hour)
        yield Series(f"{organization.id} {slug}", datetime.fromtimestamp(start * 3600, UTC), filled, anchor, interval)


def trace_series(path: Path) -> Iterator[Series]:
    """Requests, and each column of numbers, in periods of thirty days."""
    amounts: dict[str, dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            second = int(datetime.fromisoformat(row.pop("TIMESTAMP")[:26]).replace(tzinfo=UTC).timestamp())
            for name, number in {"requests": "1", **row}.items():
                amounts[name][second] += Decimal(number)
    for name, by_second in amounts.items():
        _, filled = _filled(by_second)
        yield Series(f"{path.stem} {name}", NOW, filled, NOW, THIRTY_DAYS)


def _filled(amounts: dict[int, Decimal]) -> tuple[int, list[Decimal]]:
    first = min(amounts)
    return first, [amounts.get(hour, Decimal()) for hour in range(first, max(amounts) + 1)]


def row_of(name: str, found: list[Trial]) -> list[str]:
    """One line of the table."""
    inside = [trial.inside for trial in found if trial.inside is not None]
    return [
        name,
        str(len(found)),
        f"{fmean(trial.error for trial in found):.1%}",
        f"{fmean(trial.straight_line_error for trial in found):.1%}",
        str(len(inside)),
        f"{fmean(inside):.0%}" if inside else "",
    ]


@app.default
def backtest(*, trace: tuple[Path, ...] = ()) -> None:
    """Forecasts what has happened, and prints how far off that was.

    Parameters
    ----------
    trace
        A CSV file; may be given several times.
    """
    table = Table("", "forecasts", "mean error", "straight line", "with interval", "truth inside")
    sources = {f"demo, {each.id}": demo_series(each) for each in ORGANIZATIONS}
    sources |= {f"trace {path.stem}": trace_series(path) for path in trace}
    done = {name: [trial for series in found for trial in trials(series)] for name, found in sources.items()}
    for method in Method:
        for name, found in done.items():
            if of_method := [trial for trial in found if trial.method is method]:
                table.add_row(*row_of(f"{method}: {name}", of_method))
        of_demo = [each for name, found in done.items() for each in found if each.method is method and "demo" in name]
        table.add_row(*row_of(f"{method}: demo, all", of_demo), end_section=True)
    Console(width=110).print(table)


if __name__ == "__main__":
    app()
