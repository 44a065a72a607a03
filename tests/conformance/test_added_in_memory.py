"""What is added up in memory is what the engine reads, and what the reference says."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rollups import METERS, NOON, NOW, SINGLE, STATES, correction, event, in_order

from meterhouse.domain.event import Event
from meterhouse.domain.listing import PropertyMatch
from meterhouse.domain.meter import BY_ORGANIZATION, GroupSet, Meter, MeterQuery, StateWindow
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import EngineError
from meterhouse.storage.clickhouse.memtable import memtable
from meterhouse.storage.clickhouse.memtable.memtable import Memtable
from meterhouse.storage.clickhouse.read import result_cache
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.engines import CLUSTER
from support.reference import ReferenceStore
from support.stores import failing_disk, open_on, open_store

QUARTER = timedelta(minutes=15)
# Few of everything, so that whatever can meet does; some of it odd.
TIMES = st.builds(
    lambda quarter, micros: NOON + quarter * QUARTER + timedelta(microseconds=micros),
    st.sampled_from([-100, 0, 1, 1, 2, 50]),
    st.sampled_from([-1, 0, 0, 7 * 60 * 10**6]),
)
NUMBERS = st.sampled_from([0, -1, 2, "0.1", "1e-28", "-99999999999999999999999999999999999999", 10**30, 1.5])
TEXTS = st.sampled_from(["", "a", "b", "it's", "a:b", "ü\n\\", "\u0000", 1, 1.5, True, None, [], {"id": "u"}, 2**64])
DATA = st.fixed_dictionaries(
    {},
    optional={
        "n": NUMBERS,
        "m": NUMBERS,
        "group": TEXTS,
        "user": st.fixed_dictionaries({"id": st.sampled_from(["u", "7", True, None])}),
        "name": st.sampled_from(["", "x", "y", "z", 1]),
        "state": st.sampled_from(["", "on", "off"]),
    },
)
EVENTS = st.builds(
    event,
    st.uuids().map(str),
    TIMES,
    DATA,
    event_type=st.sampled_from(["thing", "thing", "thing", "other"]),
    org=st.sampled_from(["acme", "acme", "acme", "it's"]),
)
EDGES = [
    (None, None),
    (NOON, NOON + 2 * QUARTER),
    (None, NOON, NOON + QUARTER, NOON + timedelta(minutes=17), None),
    (NOON - timedelta(days=2), NOON + timedelta(minutes=7), NOON + timedelta(days=1)),
]
MOMENTS = [None, *StateWindow]


@st.composite
def _questions(draw: st.DrawFn) -> MeterQuery:
    """Of so few that the same ones are asked again."""
    how = draw(st.sampled_from(["whole", "whole", "grouped", "filtered"]))
    path = draw(st.sampled_from(["group", "user.id"]))
    meters = draw(st.sampled_from([tuple(SINGLE), tuple(SINGLE[:8]), (SINGLE[8],), (STATES,), (STATES,)]))
    return MeterQuery(
        "ns",
        draw(st.sampled_from(["acme", "acme", "it's"])),
        meters,
        draw(st.sampled_from(EDGES)),
        0,
        (path,) if how == "grouped" else (),
        ((path, draw(st.sampled_from([("a",), ("u", ""), ("", BY_ORGANIZATION)]))),) if how == "filtered" else (),
        only=draw(st.sampled_from([None, GroupSet((path,), (("a",), ("",)))])),
        without=draw(st.sampled_from([None, GroupSet((BY_ORGANIZATION, path), (("acme", "b"),))])),
        state_window=draw(st.sampled_from(MOMENTS)) if meters == (STATES,) else None,
    )


@contextmanager
def from_the_engine() -> Iterator[None]:
    """Nothing is added up in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memtable, "_MOST_AT_ONCE", -1)
        patch.setattr(result_cache, "_MOST_COST_OF_ONE", -1)
        patch.setattr(result_cache.ResultCache, "find", lambda *_: None)
        yield


STEPS = st.lists(
    st.tuples(
        st.lists(EVENTS, max_size=6),
        st.sampled_from(["", "", "", "void", "restore"]),
        st.sampled_from(["fold", "fold", "", "", "", "refuse", "fail", "forget"]),
        st.lists(_questions(), min_size=1, max_size=2),
    ),
    min_size=3,
    max_size=6,
)


class FailingEngine(ChdbEngine):
    """Fails to store events, before or after it has happened, when it is told to."""

    fails = ""

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        if self.fails != "before":
            super().insert(table, block, token)
        if self.fails:
            raise EngineError("told to fail")


@pytest.mark.thorough
@settings(max_examples=by_depth(2, 7, 120), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), steps=STEPS)
def test_memory_says_what_the_engine_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, steps: list[tuple[list[Event], str, str, Any]]
) -> None:
    (store, engine), reference = open_on(tmp_path_factory.mktemp("house"), FailingEngine, METERS), ReferenceStore()
    try:
        sent: list[Event] = []
        asked: list[MeterQuery] = []
        for events, word, action, questions in steps:
            sent += events
            batch = [
                *events,
                *([correction(data.draw(st.sampled_from(sent)), void=word == "void")] if word and sent else []),
            ]
            if action == "refuse":
                with failing_disk(), suppress(EngineError):  # some batches have nothing to store
                    store.append(batch, NOW)
                reference.commit = store.latest_commit()  # a number is not given again
            store.append(batch, NOW)
            reference.append(batch, NOW)
            reference.commit = store.latest_commit()
            if action == "fail":
                engine.fails = data.draw(st.sampled_from(["before", "after"]))
                with suppress(EngineError):
                    store.count()
                engine.fails = ""
            asked = [*[each for each in asked if each not in questions], *questions][-5:]
            ask(store, reference, asked)
            if action == "fold":
                while store.materialize(store.latest_commit()):
                    pass
            elif action == "forget":
                store.rebuild()
    finally:
        store.close()


