"""What a commit's answer promised holds, whenever the events reach the engine and whatever fails on their way."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_rollups import METERS, NOON, NOW, SINGLE, correction, event, in_order

from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.meter import MeterQuery
from meterhouse.storage.clickhouse.engine.engine import EngineError
from meterhouse.storage.clickhouse.journal import journal
from meterhouse.storage.clickhouse.journal.segment import Record, Segment
from meterhouse.storage.clickhouse.journal.segments import JournalDamaged, Segments, read_segments
from meterhouse.storage.manifest import State, create_manifest
from meterhouse.storage.reserved_space import ReservedSpace
from support.depth import by_depth
from support.engines import StoreEngine
from support.reference import ReferenceStore
from support.stores import failing_disk, open_on, stored_only_when_asked


class FailingEngine(StoreEngine):
    """Fails to store events, before or after it has happened, as long as it is told to."""

    fails = ""

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        if self.fails != "before" or table != "events":
            super().insert(table, block, token)
        if self.fails and table == "events":
            raise EngineError("told to fail")


class House:
    """A store with a journal, and what it must know."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.reference = ReferenceStore()
        self.open()

    def open(self) -> None:
        self.store, self.engine = open_on(self.folder, FailingEngine, METERS)

    def crash(self, *, after_storing: bool) -> None:
        """Begins again with what the journal has at this moment; the engine may have it already."""
        files = self.folder / "journal"
        shutil.copytree(files, self.folder / "copy", ignore=shutil.ignore_patterns("spare"))
        shutil.copy(self.folder / "manifest", self.folder / "copy of manifest")
        if not after_storing:
            self.engine.fails = "before"
        self.store.close()
        (self.folder / "identities.snapshot").unlink(missing_ok=True)
        shutil.rmtree(files)
        (self.folder / "copy").rename(files)
        if not after_storing:
            (self.folder / "copy of manifest").rename(self.folder / "manifest")
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


_refused = itertools.count()
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


@settings(max_examples=by_depth(5, 12, 200), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), steps=STEPS)
def test_whatever_fails_each_event_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, steps: list[tuple[list[Event], str, str]]
) -> None:
    with stored_only_when_asked():
        house = House(tmp_path_factory.mktemp("house"))
        try:
            for new, word, action in steps:
                events = [*new, correction(data.draw(st.sampled_from(new)), void=word == "void")] if word else new
                if action.startswith("refuse"):
                    refused = [*events, event(f"refused {next(_refused)}", NOON, {})]
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
                    while house.store.materialize(house.store.latest_commit()):
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
    with stored_only_when_asked():
        house = House(tmp_path)
        for number in range(40):
            house.append([event(f"e{number}", NOON, {"n": 1}), event(f"f{number}", NOON, {"n": 1})])
        parts = "SELECT count(), sum(rows), uniqExact(name) FROM system.parts WHERE table = 'events'"
        parts += " AND database = currentDatabase()"
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
    with stored_only_when_asked():
        house = House(tmp_path)
        long = event("long", NOON, {"group": "x" * 5_000})
        house.append([long])
        house.engine.fails = "before"
        assert house.store.append([long], NOW) == [Outcome.DUPLICATE]
        house.engine.fails = ""
        house.store.close()


def test_what_was_removed_does_not_come_back(tmp_path: Path) -> None:
    """Nothing is removed before the journal is rid of it."""
    with stored_only_when_asked():
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
    with stored_only_when_asked():
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
    with stored_only_when_asked():
        house = House(tmp_path)
        house.engine.fails = "before"
        house.append([event("e1", NOON, {"group": "x" * 4_000})])
        house.refuse([event("e2", NOON, {"group": "x" * 4_000})])
        house.engine.fails = ""
        house.append([event("e2", NOON, {"group": "x" * 4_000})])
        house.check()
        house.store.close()


def records(*blocks: bytes) -> list[Record]:
    return [Record(number, len(block), block) for number, block in enumerate(blocks, 1)]


