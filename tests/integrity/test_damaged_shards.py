"""A folder of several shards is looked at and put right as a whole."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from meterhouse.domain.errors import FolderError
from meterhouse.offline import repair, reshard, verify
from meterhouse.storage.manifest import read_manifest
from support.books import NOW
from support.shards import (
    ORGANIZATIONS,
    SETTINGS,
    copied,
    count_of,
    filled,
    ledger_of,
    opened,
    opened_shard,
    rows_of,
)

pytestmark = pytest.mark.thorough  # servers of several processes are started again and again


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two shards, each of which has been used."""
    data = tmp_path_factory.mktemp("whole") / "data"
    filled(data, NOW)
    shutil.copy(data / "ledger.sqlite", data.parent)
    reshard(data, SETTINGS, 2)
    for shard in range(2):
        with opened_shard(data, shard, NOW):
            pass
    assert verify(data, SETTINGS) == []
    return data


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "data")


def part_of(data: Path, shard: int) -> Path:
    return next((data / "shards" / str(shard) / "events" / "data" / "default" / "events").resolve().glob("all_*"))


def test_what_is_lost_of_a_shard_is_told_and_accepted(data: Path) -> None:
    shutil.rmtree(part_of(data, 1))
    problems = verify(data, SETTINGS)
    assert problems
    assert all(each.startswith("shard 1: ") and "are missing" in each for each in problems)
    tried = repair(data, SETTINGS, accept_loss=False)
    assert not tried.accepted
    assert any(each.startswith("shard 1: ") for each in tried.lost)
    accepted = repair(data, SETTINGS, accept_loss=True)
    assert accepted.accepted
    assert verify(data, SETTINGS) == []
    losses = [read_manifest(data / "shards" / str(number) / "manifest").state.losses for number in range(2)]
    assert (len(losses[0]), len(losses[1])) == (0, 1)
    for shard in range(2):
        with opened_shard(data, shard, NOW) as client:
            assert client.call("GET", "/v1/rollups")


def test_a_file_of_another_time_is_told_with_its_shard(data: Path) -> None:
    with closing(ledger_of(data)) as ledger:
        ledger.set_turn(1, 1)
    [problem] = verify(data, SETTINGS)
    assert problem.startswith("shard 1: ledger and events do not belong together")
    [lost] = repair(data, SETTINGS, accept_loss=True).lost
    assert lost == problem
    assert verify(data, SETTINGS) == []


def test_a_shard_that_is_gone_is_missed(data: Path) -> None:
    shutil.rmtree(data / "shards" / "0")
    assert "the ledger tells of shards 0 to 1, and there are 1" in verify(data, SETTINGS)
    tried = repair(data, SETTINGS, accept_loss=False)
    assert tried.lost == [f"shard 0: {data / 'shards' / '0'} is gone, with all events of the shard"]
    assert not (data / "shards" / "0").exists()
    assert repair(data, SETTINGS, accept_loss=True).accepted
    assert verify(data, SETTINGS) == []
    assert {shard for shard, _ in rows_of(data)} == {1}


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_ledger_that_is_lost_knows_its_shards_again(data: Path, damage: str) -> None:
    before = rows_of(data)
    if damage == "gone":
        (data / "ledger.sqlite").unlink()
    else:
        (data / "ledger.sqlite").write_bytes(b"no ledger" * 1_000)
    assert [each for each in verify(data, SETTINGS) if "ledger" in each]
    with pytest.raises(FolderError, match="ledger"), opened(data, NOW):
        pass
    tried = repair(data, SETTINGS, accept_loss=False)
    assert len([each for each in tried.lost if "ledger.sqlite" in each]) == 1
    assert not tried.accepted
    assert repair(data, SETTINGS, accept_loss=True).accepted
    assert count_of(data) == 2
    assert verify(data, SETTINGS) == []
    assert rows_of(data) == before
    with opened(data, NOW, engine=False) as client:
        assert client.call("GET", "/v1/organizations") == []
        body = {"id": "new", "name": "new", "namespace": ORGANIZATIONS[0][0]}
        client.call("POST", "/v1/organizations", body)


def test_a_ledger_of_a_folder_without_shards_is_not_taken(data: Path, whole: Path) -> None:
    shutil.copy(whole.parent / "ledger.sqlite", data)
    assert verify(data, SETTINGS)[0].startswith("the ledger tells of shards 0 to 0, and there are 0, 1")
    with pytest.raises(FolderError, match="has shards, and the ledger does not know of them"), opened(data, NOW):
        pass
    assert repair(data, SETTINGS, accept_loss=False).lost[0] == "the ledger tells of 1 shards, and there are 2"
    assert repair(data, SETTINGS, accept_loss=True).accepted
    assert count_of(data) == 2
    assert verify(data, SETTINGS) == []
