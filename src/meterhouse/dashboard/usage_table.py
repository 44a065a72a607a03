"""An answer about a meter as a table. Charts are drawn from the table: they cannot say anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from ..domain.cost import Amounts
from ..domain.meter import Meter
from ..domain.period import Period
from ..domain.usage_query import MeterAnswer, UsageAnswer, UsageFigures
from .formats import digits, number

Link: TypeAlias = Callable[[Period, Mapping[str, str]], str]
"""Where the events of a span and a group are listed."""
NOTHING = "(none)"
"""What stands for events that lack the property."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A number, and where its events are."""

    text: str
    value: str
    """For the chart; empty where there is none."""
    href: str = ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """A window."""

    label: str
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A group over the whole span."""

    name: str
    total: Cell
    share: Decimal | None
    previous: Decimal | None
    change_percent: Decimal | None
    is_other: bool = False
    """Whether it is all groups beside the top ones."""
    costs: Amounts | None = None


@dataclass(frozen=True, slots=True)
class UsageTable:
    """A meter over a span."""

    meter: Meter
    span: Period
    compared: Period | None
    timezone: str
    series: Sequence[str]
    """The columns: groups, or the meter itself."""
    stacked: bool
    """Whether the columns add up to what the meter makes of all events."""
    rows: Sequence[TableRow]
    total: Cell
    previous: Decimal | None
    change_percent: Decimal | None
    groups: Sequence[GroupRow]
    """Empty where the answer is not grouped."""
    costs: Amounts | None = None
    """None where the meter has no prices."""
    unpriced: Decimal | None = None
    cost_rows: Sequence[tuple[str, Sequence[Amounts]]] = ()
    """The windows again, with what each column costs."""


def usage_table(answer: UsageAnswer, found: MeterAnswer, link: Link | None) -> UsageTable:
    """The table of one meter of an answer. Without `link` numbers lead nowhere."""
    columns: list[tuple[str, UsageFigures, Mapping[str, str] | None]] = []
    if found.groups is None:
        columns.append((found.meter.unit or found.meter.slug, found.figures, {}))
    else:
        columns += [(_name(each.group), each.figures, each.group) for each in found.groups]
    if found.other is not None:
        columns.append((_other(found.other.groups), found.other.figures, None))

    def cell(value: Decimal | None, period: Period, group: Mapping[str, str] | None) -> Cell:
        href = link(period, group) if value and group is not None and link is not None else ""
        return Cell(number(value), "" if value is None else digits(value), href)

    rows = [
        TableRow(
            window.label,
            [cell(figures.windows[index], window.period, group) for _, figures, group in columns],
        )
        for index, window in enumerate(answer.windows)
    ]
    groups = [
        GroupRow(_name(each.group), cell(each.figures.total, answer.span, each.group), each.share,
                 each.figures.previous, each.figures.change_percent, costs=_total(each.figures))
        for each in found.groups or ()
    ]  # fmt: skip
    if found.other is not None:
        figures = found.other.figures
        name, total = _other(found.other.groups), cell(figures.total, answer.span, None)
        share, costs = found.other.share, _total(figures)
        groups.append(
            GroupRow(name, total, share, figures.previous, figures.change_percent, is_other=True, costs=costs)
        )
    return UsageTable(
        meter=found.meter,
        span=answer.span,
        compared=answer.compared,
        timezone=answer.query.timezone,
        series=[name for name, _, _ in columns],
        stacked=found.meter.aggregation.additive,
        rows=rows,
        total=cell(found.figures.total, answer.span, {}),
        previous=found.figures.previous,
        change_percent=found.change_percent,
        groups=groups,
        costs=_total(found.figures),
        unpriced=found.unpriced,
        cost_rows=_cost_rows(answer, [figures for _, figures, _ in columns]),
    )


def _total(figures: UsageFigures) -> Amounts | None:
    return None if figures.costs is None else figures.costs.total


def _cost_rows(answer: UsageAnswer, columns: Sequence[UsageFigures]) -> Sequence[tuple[str, Sequence[Amounts]]]:
    costs = [figures.costs for figures in columns if figures.costs is not None]
    rows = [(window.label, [each.windows[index] for each in costs]) for index, window in enumerate(answer.windows)]
    return [row for row in rows if any(row[1])]


def _name(group: Mapping[str, str]) -> str:
    return " · ".join(text or NOTHING for text in group.values())


def _other(groups: int) -> str:
    return f"{groups} other" if groups == 1 else f"{groups} others"
