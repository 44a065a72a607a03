"""Exactly once, whatever happens to what is kept beside the events: against an obvious set of identities."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.domain.event import Event, Outcome
from meterhouse.storage.clickhouse.dedup import identity_filter, identity_hash, identity_queries
from meterhouse.storage.clickhouse.engine.engine import NO_PARAMETERS, EngineError, Parameters
from meterhouse.storage.clickhouse.maintenance import checkpoints
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.engines import StoreEngine
from support.reference import ReferenceStore
from support.stores import crash, failing_disk, open_on, open_store, stored_only_when_asked

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def event(number: int, content: int = 0) -> Event:
    at = NOW - timedelta(hours=number * 7 % 900)
    data = b'{"n":%d}' % content
    return Event("ns", "test", f"e{number}", "thing", f"org-{number % 3}", at, data, {})


class FailingEngine(StoreEngine):
    """Fails one of the next calls, before or after it has happened, when it is told to."""

    left = -1
    happens = False

    def _fails(self) -> bool:
        self.left -= 1
        return self.left == -1

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        fails = self._fails()
        if not fails or self.happens:
            super().insert(table, block, token)
        if fails:
            raise EngineError("told to fail")

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        if self._fails():
            raise EngineError("told to fail")
        return super().rows(sql, parameters)

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        if self._fails():
            raise EngineError("told to fail")
        return super().uint64s(sql, parameters)


class House:
    """A store on a folder, and what it must know."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.snapshot = folder / "identities.snapshot"
        self.kept: list[bytes] = []
        """Snapshots of earlier moments."""
        self.refused: Sequence[Event] = []
        """What the disk did not take; the next start may find it all the same."""
        self.reference = ReferenceStore()
        self.open()

    def open(self) -> None:
        self.store, self.engine = open_on(self.folder, FailingEngine)
        if self.refused and self.store.count() != self.reference.count():  # whole, or not at all
            self.reference.append(self.refused, NOW)
        self.refused = []
        assert self.store.count() == self.reference.count()

    def crash(self) -> None:
        """The process ends without a word: nothing is saved."""
        crash(self.store)
        self.open()

    def restart(self) -> None:
        self.store.close()
        self.open()

    def append(self, events: Sequence[Event]) -> None:
        assert self.store.append(events, NOW) == self.reference.append(events, NOW)
        self.refused = []  # what is written next stands in its place
        assert self.store.count() == self.reference.count()

    def append_failing(self, events: Sequence[Event], calls: int, *, happens: bool) -> None:
        """The engine fails after so many calls, some of which look up and some of which store."""
        self.engine.left, self.engine.happens = calls, happens
        with suppress(EngineError):
            self.store.append(events, NOW)
            self.reference.append(events, NOW)
            self.refused = []
            self.store.count()
        self.engine.left = -1
        assert self.store.count() == self.reference.count()

    def append_refused(self, events: Sequence[Event]) -> None:
        """The disk fails: it has what was written, and nobody knows."""
        with failing_disk(), suppress(EngineError):
            self.store.append(events, NOW)  # with nothing new there is nothing to write
            self.reference.append(events, NOW)
            return
        self.refused = events