def ask(store: ClickHouseEventStore, reference: ReferenceStore, asked: list[MeterQuery]) -> None:
    """Each question as of now, and of a commit before."""
    for each in asked:
        for commit in {store.latest_commit(), max(0, store.latest_commit() - 1)}:
            query = replace(each, as_of_commit=commit)
            answer = in_order(store.measure(query))
            assert answer == in_order(reference.measure(query)), query
            with from_the_engine():
                assert answer == in_order(store.measure(query)), query
    for organization in ("acme", "it's"):
        assert store.first_event_at("ns", organization) == reference.first_event_at("ns", organization)


@pytest.mark.parametrize(
    "how",
    [
        "remove",
        pytest.param(
            "rewrite",
            marks=pytest.mark.skipif(
                bool(os.environ.get(CLUSTER)), reason="nothing is erased where tables have replicas"
            ),
        ),
    ],
)
def test_what_is_gone_is_not_added(tmp_path: Path, how: str) -> None:
    """Whatever was held or kept of events that were removed or rewritten since."""
    store = open_store(tmp_path, METERS)
    try:
        for number in range(3):
            store.append([event(f"e{number}", NOON, {"group": "a", "n": 1})], NOW)

        def asked(meter: Meter = SINGLE[1]) -> list[tuple[tuple[str, ...], Decimal]]:
            query = MeterQuery("ns", "acme", (meter,), (None, None), store.latest_commit(), ("group",))
            return [(measure.group, measure.value) for measure in store.measure(query)]

        assert asked() == [(("a",), 3)]
        assert store.first_event_at("ns", "acme") == NOON
        if how == "remove":
            assert store.remove("ns", "acme") == 3
        else:
            saying = PropertyMatch("ns", "acme", "group", "a")
            erased = lambda each: msgspec.structs.replace(each, data=each.data.replace(b'"a"', b'"erased:1"'))  # noqa: E731
            assert store.rewrite(saying, lambda each: msgspec.structs.replace(erased(each), numbers={"n": 1})) == 3
        gone = [] if how == "remove" else [(("erased:1",), 3)]
        assert asked() == gone
        store.materialize(1)  # the rest is still to be folded
        store.append([event("later", NOON, {}, org="it's")], NOW)
        assert asked() == asked(SINGLE[0]) == gone
        assert store.first_event_at("ns", "acme") == (None if how == "remove" else NOON)
    finally:
        store.close()


def test_who_asks_while_a_commit_is_being_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps nothing that lacks the commit."""
    store = open_store(tmp_path, METERS)
    told = Memtable.add

    def count() -> list[Decimal]:
        query = MeterQuery("ns", "acme", (SINGLE[0],), (None, None), store.latest_commit())
        return [measure.value for measure in store.measure(query)]

    def asked_meanwhile(*arguments: Any) -> None:
        told(*arguments)
        assert store.first_event_at("ns", "acme") in (NOON, NOON - QUARTER)
        assert count() == [Decimal(1)]

    try:
        store.append([event("one", NOON, {})], NOW)
        assert (count(), store.first_event_at("ns", "acme")) == ([1], NOON)
        monkeypatch.setattr(Memtable, "add", asked_meanwhile)
        store.append([event("two", NOON - QUARTER, {})], NOW)
        assert (count(), store.first_event_at("ns", "acme")) == ([2], NOON - QUARTER)
    finally:
        store.close()


@pytest.mark.parametrize("folds", [False, True])
def test_who_asks_as_of_an_earlier_commit_is_not_told_of_a_later_one(tmp_path: Path, folds: bool) -> None:
    """Though the answer as of the later one is kept."""
    store = open_store(tmp_path, METERS)
    try:
        for number, name in enumerate("xyz"):
            store.append([event(f"e{number}", NOON, {"name": name, "state": "on", "n": 1})], NOW)
            if folds:
                store.materialize(1)
        for commit in (3, 2, 1, 3, 1, 2):
            for meter in (SINGLE[0], SINGLE[1], SINGLE[8], STATES):
                query = MeterQuery("ns", "acme", (meter,), (None, None), commit)
                assert [measure.value for measure in store.measure(query)] == [commit], (meter.slug, commit)
    finally:
        store.close()


@pytest.mark.thorough
def test_values_and_entities_over_folds(tmp_path: Path) -> None:
    """Few of them, so that they come again before and after they are folded, in the same windows and in others."""
    rng = random.Random(7)
    store, reference = open_store(tmp_path, METERS), ReferenceStore()
    edges = (NOON, NOON + 2 * QUARTER, NOON + 4 * QUARTER, NOON + 6 * QUARTER)
    try:
        for step in range(40):
            batch = [
                event(
                    f"{step}/{number}",
                    NOON + rng.randrange(6) * QUARTER,
                    {"name": f"v{rng.randrange(step // 3, step // 3 + 5)}", "state": rng.choice(["on", "off"])},
                )
                for number in range(rng.randrange(1, 3))
            ]
            assert store.append(batch, NOW) == reference.append(batch, NOW)
            if rng.random() < 0.7:
                for meter, windows in ((SINGLE[8], edges), (STATES, edges), (STATES, (edges[0], edges[2]))):
                    query = MeterQuery("ns", "acme", (meter,), windows, store.latest_commit())
                    assert in_order(store.measure(query)) == in_order(reference.measure(query)), (step, query)
            if rng.random() < 0.4:
                store.materialize(store.latest_commit() - rng.randrange(2))
    finally:
        store.close()
