"""Usage queries over several shards are answered as over one store that has all of their events."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.histories import HOUR, INSTANTS, METERS, NOON, ORGANIZATIONS, Batch, History, batches
from meterhouse.domain.catalog import Catalog
from meterhouse.domain.errors import NotYet
from meterhouse.domain.position import Position, format_position
from meterhouse.domain.shards import ShardMap
from meterhouse.domain.usage_query import Compare, UsageQuery, Window
from meterhouse.ports.snapshots import Snapshot, Snapshots
from meterhouse.services import usage_parts, usage_queries
from meterhouse.services.catalogs import BaseCatalog, Catalogs
from meterhouse.services.snapshots import LocalSnapshots
from meterhouse.services.usage_queries import UsageQueries
from support.depth import by_depth

CATALOG = Catalog("ns", None, {meter.slug: meter for meter in METERS}, {})


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@dataclass
class Clock:
    def now(self) -> datetime:
        return datetime(2026, 4, 1, tzinfo=UTC)


@dataclass
class SpanningSnapshots:
    """Takes snapshots of all shards of a history."""

    history: History
    threads: ThreadPoolExecutor

    def snapshot(self, _namespace: str, _organizations: tuple[str, ...], as_of: datetime | None, /) -> Snapshot:
        position = dict(enumerate(self.history.commits(as_of)))
        return Snapshot(self.history.spanning(as_of, self.threads), 0, format_position(position), ())

    def reached(self, position: Position, /) -> bool:
        return all(self.history.commits(None)[shard] >= commit for shard, commit in position.items())


def queries_over(snapshots: Snapshots) -> UsageQueries:
    return UsageQueries(snapshots, None, None, Catalogs([BaseCatalog(CATALOG, "")]), Clock())  # type: ignore[arg-type]


@st.composite
def questions(draw: st.DrawFn) -> tuple[UsageQuery, tuple[str, ...]]:
    window = draw(st.sampled_from([Window.NONE, Window.HOUR, Window.DAY]))
    start = NOON + draw(st.integers(-3, 1)) * HOUR
    timeless = window is Window.NONE and draw(st.booleans())
    asked = [meter.slug for meter in METERS if timeless or not meter.timeless]
    texts = st.lists(st.sampled_from(["", "a", "b"]), min_size=1, max_size=2, unique=True).map(tuple)
    query = UsageQuery(
        meters=tuple(draw(st.lists(st.sampled_from(asked), min_size=1, max_size=4, unique=True))),
        start=start,
        end=start + draw(st.integers(1, 6)) * HOUR,
        window=window,
        timezone=draw(st.sampled_from(["UTC", "America/New_York", "Asia/Kathmandu"])),
        group_by=draw(
            st.sampled_from([(), ("group",), ("group",), ("organization",), ("group", "organization")]),
        ),
        filters=draw(st.just(()) | st.tuples(st.tuples(st.just("group"), texts))),
        top=draw(st.sampled_from([1, 2, 20])),
        compare=None if timeless else draw(st.sampled_from([None, Compare.PREVIOUS])),
        as_of=draw(st.none() | INSTANTS),
    )
    some = st.lists(st.sampled_from(ORGANIZATIONS), min_size=1, max_size=4, unique=True).map(tuple)
    return query, draw(st.just(()) | some)


@settings(max_examples=by_depth(100, 300, 3_000), deadline=None)
@given(made=batches(), shards=st.integers(1, 4).map(ShardMap.even), asked=st.lists(questions(), min_size=3, max_size=3))
@pytest.mark.parametrize("few_cells", [True, False])
def test_answers_are_those_of_one_store(
    threads: ThreadPoolExecutor, few_cells: bool, made: list[Batch], shards: ShardMap, asked: list[Any]
) -> None:
    history = History(made, shards)
    with pytest.MonkeyPatch.context() as patch:
        if not few_cells:  # shards rank, and each part is asked for
            patch.setattr(usage_parts, "_MOST_CELLS", 1)
        for query, organizations in asked:
            one = LocalSnapshots(history.one_after_the_other(query.as_of))  # type: ignore[arg-type]
            answer = queries_over(SpanningSnapshots(history, threads)).answer(query, "ns", organizations)
            expected = queries_over(one).answer(query, "ns", organizations)
            assert answer == replace(expected, position=answer.position)
            assert answer.position == format_position(dict(enumerate(history.commits(query.as_of))))


def test_a_position_of_several_shards_is_waited_for(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_queries, "_WAIT_SECONDS", 1)
    history = History([], ShardMap.even(2))
    queries = queries_over(SpanningSnapshots(history, threads))
    asked = UsageQuery(("count",), start=NOON, end=NOON + timedelta(days=1))
    position = queries.answer(asked, "ns", ()).position
    assert position == "0-0.1-0"
    assert queries.answer(replace(asked, at_least=position), "ns", ()).position == position
    with pytest.raises(NotYet, match=r"0-0\.1-1"):
        queries.answer(replace(asked, at_least="0-0.1-1"), "ns", ())
