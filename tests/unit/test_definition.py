"""Cutting windows into whole slots, whole days and pieces: every instant is in exactly one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery
from meterhouse.domain.period import FIRST_INSTANT
from meterhouse.domain.slot import SLOT, SLOTS_PER_DAY, slot_at
from meterhouse.storage.clickhouse.rollups.definition import (
    OPEN_END,
    Kind,
    SlotRange,
    all_definitions,
    definitions_for,
    definitions_of,
    plan_read,
)

MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)
INSTANTS = st.one_of(
    st.integers(-300, 300).map(lambda quarters: MIDNIGHT + quarters * SLOT),
    st.integers(-(10**11), 10**11).map(lambda micros: MIDNIGHT + timedelta(microseconds=micros)),
)
EDGES = st.lists(INSTANTS, min_size=2, max_size=8, unique=True).map(sorted)


@given(
    edges=EDGES,
    opens=st.tuples(st.booleans(), st.booleans()),
    probes=st.lists(INSTANTS, min_size=5),
    masked=st.sets(INSTANTS.map(slot_at), max_size=5).map(sorted),
)
def test_every_instant_is_read_once(
    edges: list[datetime], opens: tuple[bool, bool], probes: list[datetime], masked: list[int]
) -> None:
    sides: list[datetime | None] = [*edges]
    sides[0], sides[-1] = (None if opens[0] else edges[0]), (None if opens[1] else edges[-1])
    plan = plan_read(sides, masked)
    lines = [FIRST_INSTANT + (slot + after) * SLOT for slot in masked for after in (0, 1)]
    for instant in [*probes, *edges, *lines, *(line - timedelta(microseconds=1) for line in [*edges, *lines])]:
        inside = (opens[0] or edges[0] <= instant) and (opens[1] or instant < edges[-1])
        slots = [each for each in plan.slot_ranges if each.start <= slot_at(instant) < each.end]
        cuts = [piece for piece in plan.raw_ranges if piece[0] <= instant < piece[1]]
        assert len(slots) + len(cuts) == inside, (instant, plan)
        assert not (slots and slot_at(instant) in masked)


@given(edges=EDGES)
def test_a_slot_lies_in_one_window_and_a_day_is_whole(edges: list[datetime]) -> None:
    for segment in plan_read(edges).slot_ranges:
        assert segment.width in (1, SLOTS_PER_DAY)
        assert segment.start % segment.width == segment.end % segment.width == 0
        for slot in range(segment.start, segment.end, segment.width):
            begin = FIRST_INSTANT + slot * SLOT
            assert not any(begin < edge < begin + segment.width * SLOT for edge in edges)


def test_all_time_is_whole_days() -> None:
    assert plan_read((None, None)).slot_ranges == (SlotRange(SLOTS_PER_DAY, 0, OPEN_END),)
    assert plan_read((None, None)).raw_ranges == ()


def test_a_series_is_its_definition() -> None:
    calls = Meter("calls", "call", Aggregation.COUNT)
    renamed = Meter("requests", "call", Aggregation.COUNT, description="the same thing")
    assert definitions_of("ns", calls) == definitions_of("ns", renamed)
    assert definitions_of("ns", calls)[0].id == definitions_of("ns", renamed)[0].id
    others = [Meter("calls", "other", Aggregation.COUNT), Meter("calls", "call", Aggregation.SUM, values=("n",))]
    ids = {series.id for meter in (calls, *others) for series in definitions_of("ns", meter)}
    assert len(ids | {series.id for series in definitions_of("other", calls)}) == 4


def test_the_meters_of_a_catalog_share_what_they_have_in_common() -> None:
    meters = [
        Meter("a", "call", Aggregation.SUM, values=("n",), group_by=("model",)),
        Meter("b", "call", Aggregation.AVG, values=("n",)),
        Meter("c", "call", Aggregation.SUM, values=("n", "m")),
    ]
    found = all_definitions({"ns": meters})
    assert [(each.kind, each.value, each.needed, each.group) for each in found] == [
        (Kind.FIRST, "", (), ""),
        (Kind.SUM, "n", ("n",), ""),
        (Kind.SUM, "n", ("n",), "model"),
        (Kind.SUM, "n", ("n", "m"), ""),
        (Kind.SUM, "m", ("n", "m"), ""),
    ]


def test_what_no_series_holds_is_not_rolled_up() -> None:
    unique = Meter("u", "call", Aggregation.UNIQUE_COUNT, values=("user",), group_by=("model",))
    count = Meter("c", "call", Aggregation.COUNT, group_by=("model",))

    def series(
        meter: Meter, group_by: tuple[str, ...] = (), filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    ) -> int:
        return len(definitions_for(MeterQuery("ns", "acme", (meter,), (None, None), 1, group_by, filters), 0))

    assert (
        series(count) == series(count, ("model",)) == series(count, (), (("model", ("x", "y")),)) == series(unique) == 1
    )
    assert series(count, ("model", BY_ORGANIZATION), (("model", ("x",)),)) == series(unique, (BY_ORGANIZATION,)) == 1
    assert series(count, ("other",)) == series(count, ("model", "other")) == series(unique, ("model",)) == 0
