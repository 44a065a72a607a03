"""Rollups change what an answer costs, never what it says: whatever is folded, the reference says the same."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.domain.correction import RESTORE, VOID
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.meter import (
    BY_ORGANIZATION,
    Aggregation,
    GroupSet,
    Measure,
    Meter,
    MeterQuery,
    StateWindow,
    redefined,
)
from meterhouse.domain.partial_aggregate import value_of
from meterhouse.storage.clickhouse.engine.engine import NO_PARAMETERS, EngineError, Parameters
from meterhouse.storage.clickhouse.rollups import rollups, table_queries
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.different_values import hold_different_values
from support.engines import StoreEngine
from support.reference import ReferenceStore
from support.stores import crash, open_on, open_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

SWAPPED = (("group", "user.id"), ("user.id", "group"))
WHERE = (("group", ("a", "it's")), ("state", ("", "on")))
METERS = {
    "ns": [
        Meter("count", "thing", Aggregation.COUNT, group_by=("group", "user.id")),
        Meter("sum", "thing", Aggregation.SUM, values=("n",), group_by=("group",)),
        Meter("both", "thing", Aggregation.SUM, values=("n", "m"), group_by=("group",)),
        Meter("any", "thing", Aggregation.SUM, values=("m",), optional=True),
        Meter("least", "thing", Aggregation.MIN, values=("n",), group_by=("group",)),
        Meter("most", "thing", Aggregation.MAX, values=("n",)),
        Meter("mean", "thing", Aggregation.AVG, values=("n",), group_by=("group",)),
        Meter("newest", "thing", Aggregation.LATEST, values=("n",), group_by=("group",)),
        Meter("unique", "thing", Aggregation.UNIQUE_COUNT, values=("name",), group_by=("group",)),
        Meter("other", "other", Aggregation.COUNT),
        Meter("swapped", "thing", Aggregation.SUM, values=("n",), group_by=("group", "user.id"), renamed=SWAPPED),
        Meter("some", "thing", Aggregation.COUNT, group_by=("group",), where=WHERE),
        Meter("part", "thing", Aggregation.SUM, values=("n",), group_by=("group",), where=WHERE),
        Meter("least of some", "thing", Aggregation.MIN, values=("m",), optional=True, where=WHERE),
        Meter("unique of some", "thing", Aggregation.UNIQUE_COUNT, values=("name",), where=WHERE),
        *(
            redefined(
                Meter(f"now {aggregation}", "thing", aggregation, values=("n",), group_by=("group",)),
                redefined(
                    Meter("x", "thing", aggregation, values=("m",), optional=True, where=WHERE, group_by=("group",)),
                    Meter("x", "thing", aggregation, values=("m",), group_by=("group",)),
                    NOON - 3 * 60 * MINUTE,
                ),
                NOON + 7 * MINUTE,
            )
            for aggregation in (Aggregation.SUM, Aggregation.LATEST)
        ),
        Meter("states", "thing", Aggregation.STATE_COUNT, entity="name", state="state", group_by=("group",)),
    ]
}
*SINGLE, STATES = METERS["ns"]
# Not in the catalog: nothing is folded for it.
STRANGER = Meter("stranger", "thing", Aggregation.SUM, values=("m",))


def event(event_id: str, at: datetime, data: Any, *, event_type: str = "thing", org: str = "acme") -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": "test", "type": event_type, "subject": org, "data": data}
    return parse_event(json.dumps({**raw, "time": at.isoformat()}).encode(), "ns", {}, NOW)


_numbers = itertools.count()


def correction(corrected: Event, *, void: bool) -> Event:
    """The word that an event does not count, or that it does."""
    step = {"source": corrected.source, "id": corrected.id, "correction": "c", "steps": 1, "actor": "a", "reason": "r"}
    kind = VOID if void else RESTORE
    said = event(f"c/{next(_numbers)}", NOW, step, event_type="moved")
    return msgspec.structs.replace(said, type=kind, organization=corrected.organization)


# Around the lines between slots and days, and far from them.
TIMES = st.one_of(
    st.builds(
        lambda quarters, micros: NOON + 15 * quarters * MINUTE + timedelta(microseconds=micros),
        st.integers(-130, 130),
        st.sampled_from([-1, 0, 1, 7 * 60 * 10**6]),
    ),
    st.sampled_from(
        [
            datetime(1900, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2261, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ]
    ),
)
NUMBERS = st.sampled_from([0, 1, -1, "0.1", "0.2", "99999999999999999999999999999999999999", "1e-28", -7])
DATA = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERS,
        "m": NUMBERS,
        "group": st.sampled_from(["", "a", "b", "it's", 1.5]),
        "user": st.fixed_dictionaries({"id": st.sampled_from(["u", "v"])}),
        "name": st.sampled_from(["", "x", "y", "z", "line\nbreak", "it's \\"]),
        "state": st.sampled_from(["", "on", "off"]),
        "long": st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**37]),  # more than 64 bits
    },
)
EVENTS = st.builds(
    event,
    st.uuids().map(str),
    TIMES,
    DATA,
    event_type=st.sampled_from(["thing", "thing", "thing", "other"]),
    org=st.sampled_from(["acme", "acme", "it's"]),
)
# What is done between one batch of events and the next; a pair fails one of the statements of a fold.
ACTIONS = st.one_of(
    st.sampled_from(["fold", "fold", "fold", "fold one", "nothing", "restart", "crash", "rebuild", "new catalog"]),
    st.tuples(st.integers(0, 2), st.booleans()),
)
STEPS = st.lists(
    st.tuples(st.lists(EVENTS, min_size=1, max_size=15), st.lists(st.booleans(), max_size=5), ACTIONS),
    min_size=1,
    max_size=6,
)


@st.composite
def questions(draw: st.DrawFn, commit: int) -> MeterQuery:
    inner = draw(st.lists(TIMES, min_size=2, max_size=6, unique=True).map(sorted))
    sides = draw(st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1), (1, 1)]))
    edges = ([None] * sides[0]) + inner + ([None] * sides[1])
    paths = st.sampled_from(["group", "group", "group", "user.id", "state", BY_ORGANIZATION])
    by = (
        draw(st.lists(paths, max_size=3, unique=True))
        if draw(st.booleans())
        else draw(st.sampled_from([[], ["group"]]))
    )
    texts = st.sampled_from(["", "a", "it's", "1.5", "u", "acme"])
    narrowing = draw(st.sampled_from([(), (), (draw(paths),)]))
    filters = tuple((path, tuple(draw(st.lists(texts, min_size=1, max_size=3)))) for path in narrowing)
    sets_of = tuple(draw(st.lists(paths, min_size=1, max_size=2, unique=True)))
    groups = draw(st.lists(st.tuples(*(texts for _ in sets_of)), max_size=3).map(tuple))
    which = draw(st.sampled_from(["", "", "", "only", "without"]))
    states = draw(st.booleans())
    meters = (
        (STATES,)
        if states
        else tuple(draw(st.lists(st.sampled_from([*SINGLE, STRANGER]), min_size=1, max_size=5, unique=True)))
    )
    return MeterQuery(
        "ns",
        draw(st.sampled_from(["acme", "acme", "it's", "nobody", None, None])),
        meters,
        tuple(edges),
        draw(st.sampled_from([commit, commit, commit, max(0, commit - 1)])),
        tuple(by),
        filters,
        state_window=draw(st.sampled_from([None, *StateWindow])) if states else None,
        **({which: GroupSet(sets_of, groups)} if which else {}),
    )


class FlakyEngine(StoreEngine):
    """Fails one of the next statements, before or after it has happened, when it is told to."""

    left = -1
    happens = False

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        fails = self.left == 0
        self.left -= 1
        if not fails or self.happens:
            super().execute(sql, parameters)
        if fails:
            raise EngineError("told to fail")


@settings(max_examples=by_depth(4, 14, 400), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), steps=STEPS)
def test_answers_what_the_reference_answers(
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
    steps: list[tuple[list[Event], list[bool], tuple[int, bool] | str]],
) -> None:
    folder = tmp_path_factory.mktemp("house")
    (store, engine), reference = open_on(folder, FlakyEngine, METERS), ReferenceStore()
    try:
        sent: list[Event] = []
        for events, words, action in steps:
            sent += events
            batch = [*events, *(correction(data.draw(st.sampled_from(sent)), void=void) for void in words)]
            assert store.append(batch, NOW) == reference.append(batch, NOW)
            ask(data, store, reference)
            if action == "rebuild":
                store.rebuild()
            elif action in ("restart", "crash", "new catalog"):
                crash(store) if action == "crash" else store.close()
                meters = {"ns": METERS["ns"][:4]} if action == "new catalog" else METERS
                store, engine = open_on(folder, FlakyEngine, meters)
            elif isinstance(action, tuple):
                if store.watermark() < store.latest_commit():
                    engine.left, engine.happens = action
                    with pytest.raises(EngineError):
                        store.materialize(store.latest_commit())
            elif action != "nothing":
                while store.materialize(store.latest_commit()) and action == "fold":
                    pass
            ask(data, store, reference)
    finally:
        store.close()


@pytest.mark.embedded
@pytest.mark.parametrize("events_in_memory", [250_000, pytest.param(0, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("seed", range(by_depth(1, 1, 20)))
@pytest.mark.thorough
def test_many_small_histories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, events_in_memory: int
) -> None:
    """Few values, entities and slots in many organizations: whatever can move from one place to another does."""
    monkeypatch.setattr(rollups, "_EVENTS_IN_MEMORY", events_in_memory)
    rng = random.Random(seed)
    store, reference = open_store(tmp_path, METERS), ReferenceStore()
    slots = [NOON + number * 15 * MINUTE for number in (0, 1, 50, 51)]
    lines = sorted({NOON, *slots, *(slot + 15 * MINUTE for slot in slots), *(slot + 7 * MINUTE for slot in slots)})
    numbers = itertools.count()

    def happening(organization: str) -> Event:
        data = {"name": rng.choice("xy"), "state": rng.choice(["on", "off"]), "n": rng.randrange(5)}
        data |= {"group": rng.choice("ab")} if rng.random() < 0.7 else {}
        at = rng.choice(slots) + timedelta(minutes=rng.randrange(15))
        return event(f"e{next(numbers)}", at, data, org=organization)

    organizations = [f"org-{number}" for number in range(8)]
    sent: list[Event] = []
    try:
        for _ in range(4):
            batch = [happening(each) for each in organizations for _ in range(rng.randrange(3))]
            sent += batch
            batch += [correction(each, void=rng.random() < 0.7) for each in sent if rng.random() < 0.08]
            assert store.append(batch, NOW) == reference.append(batch, NOW)
            commit = reference.latest_commit()
            for each in [*organizations, None, None]:
                edges = (None, *sorted(rng.sample(lines, rng.choice((0, 3)))), None)
                grouped = rng.choice([(), ("group",), (BY_ORGANIZATION,), ("group", BY_ORGANIZATION)])
                asked = [(tuple(rng.sample(SINGLE, 9)), None), *(((STATES,), moment) for moment in StateWindow)]
                for meters, moment in asked:
                    query = MeterQuery("ns", each, meters, edges, commit, grouped, state_window=moment)
                    assert in_order(store.measure(query)) == in_order(reference.measure(query)), query
                    hold_different_values(store, reference, query)
            if rng.random() < 0.8:
                while store.materialize(store.latest_commit()):
                    pass
    finally:
        store.close()


@pytest.mark.parametrize("events_in_memory", [0, 250_000])
def test_a_group_without_a_number_adds_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events_in_memory: int
) -> None:
    monkeypatch.setattr(rollups, "_EVENTS_IN_MEMORY", events_in_memory)
    store = open_store(tmp_path, METERS)
    told = [{"group": "a", "n": 5}, {"group": "b"}, {"group": "c", "n": 7}, {"group": "d", "n": "none"}]
    store.append([event(f"e{number}", NOON, data) for number, data in enumerate(told)], NOW)
    store.append([event("least", NOON + 60 * MINUTE, {"group": "a", "n": -5}), event("x", NOON + 60 * MINUTE, {})], NOW)
    while store.materialize(store.latest_commit()):
        pass
    edges = (NOON, NOON + 30 * MINUTE, NOON + 90 * MINUTE)
    measures = store.measure(MeterQuery("ns", "acme", tuple(SINGLE[4:8]), edges, store.latest_commit()))
    assert [measure.value for measure in in_order(measures)] == [5, -5, 7, -5, 6, -5, 7, -5]
    store.close()


@pytest.mark.parametrize("folds", [False, True])
def test_the_latest_of_one_instant_and_the_mean_over_rollups_and_events(tmp_path: Path, folds: bool) -> None:
    """One commit is folded, another is read as it came; nothing is in memory after a restart."""
    store = open_store(tmp_path, METERS)
    for number in (1, 2, 6):
        store.append([event(f"e{number}", NOON, {"n": number})], NOW)
        if folds and number == 1:
            store.materialize(1)
    store.close()
    store = open_store(tmp_path, METERS)
    mean, newest = SINGLE[6], SINGLE[7]
    query = MeterQuery("ns", "acme", (mean, newest), (None, None), store.latest_commit())
    assert [measure.value for measure in in_order(store.measure(query))] == [3, 6]
    store.close()


LARGE = [event(f"l{number}", NOON + number * MINUTE, {"name": f"n{number % 7}", "n": number}) for number in range(50)]
ANSWERED = MeterQuery("ns", "acme", (METERS["ns"][1], METERS["ns"][8]), (None, NOON + 20 * MINUTE, None), 1)


@pytest.mark.embedded
@pytest.mark.parametrize("step", [table_queries.MERGE_STAGING, table_queries.ATTACH_STAGING])
@pytest.mark.parametrize("after", [False, True])
def test_a_large_fold_is_there_whole_or_not_at_all_whenever_it_is_killed(
    tmp_path: Path, step: str, after: bool
) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fold_and_die, args=(tmp_path, step, after))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    (store, engine), reference = open_on(tmp_path, StoreEngine, METERS), ReferenceStore()
    reference.append(LARGE, NOW)
    try:
        done = step == table_queries.ATTACH_STAGING and after
        assert store.watermark() == done
        for _ in range(2):
            assert in_order(store.measure(ANSWERED)) == in_order(reference.measure(ANSWERED))
            while store.materialize(store.latest_commit()):
                pass
        parts = engine.rows(
            "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'rollups'", {}
        )
        assert parts == [[1]], "a crash between the parts of a fold would leave some of it"
    finally:
        store.close()


def fold_and_die(folder: Path, step: str, after: bool) -> None:
    """Killed before a step of a large fold, or after it."""

    class DyingEngine(StoreEngine):
        def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
            if sql != step or after:
                super().execute(sql, parameters)
            if sql == step:
                os.kill(os.getpid(), signal.SIGKILL)

    rollups._EVENTS_IN_MEMORY = 0
    store, _ = open_on(folder, DyingEngine, METERS)
    store.append(LARGE, NOW)
    store.materialize(store.latest_commit())


def test_a_large_fold_is_attached_as_one_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "_EVENTS_IN_MEMORY", 0)
    (store, engine), reference = open_on(tmp_path, StoreEngine, METERS), ReferenceStore()
    try:
        for stored in (store, reference):
            stored.append(LARGE, NOW)
        parts = "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = "
        assert not store.materialize(1)
        assert engine.rows(f"{parts}'staging'", {}) == engine.rows(f"{parts}'rollups'", {}) == [[1]]
        assert in_order(store.measure(ANSWERED)) == in_order(reference.measure(ANSWERED))
    finally:
        store.close()


@pytest.mark.parametrize("rebuilds", [False, True])
def test_a_fold_is_left_when_it_is_in_the_way(tmp_path: Path, rebuilds: bool) -> None:
    class Interrupting(StoreEngine):
        waiting: threading.Thread | None = None

        def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
            super().execute(sql, parameters)
            if sql.startswith("INSERT INTO staged") and not self.waiting:
                self.waiting = threading.Thread(target=store.rebuild if rebuilds else store.interrupt)
                self.waiting.start()
                self.waiting.join(1)  # one that rebuilds waits for the fold

    (store, engine), reference = open_on(tmp_path, Interrupting, METERS), ReferenceStore()
    try:
        for stored in (store, reference):
            stored.append(LARGE, NOW)
        assert store.materialize(1), "there is more to fold"
        assert engine.waiting
        engine.waiting.join()
        assert store.watermark() == 0
        assert in_order(store.measure(ANSWERED)) == in_order(reference.measure(ANSWERED))
        if rebuilds:
            assert not store.materialize(1)
            assert store.watermark() == 1
            assert in_order(store.measure(ANSWERED)) == in_order(reference.measure(ANSWERED))
    finally:
        store.close()


def ask(data: st.DataObject, store: ClickHouseEventStore, reference: ReferenceStore) -> None:
    for organization in ("acme", "it's", "nobody"):
        assert store.first_event_at("ns", organization) == reference.first_event_at("ns", organization)
    # The same ones every time, which may have been kept, and others.
    same = [
        MeterQuery("ns", "acme", meters, edges, reference.latest_commit(), state_window=moment)
        for meters, moment in ((tuple(SINGLE), None), ((STATES,), StateWindow.CHANGED))
        for edges in ((None, None), (NOON - 60 * MINUTE, NOON, NOON + 60 * MINUTE))
    ]
    for query in [*same, *(data.draw(questions(reference.latest_commit())) for _ in range(3))]:
        expected = in_order(reference.measure(query))
        assert in_order(store.measure(query)) == expected, query
        if query.meters == (STATES,):
            continue
        mergeable = [meter for meter in query.meters if meter.aggregation is not Aggregation.UNIQUE_COUNT]
        if mergeable:
            parts = store.partials(replace(query, meters=tuple(mergeable))).items()
            values = {
                (mergeable[n], group, window): value_of(mergeable[n].aggregation, one)
                for (n, group, window), one in parts
            }
            assert values == {
                (query.meters[each.meter], each.group, each.window): each.value
                for each in expected
                if query.meters[each.meter] in mergeable
            }, query
        hold_different_values(store, reference, query)
        one = query.meters[0]
        if query.group_by and one.aggregation in RANKED:
            span = replace(query, meters=(one,), edges=(query.edges[0], query.edges[-1]))
            for count in (1, 3):
                assert store.rank(span, count) == reference.rank(span, count), span


RANKED = [getattr(Aggregation, name) for name in ("COUNT", "SUM", "MIN", "MAX", "UNIQUE_COUNT")]


def in_order(measures: Sequence[Measure]) -> list[Measure]:
    return sorted(measures, key=lambda measure: (measure.meter, measure.window, measure.group, measure.state))


@pytest.mark.parametrize("later", [False, True])
def test_meters_of_the_same_entities_count_each_on_their_own(tmp_path: Path, *, later: bool) -> None:
    """One by a group and one as a whole, added together or one after the other: both count the whole."""
    whole = Meter("whole", "thing", Aggregation.STATE_COUNT, entity="name", state="state")
    both = {"ns": [STATES, whole]}
    reference = ReferenceStore()
    store, _ = open_on(tmp_path, StoreEngine, {"ns": [STATES]} if later else both)
    for number in range(2):
        data = {"name": f"e{number}", "state": "on", "group": "a"}
        events = [event(f"e{number}", NOON + number * MINUTE, data)]
        assert store.append(events, NOW) == reference.append(events, NOW)
        while store.materialize(store.latest_commit()):
            pass
    if later:
        store.close()
        store, _ = open_on(tmp_path, StoreEngine, both)
        while store.materialize(store.latest_commit()):
            pass
    for meter in both["ns"]:
        query = MeterQuery("ns", "acme", (meter,), (NOON - MINUTE, NOON + timedelta(hours=1)), reference.commit)
        assert in_order(store.measure(query)) == in_order(reference.measure(query))
    store.close()
