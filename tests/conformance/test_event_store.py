"""The `EventStore` port: the real engine against the slow and obvious reference."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.meter import Aggregation, Measure, Meter, MeterQuery, StateWindow
from meterhouse.storage.clickhouse.engine.engine import EngineError
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.different_values import hold_different_values
from support.engines import StoreEngine
from support.reference import ReferenceStore
from support.stores import failing_disk, open_on, open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
AWKWARD = [
    "",
    "a",
    "A",
    "it's",
    'say "x"',
    "back\\slash",
    "tab\there",
    "line\nbreak",
    "{p0:String}",
    "ünï",
    "🪙",
    "%s",
    "\\N",
]


def event(event_id: str, data: Any, *, at: datetime = T0, event_type: str = "thing", org: str = "acme") -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": "test", "type": event_type, "subject": "o", "data": data}
    raw["time"] = at.isoformat()
    # What is stored may be of earlier versions, which took control characters.
    return msgspec.structs.replace(parse_event(json.dumps(raw).encode(), "ns", {}, NOW), organization=org)


@pytest.fixture(scope="module")
def engine_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("engine")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseEventStore]:
    store = open_store(tmp_path)
    yield store
    store.close()


def total(store: ClickHouseEventStore, meter: Meter, **query: Any) -> list[Measure]:
    question = {"edges": (None, None), "as_of_commit": store.latest_commit(), **query}
    return store.measure(MeterQuery("ns", "acme", (meter,), **question))


COUNT = Meter("count", "thing", Aggregation.COUNT)
SUM = Meter("sum", "thing", Aggregation.SUM, values=("n",))


class TestAppend:
    def test_counts_an_identity_once_in_a_batch_across_batches_and_after_a_restart(self, tmp_path: Path) -> None:
        store = open_store(tmp_path)
        first, other_time = event("1", {"n": 1}), event("1", {"n": 1}, at=T0 + timedelta(days=40))
        assert store.append([first, other_time], NOW) == [Outcome.INGESTED, Outcome.DUPLICATE]
        assert store.append([other_time], NOW) == [Outcome.DUPLICATE]
        store.close()
        store = open_store(tmp_path)
        assert store.append([first, event("2", {"n": 1})], NOW) == [Outcome.DUPLICATE, Outcome.INGESTED]
        assert total(store, COUNT) == [Measure(0, Decimal(2))]
        store.close()

    def test_the_same_object_twice_is_one_event(self, store: ClickHouseEventStore) -> None:
        one = event("1", {"n": 1})
        assert store.append([one, one], NOW) == [Outcome.INGESTED, Outcome.DUPLICATE]
        assert store.append([one], NOW) == [Outcome.DUPLICATE]
        assert store.count() == 1

    def test_reports_other_content_and_keeps_the_first(self, store: ClickHouseEventStore) -> None:
        assert store.append([event("1", {"n": 1}), event("1", {"n": 2})], NOW)[1] is Outcome.CONFLICT
        assert store.append([event("1", {"n": 1}, org="other")], NOW) == [Outcome.INGESTED]
        assert store.append([event("1", {"n": 1.0})], NOW) == [Outcome.DUPLICATE]
        assert total(store, SUM) == [Measure(0, Decimal(1))]

    def test_an_identity_is_namespace_organization_source_and_id_together(self, store: ClickHouseEventStore) -> None:
        names = [("a", "b", "c", "o"), ("a", "bc", "", "o"), ("ab", "", "c", "o"), ("a", "b c", "d", "o")]
        names += [("a b", "c", "d", "o"), ("a", "b", "c", "p"), ("a", "b", "co", ""), ("a", "ob", "c", "")]
        events = [Event(ns, source, eid, "thing", org, T0, b"{}", {}) for ns, source, eid, org in names]
        assert store.append(events, NOW) == [Outcome.INGESTED] * len(names)

    def test_parallel_appends_of_one_event_store_it_once(self, store: ClickHouseEventStore) -> None:
        outcomes: list[Outcome] = []
        threads = [
            threading.Thread(target=lambda: outcomes.extend(store.append([event("1", {"n": 1})], NOW)))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == [Outcome.DUPLICATE] * 15 + [Outcome.INGESTED]

    def test_repeating_a_failed_append_is_safe(self, tmp_path: Path) -> None:
        """The insert reaches the disk and then reports a failure: the retry must find it."""

        class FailsAfterInsert(StoreEngine):
            broken = True

            def insert(self, table: str, block: bytes, token: str = "") -> None:
                super().insert(table, block, token)
                if self.broken:
                    self.broken = False
                    raise EngineError("fsync failed")

        store, _ = open_on(tmp_path, FailsAfterInsert)
        with failing_disk(), pytest.raises(EngineError):
            store.append([event("1", {"n": 1})], NOW)
        assert total(store, COUNT) == []  # what is refused is not counted
        assert store.append([event("1", {"n": 1})], NOW) == [Outcome.INGESTED]
        with pytest.raises(EngineError):
            store.count()
        assert store.append([event("1", {"n": 1})], NOW) == [Outcome.DUPLICATE]
        assert total(store, COUNT) == [Measure(0, Decimal(1))]  # what is called a duplicate is counted
        assert store.append([event("1", {"n": 1}), event("2", {"n": 1})], NOW) == [Outcome.DUPLICATE, Outcome.INGESTED]
        assert total(store, COUNT) == [Measure(0, Decimal(2))]
        store.close()

    def test_a_large_append_is_one_part(self, tmp_path: Path) -> None:
        store, engine = open_on(tmp_path, StoreEngine)
        months = [event(str(n), {"n": n, "pad": "x" * 200}, at=T0 + timedelta(days=n % 300)) for n in range(20_000)]
        store.append(months, NOW)
        parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active"
        assert store.count() == 20_000
        assert engine.rows(parts, {}) == [[1]]
        store.close()

    def test_commit_numbers_grow_over_restarts(self, tmp_path: Path) -> None:
        seen = []
        for number in range(3):
            store = open_store(tmp_path)
            seen.append(store.latest_commit())
            store.append([event(str(number), {})], NOW)
            seen.append(store.latest_commit())
            store.close()
        assert seen == [0, 1, 1, 2, 2, 3]


def test_what_was_stored_later_is_left_out_of_an_earlier_commit(store: ClickHouseEventStore) -> None:
    store.append([event("1", {"n": 1})], NOW)
    commit = store.latest_commit()
    store.append([event("2", {"n": 5})], NOW)
    assert total(store, SUM, as_of_commit=commit) == [Measure(0, Decimal(1))]
    assert total(store, SUM) == [Measure(0, Decimal(6))]


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_of_events_at_one_instant_the_last_stored_is_the_latest(
    tmp_path: Path, order: tuple[int, ...], merged: bool
) -> None:
    store, engine = open_on(tmp_path, StoreEngine)
    first, second, third = (event(f"e{n}", {"n": n, "job": "j", "state": f"s{n}"}) for n in order)
    store.append([first, second], NOW)
    latest = Meter("latest", "thing", Aggregation.LATEST, values=("n",))
    states = Meter("states", "thing", Aggregation.STATE_COUNT, entity="job", state="state")
    assert total(store, latest) == [Measure(0, Decimal(order[1]))]
    store.append([third], NOW)
    assert store.count() == 3
    if merged:
        engine.execute("OPTIMIZE TABLE events FINAL")
    assert total(store, latest) == [Measure(0, Decimal(order[2]))]
    assert total(store, states) == [Measure(0, Decimal(1), state=f"s{order[2]}")]
    store.close()


def test_an_entity_is_grouped_by_what_its_events_said_last(store: ClickHouseEventStore) -> None:
    meter = Meter("posts", "thing", Aggregation.STATE_COUNT, entity="post", state="state")
    told = [("p1", "draft", "api"), ("p1", "draft", "cli"), ("p1", "published", None), ("p2", "draft", None)]
    events = [
        event(
            f"{number}", {"post": post, "state": state, **({"source": source} if source else {})}, at=T0 + HOUR * number
        )
        for number, (post, state, source) in enumerate(told)
    ]
    store.append(events, NOW)
    assert in_order(total(store, meter, group_by=("source",))) == [
        Measure(0, Decimal(1), ("",), "draft"),
        Measure(0, Decimal(1), ("cli",), "published"),
    ]


@pytest.mark.parametrize(
    "moment",
    ["1900-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "2261-12-31T23:59:59.999999Z"],
)
def test_any_instant_comes_back_to_the_microsecond(store: ClickHouseEventStore, moment: str) -> None:
    at = datetime.fromisoformat(moment)
    store.append([event("1", {"n": 1}, at=at)], NOW)
    assert store.first_event_at("ns", "acme") == at
    microsecond = timedelta(microseconds=1)
    if at.year > 1900:
        assert total(store, COUNT, edges=(at, at + microsecond)) == [Measure(0, Decimal(1))]
        assert total(store, COUNT, edges=(at - microsecond, at)) == []


def test_sums_are_exact_to_the_last_of_76_digits(store: ClickHouseEventStore) -> None:
    numbers = ["9" * 38, "0.1", "0.2", "-" + "9" * 38, "1e-28", "12345678901234567890.123456789", "9" * 38, "9" * 38]
    store.append([event(str(n), {"n": number}) for n, number in enumerate(numbers)], NOW)
    [measure] = total(store, SUM)
    assert measure.value == Decimal("200000000000000000012345678901234567888.4234567890000000000000000001")


@pytest.mark.parametrize("text", AWKWARD[1:])
def test_any_text_is_data_and_never_sql(store: ClickHouseEventStore, text: str) -> None:
    store.append([event("1", {text: text, "n": 1}, org=text), event("2", {"n": 2}, org="acme")], NOW)
    unique = Meter("u", "thing", Aggregation.UNIQUE_COUNT, values=(text,))
    query = MeterQuery("ns", text, (unique,), (None, None), 1, group_by=(text,), filters=((text, (text,)),))
    assert store.measure(query) == [Measure(0, Decimal(1), (text,))]
    assert store.first_event_at("ns", text) == T0
    assert store.first_event_at("ns", text + "x") is None


# Small vocabularies make collisions, ties and duplicates frequent.
TEXTS = st.sampled_from(AWKWARD)
NUMBERS = st.one_of(
    st.integers(-5, 5), st.sampled_from(["0.1", "-0.25", "1e3", "9" * 38, "1e-28", "007", "x"]), st.just(True)
)
MOMENTS = st.integers(-3, 12).map(lambda n: T0 + timedelta(hours=n, microseconds=n % 2))
DATA = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERS,
        "m": NUMBERS,
        "who": TEXTS | st.integers(0, 2),
        "state": st.sampled_from(["on", "off", ""]),
        "user": st.fixed_dictionaries({"id": TEXTS}) | st.none(),
    },
)
EVENTS = st.builds(
    lambda number, data, at, kind, org: event(f"e{number}", data, at=at, event_type=kind, org=org),
    st.integers(0, 30),
    DATA,
    MOMENTS,
    st.sampled_from(["thing", "other"]),
    st.sampled_from(["acme", "it's"]),
)
EVENT_METERS = st.one_of(
    st.just(COUNT),
    st.just(Meter("others", "other", Aggregation.COUNT)),
    st.just(Meter("other sum", "other", Aggregation.SUM, values=("m",))),
    st.builds(
        lambda how, optional: Meter("m", "thing", how, values=("n",), optional=optional),
        st.sampled_from([a for a in Aggregation if a.numeric]),
        st.booleans(),
    ),
    st.builds(lambda opt: Meter("two", "thing", Aggregation.SUM, values=("n", "m"), optional=opt), st.booleans()),
    st.builds(
        lambda path: Meter("u", "thing", Aggregation.UNIQUE_COUNT, values=(path,)), st.sampled_from(["who", "user.id"])
    ),
)
METERS = st.one_of(
    st.lists(EVENT_METERS, min_size=1, max_size=4).map(tuple),
    st.just((Meter("s", "thing", Aggregation.STATE_COUNT, entity="who", state="state"),)),
)
EDGES = st.lists(MOMENTS, min_size=2, max_size=5).map(sorted)
OPEN = st.tuples(st.booleans(), st.booleans())


@st.composite
def queries(draw: st.DrawFn, commits: int) -> MeterQuery:
    edges: list[datetime | None] = [*draw(EDGES)]
    open_start, open_end = draw(OPEN)
    edges[0] = None if open_start else edges[0]
    edges[-1] = None if open_end else edges[-1]
    return MeterQuery(
        namespace="ns",
        organization=draw(st.sampled_from(["acme", "it's", "nobody"])),
        meters=draw(METERS),
        edges=tuple(edges),
        as_of_commit=draw(st.integers(0, commits)),
        group_by=tuple(draw(st.lists(st.sampled_from(["who", "user.id", "state"]), max_size=2, unique=True))),
        filters=tuple(draw(st.lists(st.tuples(st.just("who"), st.tuples(TEXTS)), max_size=1))),
        state_window=draw(st.none() | st.sampled_from(StateWindow)),
    )


@settings(
    max_examples=by_depth(14, 40, 600), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), batches=st.lists(st.lists(EVENTS, max_size=25), max_size=4))
def test_answers_what_the_reference_answers(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, batches: list[list[Event]]
) -> None:
    store = open_store(tmp_path_factory.mktemp("house"))
    try:
        reference = ReferenceStore()
        for batch in batches:
            assert store.append(batch, NOW) == reference.append(batch, NOW)
        assert store.latest_commit() == reference.latest_commit()
        assert store.count() == reference.count()
        for organization in ("acme", "it's", "nobody"):
            assert store.first_event_at("ns", organization) == reference.first_event_at("ns", organization)
        for _ in range(12):
            query = data.draw(queries(reference.latest_commit()))
            assert in_order(store.measure(query)) == in_order(reference.measure(query))
            hold_different_values(store, reference, query)
    finally:
        store.close()


def in_order(measures: list[Measure]) -> list[Measure]:
    return sorted(measures, key=lambda measure: (measure.meter, measure.window, measure.group, measure.state))


def test_a_commit_touches_the_organizations_it_has_events_of(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([event("1", {}), event("2", {}, org="other")], NOW)
    first = store.latest_commit()
    assert store.last_commit_of("ns", "acme") == store.last_commit_of("ns", "other") == first
    store.append([event("1", {}), event("3", {}, org="other")], NOW)
    assert store.last_commit_of("ns", "acme") == first < store.last_commit_of("ns", "other") == store.latest_commit()
    store.close()
    store = open_store(tmp_path)
    assert first <= store.last_commit_of("ns", "acme") <= store.latest_commit()
    store.close()


def test_a_clock_that_is_set_back_does_not_set_back_what_was_known(tmp_path: Path) -> None:
    day, second = timedelta(days=1), timedelta(seconds=1)
    store = open_store(tmp_path)
    store.append([event("1", {})], NOW)
    store.append([event("2", {})], NOW - day)
    store.close()
    store = open_store(tmp_path)
    try:
        store.append([event("3", {})], NOW - day)
        store.append([event("4", {})], NOW + day)
        known = [(at, store.commit_at(at)) for at in (NOW - day, NOW - second, NOW, NOW + second, NOW + day)]
        assert [commit for _, commit in known] == [0, 0, 3, 3, 4]
    finally:
        store.close()


def test_a_clock_that_was_ahead_does_not_decide_for_years_what_was_known_when(store: ClickHouseEventStore) -> None:
    day = timedelta(days=1)
    store.append([event("1", {"n": 1})], NOW)
    store.append([event("2", {"n": 1})], NOW + 7 * day)
    store.append([event("3", {"n": 1})], NOW)
    assert store.commit_at(NOW + 7 * day - timedelta(microseconds=1)) == 1, "a little back: as if it stood still"
    assert store.commit_at(NOW + 7 * day) == 3
    store.append([event("4", {"n": 1})], NOW + 36_500 * day)
    store.append([event("5", {"n": 1})], NOW + 8 * day)
    store.append([event("6", {"n": 1})], NOW + 9 * day)
    assert store.commit_at(NOW + 8 * day - timedelta(microseconds=1)) == 3
    assert store.commit_at(NOW + 8 * day) == 5
    assert store.commit_at(NOW + 9 * day) == 6