@pytest.mark.embedded
@settings(max_examples=by_depth(70, 140, 2_000), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), blocks=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4))
def test_of_a_file_cut_short_the_records_before_are_read_and_of_a_spoilt_one_all_that_are_sound(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, blocks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("segment") / "0"
    segment = Segment(path)
    written = records(*blocks)
    ends = [segment.size]
    for record in written:
        segment.append(record)
        ends.append(segment.size)
    segment.close()
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    in_record = sum(end <= place for end in ends)
    """0 for the head of the file."""
    if data.draw(st.booleans()):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :]
        )
        sound = written[: in_record - 1] + written[in_record:] if in_record else []
        segment = Segment(path)
        found, damages = segment.read()
        assert found == sound
        [damage] = damages
        assert (damage.after, damage.before) == (
            (in_record - 1, in_record + 1 if in_record < len(written) else 0) if in_record else (0, 0)
        )
    else:
        path.write_bytes(content[:place])
        segment = Segment(path)
        assert segment.read() == (written[: max(0, in_record - 1)], [])
        segment.empty()
        segment.append(Record(9, 1, b"later"))
        assert segment.read() == ([Record(9, 1, b"later")], [])
    segment.close()


@pytest.mark.embedded
def test_what_was_never_written_to_its_end_may_read_as_zeros(tmp_path: Path) -> None:
    """Some file systems give a file its length before its content."""
    segment = Segment(tmp_path / "0")
    segment.append(Record(1, 1, b"first"))
    before = segment.size
    segment.append(Record(2, 1, b"x" * 5_000))
    whole = segment.size
    segment.close()
    for kept in (before, before + 20, before + 2_000):
        os.truncate(tmp_path / "0", kept)
        os.truncate(tmp_path / "0", whole)
        segment = Segment(tmp_path / "0")
        expected = ([Record(1, 1, b"first")], [])
        if kept != before + 20:  # half a head is damage: who wrote it may have been answered
            assert segment.read() == expected
        else:
            assert len(segment.read()[1]) == 1
        segment.close()
        (tmp_path / "0").write_bytes((tmp_path / "0").read_bytes()[:before])
        segment = Segment(tmp_path / "0")
        segment.append(Record(2, 1, b"x" * 5_000))
        segment.close()


@pytest.mark.embedded
def test_a_refused_record_is_gone_before_the_next(tmp_path: Path) -> None:
    first, third = Record(1, 1, b"first"), Record(3, 1, b"third")
    segment = Segment(tmp_path / "0")
    segment.append(first)
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append(Record(2, 1, b"refused, and longer than what follows"))
    segment.append(third)
    assert segment.read() == ([first, third], [])
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append(Record(4, 1, b"refused"))
    segment.truncate_torn_tail()
    segment.close()
    segment = Segment(tmp_path / "0")
    assert segment.read() == ([first, third], [])
    segment.close()


@pytest.mark.embedded
def test_what_a_refused_record_holds_is_never_read_as_one(tmp_path: Path) -> None:
    """Though it may hold what looks like a record, just behind the end of the next."""
    segment = Segment(tmp_path / "0")
    segment.append(Record(9, 1, b"forged"))
    forged = (tmp_path / "0").read_bytes()[-(segment.size - 32) :]
    segment.empty()
    with failing_disk(), pytest.raises(OSError, match="told to fail"):
        segment.append(Record(1, 1, b"third" + forged))
    segment.append(Record(3, 1, b"third"))
    segment.close()
    segment = Segment(tmp_path / "0")
    assert segment.read() == ([Record(3, 1, b"third")], [])
    segment.close()


@pytest.mark.embedded
def test_no_client_can_make_a_torn_record_look_like_damage(tmp_path: Path) -> None:
    """What follows a torn record is looked for by a salt that every file has of its own."""
    other = Segment(tmp_path / "1")
    other.append(Record(9, 1, b"forged"))
    other.close()
    segment = Segment(tmp_path / "0")
    segment.append(Record(1, 1, b"first"))
    segment.append(Record(2, 1, (tmp_path / "1").read_bytes()[32:] + b"x" * 100))
    os.truncate(tmp_path / "0", segment.size - 50)
    segment.close()
    segment = Segment(tmp_path / "0")
    assert segment.read() == ([Record(1, 1, b"first")], [])
    segment.close()


