"""What the statements that read rollups have in common: rows of whole slots and days."""

from __future__ import annotations

from collections.abc import Sequence

from ....domain.meter import BY_ORGANIZATION, MeterQuery
from ....domain.slot import SLOTS_PER_DAY
from ..engine.statement import FIRST_MICROS, SLOT_MICROS, SlotOf
from ..rollups.definition import RollupDefinition, SlotRange
from .measure_queries import MeterStatement


class SlotStatement(MeterStatement):
    """A statement that reads whole slots from the rollups."""

    def __init__(self, query: MeterQuery, *, one_window: bool = False, corrected: bool = False):
        super().__init__(query, one_window=one_window or len(query.edges) == 2, corrected=corrected)

    def _rows_of(self, definitions: Sequence[RollupDefinition]) -> str:
        ids = self._parameter("Array(UInt64)", [each.id for each in definitions])
        return " AND ".join([f"series IN {ids}", *(self._of_organization() or ["organization != ''"])])

    def _in_slot_ranges(self, slot_ranges: Sequence[SlotRange], apart: Sequence[SlotOf] = ()) -> str:
        """The rows of the slot ranges, without the slots that are read from the events for one organization each."""
        if not apart:
            return " OR ".join(f"(width = {each.width} AND {self._from_to('slot', each)})" for each in slot_ranges)
        days = [(organization, slot - slot % SLOTS_PER_DAY) for organization, slot in apart]
        clean = f"width = 1 AND (organization, slot) NOT IN {self._slot_pairs(apart)}"
        in_day_apart = f"IN {self._slot_pairs(list(dict.fromkeys(days)))}"
        conditions = []
        for each in slot_ranges:
            inside = self._from_to("slot", each)
            if each.width == 1:
                conditions.append(f"({clean} AND {inside})")
                continue
            conditions.append(f"(width = {each.width} AND {inside} AND (organization, slot) NOT {in_day_apart})")
            day = f"toUInt32(slot - slot % {SLOTS_PER_DAY})"
            conditions.append(f"({clean} AND {inside} AND (organization, {day}) {in_day_apart})")
        return " OR ".join(conditions)

    def _key(self, path: str) -> str:
        """The column that has the text of a group."""
        return "organization" if path == BY_ORGANIZATION else "key"

    def _whole(self, slot: str, slot_ranges: Sequence[SlotRange]) -> str:
        """Whether a slot is one of those that are read, alone or in a day."""
        return " OR ".join(f"({self._from_to(slot, each)})" for each in slot_ranges) or "0"

    def _from_to(self, column: str, slot_range: SlotRange) -> str:
        start, end = (self._parameter("UInt32", slot) for slot in (slot_range.start, slot_range.end))
        return f"{column} >= {start} AND {column} < {end}"

    def _window_of(self, slot: str) -> str:
        return self._window(f"(toInt64({slot}) * {SLOT_MICROS} + {FIRST_MICROS})")
