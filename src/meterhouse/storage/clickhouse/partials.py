"""Putting together what parts of the events add up to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from ...domain.meter import Aggregation, Measure, Meter
from ...domain.quantity import add, divide


@dataclass(slots=True)
class _Cell:
    """One window and group of a meter: how many events it has, and a list of terms from each part that had any."""

    events: int = 0
    terms: list[Sequence[str]] = field(default_factory=list)


class Partials:
    """Collects the terms that several statements give for the same windows and groups."""

    def __init__(self, meters: Sequence[Meter]):
        self._meters = meters
        self._cells: dict[tuple[int, int, tuple[str, ...]], _Cell] = defaultdict(_Cell)

    def add(self, meter: int, window: int, group: tuple[str, ...], events: int, terms: Sequence[str]) -> None:
        """Terms as `queries.MeasureQuery` has them; nothing when they are of no events."""
        if events:
            cell = self._cells[meter, window, group]
            cell.events += events
            cell.terms.append(terms)

    def measures(self) -> list[Measure]:
        """What it all comes to."""
        return [
            Measure(window, _value(self._meters[meter].aggregation, cell), group, meter=meter)
            for (meter, window, group), cell in self._cells.items()
        ]


def _value(aggregation: Aggregation, cell: _Cell) -> Decimal:
    if aggregation is Aggregation.LATEST:
        *_, value = max(cell.terms, key=lambda terms: tuple(map(int, terms[:3])))
        return Decimal(value)
    numbers = [Decimal(term) for terms in cell.terms for term in terms]
    if aggregation is Aggregation.MIN:
        return min(numbers)
    if aggregation is Aggregation.MAX:
        return max(numbers)
    total = add(numbers)
    return divide(total, cell.events) if aggregation is Aggregation.AVG else total
