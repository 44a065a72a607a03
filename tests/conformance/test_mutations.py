"""A change of stored events ends: done, failed, or given up."""

from __future__ import annotations

import json
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from test_rollups import NOON, NOW, event

from meterhouse.domain.erasure import erase
from meterhouse.domain.errors import Invalid
from meterhouse.domain.listing import PropertyMatch
from meterhouse.storage.clickhouse.engine.engine import EngineError
from meterhouse.storage.clickhouse.engine.table_form import TableForm
from meterhouse.storage.clickhouse.maintenance.mutation_queries import KILL_MUTATIONS, MUTATIONS_LEFT, REMOVE
from meterhouse.storage.clickhouse.maintenance.mutations import Interrupted, Mutations, parameters_of
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.manifest import Manifest, Removal
from support.engines import CLUSTER, StoreEngine
from support.stores import open_on

FAILS = "ALTER TABLE events UPDATE data = toString(throwIf(1)) WHERE 1 SETTINGS mutations_sync = 0"


def opened(folder: Path) -> tuple[ClickHouseEventStore, StoreEngine, Manifest]:
    store, engine = open_on(folder, StoreEngine)
    return store, engine, store._manifest


def test_one_that_cannot_be_done_is_told_and_holds_up_nobody(tmp_path: Path) -> None:
    store, engine, manifest = opened(tmp_path)
    store.append([event("e1", NOON, {"n": 1})], NOW)
    assert store.count() == 1
    with pytest.raises(EngineError, match="could not be changed"):
        Mutations(engine, manifest).change(FAILS, {})
    assert engine.rows(MUTATIONS_LEFT, {}) == []
    assert store.remove("ns", "acme") == 1
    store.close()


def test_one_that_a_crash_has_left_is_given_up_at_the_start(tmp_path: Path) -> None:
    store, engine, _ = opened(tmp_path)
    store.append([event("e1", NOON, {"n": 1})], NOW)
    assert store.count() == 1
    engine.execute(FAILS)
    store.close()
    began = time.monotonic()
    store, engine, _ = opened(tmp_path)
    assert engine.rows(MUTATIONS_LEFT, {}) == []
    assert store.count() == 1
    store.close()
    assert time.monotonic() - began < 20


@pytest.mark.skipif(bool(os.environ.get(CLUSTER)), reason="nothing is erased where tables have replicas")
def test_who_stops_waits_for_none(tmp_path: Path) -> None:
    class NeverDone(StoreEngine):
        killed = 0

        def rows(self, sql, parameters):  # type: ignore[no-untyped-def]
            return [[""]] if sql == MUTATIONS_LEFT else super().rows(sql, parameters)

        def execute(self, sql, parameters={}):  # type: ignore[no-untyped-def] # noqa: B006 - it is not changed
            self.killed += sql == KILL_MUTATIONS
            super().execute(sql, parameters)

    store, engine = open_on(tmp_path, NeverDone)
    store.append([event("e1", NOON, {"n": 1})], NOW)
    killed = engine.killed
    threading.Timer(0.2, store.interrupt).start()
    with pytest.raises(Interrupted, match="repeat"):
        store.rewrite(PropertyMatch("ns", "acme", "n", "1"), lambda found: found)
    assert engine.killed == killed + 1
    store.close()


class WithReplicas(StoreEngine):
    """Says of itself that its tables have replicas, once it has made them."""

    said = False

    @property
    def table_form(self) -> TableForm:
        return TableForm(on_server=True, cluster="replicas") if self.said else super().table_form


def test_where_tables_have_replicas_nothing_is_erased(tmp_path: Path) -> None:
    store, engine = open_on(tmp_path, WithReplicas)
    store.append([event("e1", NOON, {"who": "ada"})], NOW)
    saying = PropertyMatch("ns", "acme", "who", "ada")
    engine.said = True
    with pytest.raises(Invalid, match="METERHOUSE_CLICKHOUSE_CLUSTER"):
        store.check_rewritable()
    with pytest.raises(Invalid, match="nothing was changed"):
        store.rewrite(saying, lambda found: erase(found, "who", "erased:1"))
    engine.said = False
    [told] = store.find([event("e1", NOON, {}).identity])
    assert json.loads(told.event.data) == {"who": "ada"}
    store.close()


@pytest.mark.skipif(bool(os.environ.get(CLUSTER)), reason="nothing is erased where tables have replicas")
def test_one_that_is_done_is_seen_at_once(tmp_path: Path) -> None:
    store, engine, _ = opened(tmp_path)
    store.append([event(f"e{number}", NOON, {"n": number, "who": f"it's {number}"}) for number in range(3)], NOW)
    saying = PropertyMatch("ns", "acme", "who", "it's 1")
    assert store.rewrite(saying, lambda found: erase(found, "who", "erased:1")) == 1
    told = store.find([event(f"e{number}", NOON, {}).identity for number in range(3)])
    told.sort(key=lambda each: each.event.id)
    said = [json.loads(each.event.data)["who"] for each in told]
    assert said == ["it's 0", "erased:1", "it's 2"]
    assert engine.rows("SELECT toString(numbers['n']) FROM events ORDER BY id", {}) == [["0"], ["1"], ["2"]]
    store.close()


def test_a_purge_that_has_begun_is_counted_with_and_finished(tmp_path: Path) -> None:
    """Whatever part of it the engine had done."""
    store, engine, manifest = opened(tmp_path)
    store.append([event(f"e{number}", NOON, {"n": 1}) for number in range(5)], NOW)
    store.append([event("other", NOON, {"n": 1}, org="it's")], NOW)
    assert store.count() == 6
    removal = Removal("ns", "acme", store.latest_commit(), 5)
    manifest.update(removal=removal)
    engine.execute("ALTER TABLE events DELETE WHERE id IN ('e1', 'e2') SETTINGS mutations_sync = 1")
    store.close()
    store, engine, manifest = opened(tmp_path)
    assert store.count() == 4
    store.append([event("later", datetime(2026, 5, 1, tzinfo=UTC), {"n": 1}, org="it's")], NOW)
    assert store.remove("ns", "acme") == 5
    assert (store.count(), manifest.state.events, manifest.state.removal) == (2, 2, None)
    store.close()
    store, _, _ = opened(tmp_path)
    assert store.count() == 2
    store.close()


@pytest.mark.embedded
def test_a_backup_beside_a_purge_that_was_interrupted(tmp_path: Path) -> None:
    """The engine has removed the events, and nobody has written down that it did."""
    store, engine, manifest = opened(tmp_path)
    store.append([event("e1", NOON, {"n": 1}), msgspec.structs.replace(event("e2", NOON, {}), organization="b")], NOW)
    assert store.count() == 2
    removal = Removal("ns", "b", store.latest_commit(), 1)
    manifest.update(removal=removal)
    engine.execute(REMOVE.replace("mutations_sync = 0", "mutations_sync = 1"), parameters_of(removal))
    with store.frozen() as frozen:
        assert frozen.events == 1
    assert store.remove("ns", "b") == 1
    with store.frozen() as frozen:
        assert frozen.events == 1
    store.close()