@pytest.mark.embedded
def test_a_segment_that_was_being_emptied_when_the_power_went_is_no_damage(tmp_path: Path) -> None:
    """A file system writes zeros over the rest of the block in which the file is to end before the file ends there.
    What a segment lacks then was stored: nothing else empties one."""
    segment = Segment(tmp_path / "0")
    for commit in (7, 8, 9):
        segment.append(Record(commit, 1, bytes([commit]) * 3000))
    segment.close()
    content = (tmp_path / "0").read_bytes()
    (tmp_path / "0").write_bytes(content[:32] + bytes(4096 - 32) + content[4096:])
    last = Record(9, 1, b"\t" * 3000)
    assert read_segments(tmp_path, 9) == ([], [])
    assert read_segments(tmp_path, 8) == ([last], [])
    for stored in (7, None):
        records, [damage] = read_segments(tmp_path, stored)
        assert records == [last]
        assert "damaged at its beginning (byte 32); the commits from 9 on are sound" in str(damage)


@pytest.mark.embedded
@pytest.mark.parametrize("begin", range(4096 - 64, 4096 + 8, 8))
@pytest.mark.parametrize("there", [0, 1])
def test_a_record_of_which_one_block_was_never_written_is_cut_short(tmp_path: Path, begin: int, there: int) -> None:
    """Wherever the block ends, in its head too: either one may reach the disk before the other."""
    segment = Segment(tmp_path / "0")
    segment.append(Record(1, 1, b"x" * (begin - segment.size - 56)))
    assert segment.size == begin
    segment.append(Record(2, 1, b"y" * 4000))
    segment.close()
    content = bytearray((tmp_path / "0").read_bytes())
    lost = slice(begin, max(begin, 4096)) if there else slice(max(begin, 4096), len(content))
    content[lost] = bytes(len(content[lost]))
    (tmp_path / "0").write_bytes(content)
    records, damages = read_segments(tmp_path, 0)
    assert damages == []
    assert [record.commit for record in records] == ([1, 2] if there and begin >= 4096 else [1])


def test_a_start_stops_at_damage_and_keeps_the_file(tmp_path: Path) -> None:
    with stored_only_when_asked():
        house = House(tmp_path)
        for number in range(3):
            house.append([event(f"e{number}", NOON, {"n": 1})])
        copied = tmp_path / "copied"
        shutil.copytree(tmp_path / "journal", copied)
        shutil.copy(tmp_path / "manifest", copied / "manifest")
        house.engine.fails = "before"
        house.store.close()
        for name in ("0", "1"):
            shutil.copy(copied / name, tmp_path / "journal" / name)
        shutil.copy(copied / "manifest", tmp_path / "manifest")
        path = tmp_path / "journal" / "0"
        content = bytearray(path.read_bytes())
        content[100] ^= 1
        path.write_bytes(content)
        with pytest.raises(JournalDamaged, match=r"0 is damaged at its beginning.*from 2 on are sound"):
            house.open()
        house.engine.close()
        assert path.read_bytes() == content


@pytest.mark.parametrize("name", ["0", "1"])
def test_a_journal_that_is_gone_after_a_crash_stops_the_start(tmp_path: Path, name: str) -> None:
    house = House(tmp_path)
    house.append([event("e1", NOON, {"n": 1})])
    house.store.close()
    (tmp_path / "journal" / name).unlink()
    house.open()  # it was stopped in order: nothing was in there
    shutil.copy(tmp_path / "manifest", tmp_path / "copy")
    house.store.close()
    (tmp_path / "copy").rename(tmp_path / "manifest")
    (tmp_path / "journal" / name).unlink()
    with pytest.raises(JournalDamaged, match=f"journal/{name} must be there"):
        house.open()
    house.engine.close()


def test_a_journal_that_cannot_be_had_says_which(tmp_path: Path) -> None:
    engine = StoreEngine(tmp_path / "events")
    manifest = create_manifest(tmp_path / "manifest", State())
    (tmp_path / "journal").write_text("not a folder")
    with pytest.raises(EngineError, match="journal"):
        Segments(engine, tmp_path / "journal", manifest, ReservedSpace(tmp_path / "spare")).left()
    engine.close()
