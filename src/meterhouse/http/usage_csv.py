"""The answer to a usage query as CSV: a row for each number, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal

from ..domain.cost import Amounts
from ..domain.period import Period, format_instant
from ..domain.quantity import ZERO, plain
from ..domain.usage_query import MeterAnswer, UsageAnswer, UsageFigures
from .bodies import exact

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def csv_of(answer: UsageAnswer) -> bytes:
    """The rows, with a first row of names: meter, unit, aggregation; part (`total`, `group` or `other`); a column for
    each group; start, end and label of the window, whose label is empty for the whole span; value; previous where the
    query compares; where it asks for costs, the exact cost in each currency that there is. A text that a spreadsheet
    would take for a formula begins with an apostrophe."""
    by = answer.query.group_by
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\r\n")
    names = ["meter", "unit", "aggregation", "part", *by, "start", "end", "label", "value"]
    currencies = _currencies(answer)
    costs = [f"cost_{currency}" for currency in currencies]
    rows.writerow([*map(_text, names), *(["previous"] if answer.compared else []), *costs])
    for each in answer.meters:
        rows.writerows(_rows_of_meter(answer, each, currencies))
    return out.getvalue().encode()


def _currencies(answer: UsageAnswer) -> list[str]:
    totals = [each.figures.costs.total for each in answer.meters if each.figures.costs is not None]
    return sorted({currency for total in totals for currency in total})


def _rows_of_meter(answer: UsageAnswer, each: MeterAnswer, currencies: list[str]) -> Iterator[list[str]]:
    by = answer.query.group_by
    meter = [_text(text) for text in (each.meter.slug, each.meter.unit, each.meter.aggregation)]
    nothing = [""] * len(by)
    yield from _rows(answer, [*meter, "total", *nothing], each.figures, currencies)
    for group in each.groups or ():
        yield from _rows(
            answer, [*meter, "group", *(_text(group.group[path]) for path in by)], group.figures, currencies
        )
    if each.other is not None:
        yield from _rows(answer, [*meter, "other", *nothing], each.other.figures, currencies)


def _rows(answer: UsageAnswer, columns: list[str], figures: UsageFigures, currencies: list[str]) -> Iterator[list[str]]:
    previous = [_number(figures.previous)] if answer.compared else []
    costs = figures.costs
    total = _costs(costs.total if costs is not None else None, currencies)
    yield [*columns, *_sides(answer.span), "", _number(figures.total), *previous, *total]
    for place, (window, value) in enumerate(zip(answer.windows, figures.windows, strict=False)):
        of_window = _costs(costs.windows[place] if costs is not None else None, currencies)
        beside = [*([""] if answer.compared else []), *of_window]
        yield [*columns, *_sides(window.period), window.label, _number(value), *beside]


def _costs(amounts: Amounts | None, currencies: list[str]) -> list[str]:
    """One for each currency; empty where there are none of the meter."""
    return ["" if amounts is None else str(plain(amounts.get(currency, ZERO))) for currency in currencies]


def _sides(period: Period) -> list[str]:
    return [format_instant(side) if side is not None else "" for side in (period.start, period.end)]


def _number(value: Decimal | None) -> str:
    return "" if value is None else str(exact(value))


def _text(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