BATCHES = st.lists(st.builds(event, st.integers(0, 400), st.sampled_from([0, 0, 0, 1])), min_size=1, max_size=60)
STEPS = st.lists(
    st.one_of(
        BATCHES,
        BATCHES,
        st.tuples(BATCHES, st.integers(-1, 5), st.booleans()),
        st.sampled_from(
            ["save", "save", "save fails", "crash", "crash", "restart", "merge", "rebuild", "keep", "old", "old"]
        ),
        st.sampled_from(["delete", "other history", "unfinished"]),
        st.tuples(st.integers(0, 5_000), st.booleans()),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The snapshot of another folder, with as many commits and events."""
    folder = tmp_path_factory.mktemp("foreign")
    store = open_store(folder)
    store.append([event(number) for number in range(1_000, 1_010)], NOW)
    store.close()
    return (folder / "identities.snapshot").read_bytes()


@pytest.mark.parametrize("bits", [64, 3])
@settings(max_examples=by_depth(7, 14, 250), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_an_identity_is_stored_once_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, foreign: bytes, bits: int, steps: list[Any]
) -> None:
    with pytest.MonkeyPatch.context() as patched, stored_only_when_asked():
        # With few bits different identities have the same hash.
        whole = identity_hash._hash
        patched.setattr(identity_hash, "_hash", lambda text: whole(text) >> (64 - bits) << (64 - bits))
        patched.setattr(checkpoints, "_SAVE_AFTER", 20)
        patched.setattr(identity_filter, "_FIRST_CAPACITY", 4)  # so that shards grow
        patched.setattr(identity_filter, "_RANGE_IDENTITIES", 50)
        folder = tmp_path_factory.mktemp("house")
        house = House(folder)
        try:
            for step in steps:
                _play(house, step, foreign)
            house.crash()
            house.append([event(number) for number in range(420)])
        finally:
            house.store.close()
            shutil.rmtree(folder)


def _play(house: House, step: Any, foreign: bytes) -> None:
    match step:
        case list():
            house.append(step)
        case (list() as batch, int() as calls, bool() as happens):
            if calls < 0:
                house.append_refused(batch)
            else:
                house.append_failing(batch, calls, happens=happens)
        case "save":
            house.store.checkpoint()
        case "save fails":
            house.engine.left = 0
            with suppress(EngineError):
                house.store.checkpoint()
            house.engine.left = -1
        case "crash":
            house.crash()
        case "restart":
            house.restart()
        case "merge":
            house.engine.execute("OPTIMIZE TABLE events FINAL")
        case "rebuild":
            house.store.rebuild()
        case _:
            crash(house.store)
            _tamper(house, step, foreign)
            house.open()


def _tamper(house: House, step: Any, foreign: bytes) -> None:
    """What can happen to the file while nobody has it."""
    file = house.snapshot
    there = file.read_bytes() if file.exists() else b""
    match step:
        case "keep" if there:
            house.kept.append(there)
        case "old" if house.kept:
            file.write_bytes(house.kept[0])
        case "delete":
            file.unlink(missing_ok=True)
        case "other history":
            file.write_bytes(foreign)
        case "unfinished":
            file.with_suffix(".new").write_bytes(foreign[:100])
        case (int() as place, bool() as cut) if there:
            place %= len(there)
            file.write_bytes(there[:place] + (b"" if cut else bytes([there[place] ^ 1]) + there[place + 1 :]))


class CountingEngine(StoreEngine):
    """Remembers which identities were read."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.read = 0

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        packed = super().uint64s(sql, parameters)
        self.read += len(packed) // 8
        return packed


class TestSnapshot:
    def open(self, folder: Path) -> tuple[ClickHouseEventStore, CountingEngine]:
        return open_on(folder, CountingEngine)

    def test_a_start_reads_only_what_came_after_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checkpoints, "_SAVE_AFTER", 100)
        store, engine = self.open(tmp_path)
        store.append([event(number) for number in range(200)], NOW)
        store.checkpoint()
        store.append([event(number) for number in range(200, 230)], NOW)
        store.checkpoint()  # does not pay
        crash(store)
        store, engine = self.open(tmp_path)
        assert engine.read == 30
        store.close()
        store, engine = self.open(tmp_path)
        assert engine.read == 0
        assert set(store.append([event(number) for number in range(230)], NOW)) == {Outcome.DUPLICATE}
        store.close()

    @pytest.mark.parametrize("same", ["identities", "moment"])
    def test_one_of_another_history_is_not_taken(self, tmp_path: Path, same: str) -> None:
        """Both folders have a commit 1 and a commit 2 of one event each, of one identity or of one moment."""
        here, there = tmp_path / "here", tmp_path / "there"
        for folder, numbers in ((here, (1, 2)), (there, (3, 2 if same == "identities" else 4))):
            store, _ = self.open(folder)
            for number in numbers:
                later = timedelta(seconds=1) if folder == there and same == "identities" else timedelta()
                store.append([event(number)], NOW + later)
            store.close()
        shutil.copy(there / "identities.snapshot", here / "identities.snapshot")
        store, engine = self.open(here)
        assert engine.read == 2
        assert store.append([event(1), event(2)], NOW) == [Outcome.DUPLICATE] * 2
        store.close()

    @pytest.mark.embedded
    def test_one_that_knows_more_commits_than_the_table_is_not_taken(self, tmp_path: Path) -> None:
        house, backup, snapshot = tmp_path / "house", tmp_path / "backup", "identities.snapshot"
        store, _ = self.open(house)
        store.append([event(1)], NOW)
        store.close()
        shutil.copytree(house, backup, symlinks=True)
        store, _ = self.open(house)
        store.append([event(2)], NOW)
        store.close()
        shutil.copy(house / snapshot, backup / snapshot)
        shutil.rmtree(house)
        backup.rename(house)
        store, engine = self.open(house)
        assert engine.read == 1
        assert store.append([event(1), event(2)], NOW) == [Outcome.DUPLICATE, Outcome.INGESTED]
        store.close()

    def test_after_an_insert_that_failed_none_is_saved(self, tmp_path: Path) -> None:
        house = House(tmp_path)
        house.append_refused([event(1)])
        house.append([event(1), event(2)])
        house.store.close()
        assert not house.snapshot.exists()

    def test_a_rebuild_drops_it(self, tmp_path: Path) -> None:
        store, _ = self.open(tmp_path)
        store.append([event(1)], NOW)
        store.close()
        store, engine = self.open(tmp_path)
        store.rebuild()
        assert not (tmp_path / "identities.snapshot").exists()
        assert engine.read == 1
        assert store.append([event(1), event(2)], NOW) == [Outcome.DUPLICATE, Outcome.INGESTED]
        store.close()


def test_parts_that_lack_the_index_of_identities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts with and without it side by side, and then made anew."""
    store, engine = open_on(tmp_path, StoreEngine)
    store.append([event(number) for number in range(3_000)], NOW)
    assert store.count() == 3_000
    engine.execute(identity_queries.CLEAR_IDENTITIES_AND_WAIT)
    store.close()
    with monkeypatch.context() as patched:
        patched.setattr(identity_queries, "INDEX_IDENTITIES", "SELECT 1")
        store = open_store(tmp_path)
        again = [event(number) for number in range(0, 6_000, 2)]
        expected = [Outcome.DUPLICATE] * 1_500 + [Outcome.INGESTED] * 1_500
        assert store.append(again, NOW) == expected
        assert store.append(again, NOW) == [Outcome.DUPLICATE] * 3_000
        store.close()
    store, engine = open_on(tmp_path, StoreEngine)
    deadline = time.monotonic() + 30
    while engine.rows(identity_queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS) != [[0]]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    conflicting = [event(number, 9) for number in range(0, 6_000, 2)]
    assert store.append(conflicting, NOW) == [Outcome.CONFLICT] * 3_000
    store.close()


def test_a_start_changes_nothing_that_is_as_it_should_be(tmp_path: Path) -> None:
    """A change of the table waits for merges, which can take minutes."""
    for number in range(2):
        store, engine = open_on(tmp_path, StoreEngine)
        store.append([event(number)], NOW)
        assert store.count() == number + 1
        assert engine.rows("SELECT count() FROM system.mutations", NO_PARAMETERS) == [[0]]
        store.close()
