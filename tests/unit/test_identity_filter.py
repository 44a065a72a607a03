"""The filter may say "maybe" to a stranger, but never "no" to one it knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.storage.clickhouse.dedup import identity_filter
from meterhouse.storage.clickhouse.dedup.filter_snapshot import CommitFingerprint, FilterSnapshot, SnapshotFile
from meterhouse.storage.clickhouse.dedup.identity_filter import IdentityFilter
from meterhouse.storage.clickhouse.dedup.identity_hash import Hashes

MARK = CommitFingerprint(7, 3, 2**64 - 1, 5)
MASKS = [("ns", "it's \n ü", [1, 2, 4_000_000])]

numbers = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3), st.sampled_from([2**58 - 1, 2**58, 2**64 - 1]))
hashes = st.lists(numbers, max_size=200).map(lambda numbers: np.array(numbers, dtype=np.uint64))


@pytest.fixture(autouse=True, scope="module")
def _small_shards() -> Iterator[None]:
    """They grow sooner, and a file of them is read faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity_filter, "_FIRST_CAPACITY", 4_096)
        yield


class Stored:
    """What a table has: everything that was added before."""

    def __init__(self) -> None:
        self.hashes: Hashes = np.zeros(0, dtype=np.uint64)
        self.asked = 0

    def scan(self, first: int, last: int) -> Hashes:
        self.asked += 1
        return self.hashes[(self.hashes >= np.uint64(first)) & (self.hashes <= np.uint64(last))]


def remembered(known: IdentityFilter, stored: Stored, new: Hashes) -> None:
    known.add(new)
    stored.hashes = np.concatenate((stored.hashes, new))


def random_hashes(count: int, seed: int = 1) -> Hashes:
    return np.random.default_rng(seed).integers(0, 2**64, size=count, dtype=np.uint64)


@given(st.lists(hashes, max_size=5))
def test_knows_all_that_was_added(batches: list[Hashes]) -> None:
    stored = Stored()
    known = IdentityFilter(stored.scan)
    for batch in batches:
        remembered(known, stored, batch)
        assert known.may_contain(stored.hashes).all()


def test_knows_all_while_it_grows_and_few_strangers() -> None:
    added, stored = random_hashes(1_000_000), Stored()
    known = IdentityFilter(stored.scan)
    for begin in range(0, len(added), 70_000):
        remembered(known, stored, added[begin : begin + 70_000])
        assert known.may_contain(stored.hashes).all()
        assert known.may_contain(random_hashes(100_000, 2)).mean() < 0.003
    assert stored.asked > 64  # every shard has grown
    assert known.bytes / 1_000_000 < 2.6


def test_shards_grow_when_all_identities_are_in_one() -> None:
    stored = Stored()
    known = IdentityFilter(stored.scan)
    for begin in range(0, 40_000, 1_000):
        remembered(known, stored, np.arange(begin, begin + 1_000, dtype=np.uint64))
    assert known.may_contain(stored.hashes).all()
    assert known.may_contain(np.arange(50_000, 90_000, dtype=np.uint64)).mean() < 0.003


@pytest.mark.parametrize("told", [1, 1_000, 300_000, 9_000_000])
def test_is_filled_from_what_is_stored_whatever_number_was_told(told: int) -> None:
    stored = Stored()
    stored.hashes = random_hashes(300_000)
    known = IdentityFilter.of_stored(stored.scan, told)
    assert known.may_contain(stored.hashes).all()
    assert known.may_contain(random_hashes(100_000, 2)).mean() < 0.003


def test_an_empty_filter_knows_nobody() -> None:
    stored = Stored()
    assert not IdentityFilter(stored.scan).may_contain(np.arange(10, dtype=np.uint64)).any()
    assert not IdentityFilter.of_stored(stored.scan, 0).may_contain(np.arange(10, dtype=np.uint64)).any()
    assert stored.asked == 0


class TestSnapshot:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "identities.snapshot"
        known = IdentityFilter(Stored().scan)
        known.add(random_hashes(5_000))
        SnapshotFile(path).save(FilterSnapshot(known.shards(), MARK, MASKS))
        return path

    def test_comes_back_as_it_was(self, path: Path) -> None:
        loaded = SnapshotFile(path).load()
        assert loaded is not None
        shards, mark, masks = loaded
        assert (mark, masks) == (MARK, MASKS)
        known = IdentityFilter(Stored().scan)
        known.restore(shards)
        assert known.size == 5_000
        assert known.may_contain(random_hashes(5_000)).all()
        assert known.may_contain(random_hashes(5_000, 2)).mean() < 0.003
        known.add(random_hashes(5_000, 2))
        assert known.may_contain(random_hashes(5_000, 2)).all()
        assert [file.name for file in path.parent.iterdir()] == [path.name]

    def test_there_may_be_none(self, tmp_path: Path) -> None:
        assert SnapshotFile(tmp_path / "none").load() is None
        SnapshotFile(tmp_path / "none").drop()
        (tmp_path / "none").mkdir()
        assert SnapshotFile(tmp_path / "none").load() is None

    @given(st.data())
    def test_what_is_not_whole_is_not_read(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        path = tmp_path_factory.mktemp("snapshot") / "file"
        known = IdentityFilter(Stored().scan)
        known.add(random_hashes(100))
        SnapshotFile(path).save(FilterSnapshot(known.shards(), MARK, MASKS))
        whole = path.read_bytes()
        place = data.draw(st.one_of(st.integers(0, 1_500), st.integers(0, len(whole) - 1)))
        match data.draw(st.sampled_from(["cut", "flip", "zero", "more", "twice"])):
            case "cut":
                path.write_bytes(whole[:place])
            case "flip":
                bit = 1 << data.draw(st.integers(0, 7))
                path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            case "zero":
                path.write_bytes(bytes(len(whole)))
            case "more":
                path.write_bytes(whole + b"\0")
            case "twice":
                path.write_bytes(whole + whole)
        assert SnapshotFile(path).load() is None

    def test_one_that_is_interrupted_leaves_the_old_one(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_: int) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr("os.fsync", fail)
        known = IdentityFilter(Stored().scan)
        with pytest.raises(OSError, match="no space"):
            SnapshotFile(path).save(FilterSnapshot(known.shards(), CommitFingerprint(8, 1, 1, 1), []))
        loaded = SnapshotFile(path).load()
        assert loaded is not None
        assert loaded[1] == MARK
