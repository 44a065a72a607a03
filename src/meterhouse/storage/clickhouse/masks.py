"""Where rollups do not tell the truth: events are folded as they came, and some were voided later."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from .engine import Engine
from .identity_filter import Mask
from .queries import CORRECTED_TIMES, instant
from .series import slot_at

Corrected = tuple[str, str, datetime]
"""The namespace, the organization and the time of an event that was voided or restored."""


class Masks:
    """For each organization the slots that have events which were ever voided. Reading such a slot from the events
    instead of rollups is never wrong, so that there may be too many of them, but never too few."""

    def __init__(self, engine: Engine, masks: Iterable[Mask], commit: int):
        """`masks` are those of the events up to a commit."""
        self._slots = {(namespace, organization): tuple(slots) for namespace, organization, slots in masks}
        for namespace, organization, times in engine.rows(CORRECTED_TIMES, {"commit": commit}):
            self.add((namespace, organization, instant(time)) for time in times)

    def add(self, corrected: Iterable[Corrected]) -> None:
        """To be told before what corrects them can be seen."""
        found: Mapping[tuple[str, str], set[int]] = defaultdict(set)
        for namespace, organization, time in corrected:
            found[namespace, organization].add(slot_at(time))
        for place, slots in found.items():
            self._slots[place] = tuple(sorted(slots.union(self._slots.get(place, ()))))

    def all(self) -> list[Mask]:
        """All of them."""
        return [(namespace, organization, list(slots)) for (namespace, organization), slots in self._slots.items()]

    def of(self, namespace: str, organization: str) -> tuple[int, ...]:
        """The masked slots, ascending."""
        return self._slots.get((namespace, organization), ())
