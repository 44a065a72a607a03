"""Partial aggregates: what some of a meter's events come to, so that parts can be merged exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from .errors import Invalid, TooManyGroups
from .meter import Aggregation
from .quantity import add, divide

Version: TypeAlias = tuple[int, ...]
"""A time in microseconds, a commit and a position in it; of several shards, the shard's number before the commit. The
greatest is the latest."""
Number: TypeAlias = "Decimal | tuple[Version, Decimal]"
"""Of a LATEST with its version."""
PartialKey: TypeAlias = tuple[int, tuple[str, ...], int]
"""Meter, group and window."""


class Partial(NamedTuple):
    """A number of events, at least one, and what they come to. Of a STATE_COUNT both are its entities."""

    events: int
    number: Number


def merge_numbers(aggregation: Aggregation, numbers: Iterable[Number]) -> Number:
    """What some numbers come to together."""
    if aggregation is Aggregation.MIN:
        return min(numbers)
    if aggregation in (Aggregation.MAX, Aggregation.LATEST):
        return max(numbers)
    return add(numbers)  # type: ignore[arg-type]


def merge_partials(aggregation: Aggregation, partials: Iterable[Partial]) -> Partial | None:
    """What some parts come to together; None where there are none."""
    parts = list(partials)
    if len(parts) < 2:
        return parts[0] if parts else None
    return Partial(sum(part.events for part in parts), merge_numbers(aggregation, [part.number for part in parts]))


def value_of(aggregation: Aggregation, partial: Partial) -> Decimal:
    """What the aggregation makes of it."""
    if isinstance(partial.number, tuple):
        return partial.number[1]
    return divide(partial.number, partial.events) if aggregation is Aggregation.AVG else partial.number


def check_groups(groups: Iterable[object], most: int | None) -> None:
    """Raises `TooManyGroups` when there are more than `most` different groups; None allows any number."""
    if most is not None and len(set(groups)) > most:
        raise TooManyGroups(f"there are more than {most:,} groups; ask for a shorter time, or for fewer")


def check_values(values: Mapping[PartialKey, Set[str]], most: int | None) -> None:
    """Raises `Invalid` when there are more than `most` different values, those of each key counted; None allows any
    number."""
    if most is not None and sum(map(len, values.values())) > most:
        raise Invalid(
            f"there are more than {most:,} different values to tell apart; ask for a shorter time, or for fewer"
        )
