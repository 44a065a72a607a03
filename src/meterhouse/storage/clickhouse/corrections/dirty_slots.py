"""Slots whose rollups may include voided events: events are materialized as they came, and some were voided later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from ....domain.slot import slot_at
from ..engine.engine import Engine
from ..engine.instants import instant
from ..engine.statement import SlotOf
from .correction_queries import CORRECTED_TIMES

DirtySlotsOf = tuple[str, str, list[int]]
"""A namespace, an organization, and its dirty slots."""
Corrected = tuple[str, str, datetime]
"""The namespace, the organization and the time of an event that was voided or restored."""


class DirtySlots:
    """Holds, for each organization, the slots with events that were ever voided. Readers take such slots from the
    events. There may be too many dirty slots, and never too few."""

    def __init__(self, engine: Engine, dirty: Iterable[DirtySlotsOf], commit: int):
        """`dirty` are those of the events up to a commit; later ones are read from the engine."""
        self._slots = {(namespace, organization): tuple(slots) for namespace, organization, slots in dirty}
        for namespace, organization, times in engine.rows(CORRECTED_TIMES, {"commit": commit}):
            self.add((namespace, organization, instant(time)) for time in times)

    def add(self, corrected: Iterable[Corrected]) -> None:
        """Adds the slots of corrected events. Call it before readers can see the correction."""
        found: Mapping[tuple[str, str], set[int]] = defaultdict(set)
        for namespace, organization, time in corrected:
            found[namespace, organization].add(slot_at(time))
        for place, slots in found.items():
            self._slots[place] = tuple(sorted(slots.union(self._slots.get(place, ()))))

    def all(self) -> list[DirtySlotsOf]:
        """The dirty slots of every organization."""
        return [(namespace, organization, list(slots)) for (namespace, organization), slots in self._slots.items()]

    def of(self, namespace: str, organization: str) -> tuple[int, ...]:
        """The organization's dirty slots, ascending."""
        return self._slots.get((namespace, organization), ())

    def of_namespace(self, namespace: str) -> list[SlotOf]:
        """The dirty slots of a namespace, each with its organization."""
        found = [(place[1], slots) for place, slots in [*self._slots.items()] if place[0] == namespace]
        return [(organization, slot) for organization, slots in found for slot in slots]
