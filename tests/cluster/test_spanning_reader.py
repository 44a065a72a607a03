"""Several shards answer what one store with all of their events would: the slow reference says the same of both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cluster.histories import (
    INSTANTS,
    METERS,
    NOON,
    ORGANIZATIONS,
    SINGLE,
    STORED,
    Batch,
    History,
    batches,
    event,
    questions,
)
from meterhouse.cluster import spanning_reader
from meterhouse.cluster.spanning_reader import SpanningReader
from meterhouse.domain.errors import Invalid, TooManyGroups
from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, Measure, MeterQuery
from meterhouse.domain.partial_aggregate import value_of
from meterhouse.domain.shards import ShardMap
from meterhouse.ports.aggregate_reader import AggregateReader
from support.depth import by_depth
from support.different_values import hold_different_values
from support.reference import ReferenceStore
from support.stores import open_store

COUNT, _, _, MOST, _, NEWEST, UNIQUE, *_ = SINGLE
RANKED = ("COUNT", "SUM", "MIN", "MAX", "UNIQUE_COUNT")
SHARDS = st.integers(1, 4).map(ShardMap.even)
KNOWN_AT = st.none() | INSTANTS


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as executor:
        yield executor


@settings(max_examples=by_depth(120, 400, 4_000), deadline=None)
@given(made=batches(), shards=SHARDS, instant=KNOWN_AT, data=st.data())
def test_answers_what_one_store_answers(
    threads: ThreadPoolExecutor, made: list[Batch], shards: ShardMap, instant: datetime | None, data: st.DataObject
) -> None:
    history = History(made, shards)
    spanning, one = history.spanning(instant, threads), history.one_after_the_other(instant)
    came = history.as_they_came()
    for _ in range(4):
        query = data.draw(questions())
        ask(spanning, one, query)
        ask_for_few(spanning, one, query)
        timeless = [meter for meter in query.meters if meter.aggregation is not Aggregation.LATEST]
        if timeless:  # nothing else depends on the order in which shards have stored what is of the same time
            asked = replace(query, meters=tuple(timeless))
            known = replace(asked, as_of_commit=came.latest_commit() if instant is None else came.commit_at(instant))
            assert in_order(spanning.measure(asked)) == in_order(came.measure(known)), asked


@settings(
    max_examples=by_depth(6, 20, 200), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(made=batches(), instant=KNOWN_AT, data=st.data())
def test_a_shard_on_an_engine_beside_others_answers_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    threads: ThreadPoolExecutor,
    made: list[Batch],
    instant: datetime | None,
    data: st.DataObject,
) -> None:
    store = open_store(tmp_path_factory.mktemp("shard"), {"ns": METERS})
    try:
        history = History(made, ShardMap.even(2), [store])
        while data.draw(st.booleans()) and store.materialize(store.latest_commit()):
            pass
        spanning, one = history.spanning(instant, threads), history.one_after_the_other(instant)
        for _ in range(6):
            ask(spanning, one, data.draw(questions()))
    finally:
        store.close()


def ask(spanning: SpanningReader, one: ReferenceStore, query: MeterQuery) -> None:
    known = replace(query, as_of_commit=one.latest_commit())
    expected = in_order(one.measure(known))
    assert in_order(spanning.measure(query)) == expected, query
    mergeable = tuple(meter for meter in query.meters if meter.aggregation is not Aggregation.UNIQUE_COUNT)
    if mergeable:
        asked = replace(query, meters=mergeable)
        parts, whole = spanning.partials(asked), one.partials(replace(known, meters=mergeable))
        values, expected_values = (
            {key: value_of(mergeable[key[0]].aggregation, part) for key, part in each.items()}
            for each in (parts, whole)
        )
        assert values == expected_values, asked
        means = [key for key in parts if mergeable[key[0]].aggregation is Aggregation.AVG]
        assert [parts[key] for key in means] == [whole[key] for key in means], "to be merged again"
    first = query.meters[0]
    if query.group_by and first.aggregation in RANKED:
        asked = replace(query, meters=(first,), edges=(query.edges[0], query.edges[-1]))
        for count in (1, 3, 20):
            assert spanning.rank(asked, count) == one.rank(replace(asked, as_of_commit=known.as_of_commit), count)


def ask_for_few(spanning: SpanningReader, one: ReferenceStore, query: MeterQuery) -> None:
    """Bounds hold of what the shards have together."""
    hold_different_values(spanning, AsOfLatest(one), query)
    groups = len({each.group for each in spanning.measure(query)})
    assert len(spanning.measure(replace(query, most_groups=groups))) == len(spanning.measure(query))
    if groups:
        with pytest.raises(TooManyGroups):
            spanning.measure(replace(query, most_groups=groups - 1))
    if query.meters[0].aggregation in (Aggregation.COUNT, Aggregation.LATEST):
        asked = replace(query, meters=query.meters[:1])
        groups = len({group for _, group, _ in spanning.partials(asked)})
        assert spanning.partials(replace(asked, most_groups=groups)) == spanning.partials(asked)
        if groups:
            with pytest.raises(TooManyGroups):
                spanning.partials(replace(asked, most_groups=groups - 1))


class AsOfLatest:
    """Has every event of a store, whatever is asked as of."""

    def __init__(self, store: ReferenceStore):
        self.store = store

    def __getattr__(self, name: str) -> object:
        method, commit = getattr(self.store, name), self.store.latest_commit()
        return lambda query, *others: method(replace(query, as_of_commit=commit), *others)


def in_order(measures: list[Measure]) -> list[Measure]:
    return sorted(measures, key=lambda measure: (measure.meter, measure.window, measure.group, measure.state))


def query(meter: object, *by: str, **changes: object) -> MeterQuery:
    return MeterQuery("ns", None, (meter,), (None, None), 0, by, **changes)  # type: ignore[arg-type]


def three_shards(*data: list[dict[str, object]]) -> tuple[History, list[str]]:
    """Three shards with one organization each, its events in a commit each, all of the same time."""
    shards = ShardMap.even(3)
    lives = {shards.shard_of("ns", each): each for each in ORGANIZATIONS}
    events = [event(NOON, each, lives[shard]) for shard, every in enumerate(data) for each in every]
    return History([([each], STORED) for each in events], shards), [lives[shard] for shard in range(3)]


@pytest.mark.parametrize("by", [(), ("group",)])
def test_of_the_same_time_the_greatest_shard_has_the_latest(threads: ThreadPoolExecutor, by: tuple[str, ...]) -> None:
    """Though others have stored more since, and later."""
    history, _ = three_shards([{"n": 9}] * 5, [{"n": 1}, {"n": 2}], [])
    spanning = history.spanning(None, threads)
    assert [each.value for each in spanning.measure(query(NEWEST, *by))] == [2]


def test_of_groups_that_are_merged_the_greatest_shard_has_the_latest(threads: ThreadPoolExecutor) -> None:
    history, _ = three_shards([{"n": 9, "group": "a"}] * 5, [{"n": 2, "group": "b"}], [{"n": 3, "group": "c"}])
    partials = history.spanning(None, threads).partials(query(NEWEST, BY_ORGANIZATION))
    assert value_of(Aggregation.LATEST, max(partials.values(), key=lambda each: each.number)) == 3


def test_a_value_of_several_shards_counts_once(threads: ThreadPoolExecutor) -> None:
    history, homes = three_shards([{"name": "x"}, {"name": "y"}], [{"name": "x"}], [{"name": "z"}])
    spanning = history.spanning(None, threads)
    assert [each.value for each in spanning.measure(query(UNIQUE))] == [3]
    by_organization = {each.group[0]: each.value for each in spanning.measure(query(UNIQUE, BY_ORGANIZATION))}
    assert by_organization == dict(zip(homes, (2, 1, 1), strict=True))


def test_the_largest_groups_of_all_are_not_the_largest_of_any(threads: ThreadPoolExecutor) -> None:
    first = [{"group": "a"}] * 3 + [{"group": "both"}] * 2
    second = [{"group": "b"}] * 3 + [{"group": "both"}] * 2
    history, _ = three_shards(first, second, [{"group": "c"}])
    ranking = history.spanning(None, threads).rank(query(COUNT, "group"), 2)
    assert (ranking.groups, ranking.of, ranking.totals) == ((("both",), ("a",)), 4, (4, 3))


def test_too_many_groups_to_merge_are_refused_and_groups_by_organization_are_not(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, _ = three_shards([{"group": "a", "n": 1}], [{"group": "b", "n": 2}], [{"group": "c", "n": 3}])
    spanning = history.spanning(None, threads)
    monkeypatch.setattr(spanning_reader, "MOST_RANKED_GROUPS", 2)
    with pytest.raises(Invalid, match="narrow from and to, filter") as refused:
        spanning.rank(query(MOST, "group"), 1)
    assert not isinstance(refused.value, TooManyGroups), "which asks for a ranking"
    assert spanning.rank(query(MOST, "group", BY_ORGANIZATION), 3).totals == (3, 2, 1)
    monkeypatch.setattr(spanning_reader, "MOST_RANKED_GROUPS", 3)
    assert spanning.rank(query(MOST, "group"), 1).groups == (("c",),)


def test_too_many_values_to_unite_are_refused(threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    history, _ = three_shards([{"name": "x"}], [{"name": "y"}], [{"name": "z"}])
    spanning = history.spanning(None, threads)
    monkeypatch.setattr(spanning_reader, "MOST_UNITED_VALUES", 2)
    with pytest.raises(Invalid, match="more than 2 different values"):
        spanning.measure(query(UNIQUE))
    assert len(spanning.measure(query(UNIQUE, BY_ORGANIZATION))) == 3, "counted where they are"


def test_shards_are_asked_at_the_same_time(threads: ThreadPoolExecutor) -> None:
    meeting = threading.Barrier(3, timeout=60)

    class Waiting(ReferenceStore):
        def partials(self, asked: MeterQuery) -> object:
            meeting.wait()
            return super().partials(asked)

    shards: list[tuple[AggregateReader, int]] = [(Waiting(), 0) for _ in range(3)]
    assert SpanningReader(shards, threads).measure(query(COUNT)) == []


def test_a_shard_that_fails_fails_the_answer(threads: ThreadPoolExecutor) -> None:
    class Failing(ReferenceStore):
        def partials(self, _asked: MeterQuery) -> object:
            raise OSError("told to fail")

    shards: list[tuple[AggregateReader, int]] = [(ReferenceStore(), 0), (Failing(), 0)]
    with pytest.raises(OSError, match="told to fail"):
        SpanningReader(shards, threads).measure(query(COUNT))


def test_a_mean_is_that_of_all_events(threads: ThreadPoolExecutor) -> None:
    history, _ = three_shards([{"n": 1}], [{"n": 4}, {"n": 4}], [{"n": "0.1"}])
    [mean] = history.spanning(None, threads).measure(query(SINGLE[4]))
    assert mean.value == Decimal("2.275")
