"""What a commit's answer promised holds, whenever the events reach the engine and whatever fails on their way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rollups import METERS, NOON, NOW, SINGLE, correction, event, in_order

from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.meter import MeterQuery
from meterhouse.storage.clickhouse import journal
from meterhouse.storage.clickhouse.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine import EngineError
from meterhouse.storage.clickhouse.event_store import ClickHouseEventStore
from meterhouse.storage.clickhouse.journal import Journal, Segment
from reference import ReferenceStore


class FailingEngine(ChdbEngine):
    """Fails to store events, before or after it has happened, as long as it is told to."""

    fails = ""

    def insert(self, table: str, block: bytes) -> None:
        if self.fails != "before" or table != "events":
            super().insert(table, block)
        if self.fails and table == "events":
            raise EngineError("told to fail")


@contextmanager
def only_when_asked() -> Iterator[None]:
    """Nothing is stored in the background."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_STORE_AFTER_SECONDS", 600)
        yield


@contextmanager
def failing_disk() -> Iterator[None]:
    """Writes arrive, but nobody learns whether for good."""

    def fails(_file: int) -> NoReturn:
        raise OSError(5, "told to fail")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_sync", fails)
        yield


class House:
    """A store with a journal, and what it must know."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.reference = ReferenceStore()
        self.open()

    def open(self) -> None:
        self.engine = FailingEngine(self.folder / "events")
        self.store = ClickHouseEventStore(self.engine, METERS, self.folder / "snapshot", self.folder / "journal")

    def crash(self, *, after_storing: bool) -> None:
        """Begins again with what the journal has at this moment; the engine may have it already."""
        files = self.folder / "journal"
        shutil.copytree(files, self.folder / "copy")
        if not after_storing:
            self.engine.fails = "before"
        self.store.close()
        (self.folder / "snapshot").unlink(missing_ok=True)
        shutil.rmtree(files)
        (self.folder / "copy").rename(files)
        self.open()
        self.reference.commit = self.store.latest_commit()  # a number that stored nothing may be given again

    def append(self, events: list[Event]) -> None:
        assert self.store.append(events, NOW) == self.reference.append(events, NOW)
        self.reference.commit = self.store.latest_commit()

    def refuse(self, events: list[Event]) -> None:
        with pytest.raises(EngineError):
            self.store.append(events, NOW)
        self.reference.commit += 1  # a number is not given again

    def check(self) -> None:
        """Asks for everything, of now and of a commit before."""
        for commit in (self.store.latest_commit(), max(0, self.store.latest_commit() - 1)):
            for meters in (tuple(SINGLE[:8]), (SINGLE[8],)):
                for edges in EDGES:
                    query = MeterQuery("ns", "acme", meters, edges, commit)
                    assert in_order(self.store.measure(query)) == in_order(self.reference.measure(query))
        assert self.store.count() == self.reference.count()


EDGES = [(None, None), (None, NOON + timedelta(hours=2, minutes=7), NOON + timedelta(hours=9))]
EVENTS = st.builds(
    lambda number, content: event(f"e{number}", NOON + timedelta(hours=number), {"n": content, "group": "a"}),
    st.integers(0, 12),
    st.sampled_from([1, 1, 1, 2]),
)
ACTIONS = ["", "check", "fold", "fold and check", "refuse", "refuse and crash", "fail", "crash", "crash after storing"]
STEPS = st.lists(
    st.tuples(
        st.lists(EVENTS, min_size=1, max_size=5), st.sampled_from(["", "", "void", "restore"]), st.sampled_from(ACTIONS)
    ),
    min_size=3,
    max_size=9,
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), steps=STEPS)
def test_whatever_fails_each_event_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, steps: list[tuple[list[Event], str, str]]
) -> None:
    with only_when_asked():
        house = House(tmp_path_factory.mktemp("house"))
        try:
            for new, word, action in steps:
                events = [*new, correction(data.draw(st.sampled_from(new)), void=word == "void")] if word else new
                if action.startswith("refuse"):
                    refused = [*events, event("refused", NOON, {})]
                    with failing_disk():
                        house.refuse(refused)
                    if action == "refuse and crash":
                        house.crash(after_storing=False)
                        if house.store.count() != house.reference.count():  # it may be there all the same, whole
                            house.reference.commit -= 1
                            house.reference.append(refused, NOW)
                            house.check()
                house.append(events)
                if action == "check":
                    house.check()
                elif action.startswith("fold"):
                    while house.store.fold(house.store.latest_commit()):
                        pass
                    if action != "fold":
                        house.append([correction(data.draw(st.sampled_from(new)), void=data.draw(st.booleans()))])
                        house.check()
                elif action == "fail":
                    house.engine.fails = "before"
                    with pytest.raises(EngineError):
                        house.store.count()
                    house.append(events)  # is known, though the engine does not have it
                    house.engine.fails = "after"
                    with suppress(EngineError):
                        house.store.count()
                    house.engine.fails = ""
                    house.check()
                elif action.startswith("crash"):
                    house.crash(after_storing=action != "crash")
            house.check()
        finally:
            house.store.close()


def test_what_came_together_is_stored_by_one_insert(tmp_path: Path) -> None:
    with only_when_asked():
        house = House(tmp_path)
        for number in range(40):
            house.append([event(f"e{number}", NOON, {"n": 1}), event(f"f{number}", NOON, {"n": 1})])
        parts = "SELECT count(), sum(rows), uniqExact(name) FROM system.parts WHERE table = 'events'"
        assert house.engine.rows(parts, {}) == [[0, 0, 0]]
        house.check()
        assert house.engine.rows(parts, {}) == [[1, 80, 1]]
        house.store.close()


def test_it_is_stored_soon_though_nobody_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_STORE_AFTER_SECONDS", 0.01)
    house = House(tmp_path)
    house.engine.fails = "before"
    house.append([event("e1", NOON, {"n": 1})])
    for _ in range(200):
        if house.engine.rows("SELECT count() FROM events", {}) == [[1]]:
            break
        house.engine.fails = ""  # what has failed is tried again
        time.sleep(0.05)
    else:
        raise AssertionError("it was not stored")
    house.store.close()


def test_an_event_that_waits_is_known_however_long_its_data(tmp_path: Path) -> None:
    """Nobody has to ask the engine for it."""
    with only_when_asked():
        house = House(tmp_path)
        long = event("long", NOON, {"group": "x" * 5_000})
        house.append([long])
        house.engine.fails = "before"
        assert house.store.append([long], NOW) == [Outcome.DUPLICATE]
        house.engine.fails = ""
        house.store.close()


def test_what_was_removed_does_not_come_back(tmp_path: Path) -> None:
    """Nothing is removed before the journal is rid of it."""
    with only_when_asked():
        house = House(tmp_path)
        house.append([event("e1", NOON, {"n": 1}), event("e2", NOON, {"n": 1}, org="it's")])
        with failing_disk(), pytest.raises(EngineError):
            house.store.remove("ns", "acme")
        house.crash(after_storing=True)
        house.check()
        assert house.store.remove("ns", "acme") == 1
        house.crash(after_storing=True)
        assert house.store.count() == 1
        house.store.close()


def test_what_was_refused_and_repeated_counts_once_though_the_files_took_turns(tmp_path: Path) -> None:
    with only_when_asked():
        house = House(tmp_path)
        house.append([event("e1", NOON, {"n": 1})])
        with failing_disk():
            house.refuse([event("e2", NOON, {"n": 1})])
        house.engine.fails = "before"
        with pytest.raises(EngineError):
            house.store.count()
        house.append([event("e2", NOON, {"n": 1})])
        house.crash(after_storing=False)
        house.check()
        house.store.close()


def test_who_commits_waits_when_too_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_MOST_BYTES", 5_000)
    with only_when_asked():
        house = House(tmp_path)
        house.engine.fails = "before"
        house.append([event("e1", NOON, {"group": "x" * 4_000})])
        house.refuse([event("e2", NOON, {"group": "x" * 4_000})])
        house.engine.fails = ""
        house.append([event("e2", NOON, {"group": "x" * 4_000})])
        house.check()
        house.store.close()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), blocks=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4))
def test_of_a_file_cut_short_or_spoilt_the_records_before_are_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, blocks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("segment") / "0"
    segment = Segment(path)
    records = list(enumerate(blocks, 1))
    ends = [0]
    for record in records:
        segment.append(record)
        ends.append(segment.size)
    segment.close()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    spoilt = bytes([content[place] ^ data.draw(st.integers(1, 255))])
    path.write_bytes(content[:place] + data.draw(st.sampled_from([b"", spoilt + content[place + 1 :]])))
    segment = Segment(path)
    assert segment.records() == records[: sum(end <= place for end in ends[1:])]
    segment.empty()
    segment.append((9, b"later"))
    assert segment.records() == [(9, b"later")]
    segment.close()


def test_a_refused_record_is_gone_before_the_next(tmp_path: Path) -> None:
    segment = Segment(tmp_path / "0")
    segment.append((1, b"first"))
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append((2, b"refused, and longer than what follows"))
    segment.append((3, b"third"))
    assert segment.records() == [(1, b"first"), (3, b"third")]
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append((4, b"refused"))
    segment.mend()
    segment.close()
    segment = Segment(tmp_path / "0")
    assert segment.records() == [(1, b"first"), (3, b"third")]
    segment.close()


def test_what_a_refused_record_holds_is_never_read_as_one(tmp_path: Path) -> None:
    """Though a client may send what looks like a record, just behind the end of the next."""
    forged = Segment(tmp_path / "forged")
    forged.append((9, b"forged"))
    forged.close()
    segment = Segment(tmp_path / "0")
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append((1, b"third" + (tmp_path / "forged").read_bytes()))
    segment.append((3, b"third"))
    segment.close()
    segment = Segment(tmp_path / "0")
    assert segment.records() == [(3, b"third")]
    segment.close()


def test_a_journal_that_cannot_be_had_says_which(tmp_path: Path) -> None:
    engine = ChdbEngine(tmp_path / "events")
    (tmp_path / "journal").write_text("not a folder")
    with pytest.raises(EngineError, match="journal"):
        Journal(engine, tmp_path / "journal")
    engine.close()
