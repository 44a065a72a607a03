"""Retention: old events are reduced to what meters read of them, so that every total stays what it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from .meter import Meter

RETENTION = "meterhouse.retention"
"""The type of records: each says what was to remain of a namespace's events that are older than some instant."""
SOURCE = "meterhouse/retention"
EVERYONE = "*"
"""The subject of records."""


class RetainedFields(msgspec.Struct, frozen=True):
    """What remains of the data of an event."""

    numbers: tuple[str, ...] = ()
    """Members that quantities are read from."""
    texts: tuple[str, ...] = ()
    """Properties that are read as texts, by their paths."""

    def has(self, other: RetainedFields) -> bool:
        """Whether all that the other keeps is kept."""
        return {*other.numbers} <= {*self.numbers} and {*other.texts} <= {*self.texts}


class Record(msgspec.Struct, frozen=True):
    """The `data` of a record."""

    before: datetime
    """Events with an earlier time were reduced."""
    kept: dict[str, RetainedFields]
    """By event type. Nothing remains of other types."""


def read_by(meter: Meter) -> RetainedFields:
    """What the meter reads of its events, as a whole and by each of its groups, by whatever it means or meant."""
    numbers, texts = set[str](), set[str]()
    for meaning in meter.meanings:
        numbers |= {*meaning.numbers}
        texts |= {*meaning.group_paths, *meaning.texts, *(path for path, _ in meaning.where)}
    return RetainedFields(tuple(sorted(numbers)), tuple(sorted(texts)))


def retained_by_type(meters: Iterable[Meter]) -> dict[str, RetainedFields]:
    """What the meters read of each event type, all of them together."""
    found: dict[str, RetainedFields] = {}
    for meter in meters:
        one, other = read_by(meter), found.get(meter.event_type, RetainedFields())
        numbers, texts = {*one.numbers, *other.numbers}, {*one.texts, *other.texts}
        found[meter.event_type] = RetainedFields(tuple(sorted(numbers)), tuple(sorted(texts)))
    return found


def complete_from(meter: Meter, records: Iterable[Record]) -> datetime | None:
    """The instant before which events may lack what the meter reads, because it was reduced without knowing of the
    meter; None when all have it."""
    needed = read_by(meter)
    lacking = (each.before for each in records if not each.kept.get(meter.event_type, RetainedFields()).has(needed))
    return max(lacking, default=None)


class Redaction(msgspec.Struct, frozen=True):
    """What is to be reduced."""

    namespace: str
    before: datetime
    kept: Mapping[str, RetainedFields]
