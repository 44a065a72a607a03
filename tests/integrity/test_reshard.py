"""Another number of shards changes no answer, wherever its making is interrupted."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest

from meterhouse.domain.errors import FolderError
from meterhouse.domain.event import Event
from meterhouse.domain.loss import Loss
from meterhouse.domain.retention import EVERYONE
from meterhouse.domain.shards import ShardMap
from meterhouse.offline import reshard, verify
from meterhouse.storage import reshard as resharding
from meterhouse.storage import reshard_switch
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import FullDisk
from meterhouse.storage.folder import DataFolder
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.storage.manifest import Removal, read_manifest
from meterhouse.storage.reshard_marker import write_switch
from support.books import NOW
from support.depth import by_depth
from support.processes import Process
from support.shards import SETTINGS, Twins, copied, count_of, events_of, filled, ledger_of, map_of, opened, rows_of
from support.stores import open_store

BEGIN = NOW - timedelta(days=40)
FILES = ["format", "ledger.sqlite", "lock", "manifest"]
OF_ONE = sorted([*FILES, "events", "identities.snapshot", "journal"])
OF_MANY = sorted([*FILES, "shards"])


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(by_depth(1, 1, 30)))
def test_every_answer_is_as_it_was(tmp_path: Path, seed: int) -> None:
    random = Random(f"reshard {seed}")
    twins = Twins.begin(tmp_path)
    first = events_of(random, 200, "first")
    voided = random.sample(first, 3)
    twins.tell(BEGIN, first, void=voided[:2])
    counts = [3, 2, 1] if seed == 0 else [*random.sample(range(2, 9), 2), 1]
    for number, count in enumerate(counts):
        before = count_of(twins.sharded)
        done = reshard(twins.sharded, SETTINGS, count)
        assert (done.before, done.finished) == (before, None)
        now = BEGIN + timedelta(days=3 * number + 1, microseconds=random.randrange(10**6))
        fresh = events_of(random, 60, f"{number}")
        if number == 0:
            twins.tell(now, fresh, undo=voided[:1], void=voided[2:])
        elif number == 1:
            twins.tell(now, fresh, undo=voided[2:])
            twins.reduce(now + timedelta(hours=1), {"onepin": 30})
        else:
            twins.tell(now, [*twins.sent], known=True)
    for count in (3, 2):
        reshard(twins.sharded, SETTINGS, count)
        assert records(twins.sharded) == [*range(count)]
    assert verify(twins.sharded, SETTINGS) == []


def records(data: Path) -> list[int]:
    """The shards that know what was reduced of a namespace."""
    return [shard for shard, (_, organization, *_) in rows_of(data) if organization == EVERYONE]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one shard, and beside it what it becomes with three."""
    folder = tmp_path_factory.mktemp("made")
    data = folder / "1"
    filled(data, BEGIN)
    copied(data, folder / "3")
    reshard(folder / "3", SETTINGS, 3)
    return folder


def tree(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if "ledger.sqlite-" not in each.name)


def names(folder: Path) -> list[str]:
    left = ("ledger.sqlite-shm", "ledger.sqlite-wal", "address")
    return sorted(each.name for each in folder.iterdir() if each.name not in left)


def check(data: Path, count: int, rows: list[Any]) -> None:
    """Everything is there once, where it belongs, and nothing else."""
    assert count_of(data) == count
    assert names(data) == (OF_ONE if count == 1 else OF_MANY)
    state = read_manifest(data / "manifest").state
    assert state.events == (len(rows) if count == 1 else 0)
    found = rows_of(data)
    home = map_of(data)
    for shard, (namespace, organization, *_) in found:
        assert home.shard_of(namespace, organization) == shard
    assert sorted(row for _, row in found) == rows
    assert verify(data, SETTINGS) == []


def rows_in(data: Path) -> list[Any]:
    return sorted(row for _, row in rows_of(data))


class Stopped(BaseException):
    """As if the process had been killed."""


def stopping(patch: pytest.MonkeyPatch, at: int) -> Callable[[], int]:
    """Stops before the numbered step of a switch; answers how many there have been."""
    steps = [0]

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if steps[0] == at:
                raise Stopped
            steps[0] += 1
            return step(*arguments, **named)

        return run

    for owner, name in (
        (reshard_switch, "_move"),
        (reshard_switch, "sync_folder"),
        (reshard_switch, "discard"),
        (SqlLedger, "set_shard_map"),
        (shutil, "rmtree"),
        (Path, "unlink"),
        (Path, "rmdir"),
    ):
        patch.setattr(owner, name, counted(getattr(owner, name)))
    return lambda: steps[0]


@pytest.mark.parametrize(("before", "count"), [(1, 3), (3, 2), (3, 1)])
@pytest.mark.thorough
def test_a_switch_may_be_stopped_at_every_step(made: Path, tmp_path: Path, before: int, count: int) -> None:
    data = copied(made / str(before), tmp_path / "data")
    begin_switch(data, count)
    done = copied(data, tmp_path / "done")
    assert reshard(done, SETTINGS, count).finished == count
    check(done, count, rows_in(made / "1"))
    expected, at = tree(done), 0
    while True:
        tried = copied(data, tmp_path / f"stopped at {at}")
        with pytest.MonkeyPatch.context() as patch:
            steps = stopping(patch, at)
            try:
                reshard(tried, SETTINGS, count)
            except Stopped:
                pass
            else:
                assert steps() <= at
                break
        if (tried / "resharding" / "done").exists():
            told = f"not finished.*meterhouse reshard {count} --data"
            with pytest.raises(FolderError, match=told), opened(tried, NOW):
                pass
            with pytest.raises(FolderError, match=told):
                verify(tried, SETTINGS)
            assert reshard(tried, SETTINGS, count).finished == count
        else:
            reshard(tried, SETTINGS, count)
        assert count_of(tried) == count
        assert tree(tried) == expected
        shutil.rmtree(tried)
        at += by_depth(3, 1, 1)
    assert at > 8


def begin_switch(data: Path, count: int) -> None:
    """Leaves a reshard that has to be finished."""

    def write_and_stop(*arguments: Any) -> NoReturn:
        write_switch(*arguments)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resharding, "write_switch", write_and_stop)
        with pytest.raises(Stopped):
            reshard(data, SETTINGS, count)


@pytest.mark.thorough
def test_it_may_be_killed_at_any_time(made: Path, tmp_path: Path) -> None:
    data = copied(made / "1", tmp_path / "data")
    rows = rows_in(data)
    random = Random(7)
    environment = {**os.environ}
    killed, count = 0, 1
    printed = tmp_path / "printed"
    printed.touch()
    longest = 1.0
    for _ in range(by_depth(2, 10, 150)):
        target = random.choice([each for each in (1, 2, 3, 5) if each != count])
        process = Process(["reshard", str(target), "--data", str(data)], environment, printed=printed)
        begun = time.monotonic()
        time.sleep(random.random() * longest)
        process.kill()
        killed += process.wait() != 0
        if process.poll() == 0:
            longest = (time.monotonic() - begun) / 2
        again = reshard(data, SETTINGS, target)
        assert again.finished in (None, target)
        count = target
        check(data, count, rows)
    assert killed


@pytest.mark.parametrize("step", ["write_out", "take_in_numbered", "sync_tree"])
def test_a_failure_before_the_switch_changes_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    data = copied(made / "3", tmp_path / "data")

    def full(*_arguments: object) -> NoReturn:
        raise OSError(28, "No space left on device") if step == "sync_tree" else FullDisk("No space left on device")

    monkeypatch.setattr(resharding, step, full)
    with pytest.raises(FolderError, match=r"nothing was changed: .*No space left"):
        reshard(data, SETTINGS, 2)
    check(data, 3, rows_in(made / "1"))


def test_without_room_it_does_not_begin(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(FolderError, match=r"no room to reshard .* has 1 bytes left, and about [\d,]{5,} are needed"):
        reshard(made / "1", SETTINGS, 3)
    assert names(made / "1") == OF_ONE


def test_the_same_number_changes_nothing_and_cleans_up_what_was_given_up(made: Path, tmp_path: Path) -> None:
    data = copied(made / "1", tmp_path / "data")
    (data / "resharding" / "0" / "events").mkdir(parents=True)
    with opened(data, NOW):
        pass  # a server does not mind
    done = reshard(data, SETTINGS, 1)
    assert (done.before, done.events, done.finished) == (1, 0, None)
    check(data, 1, rows_in(made / "1"))


def test_a_folder_that_is_used_or_not_whole_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is no data folder"):
        reshard(tmp_path / "nothing", SETTINGS, 2)
    data = copied(made / "3", tmp_path / "data")
    with closing(DataFolder(data / "shards" / "1")), pytest.raises(FolderError, match="shards/1 is in use by process"):
        reshard(data, SETTINGS, 2)
    told = r"has 3 shards: serve it with `meterhouse serve`, and name .* --url"
    with pytest.raises(FolderError, match=told), opened(data, NOW):
        pass
    part = next((data / "shards" / "2" / "events" / "data" / "default" / "events").resolve().glob("all_*"))
    shutil.rmtree(part)
    with pytest.raises(FolderError, match=r"shards/2: .* are missing[^$]*meterhouse repair .*/data`"):
        reshard(data, SETTINGS, 2)
    shutil.rmtree(data / "shards" / "0")
    with pytest.raises(FolderError, match="shards/0 is gone"):
        reshard(data, SETTINGS, 2)
    (data / "ledger.sqlite").unlink()
    with pytest.raises(FolderError, match=r"ledger\.sqlite is gone"):
        reshard(data, SETTINGS, 2)
    with pytest.raises(FolderError, match=r"ledger\.sqlite is gone"), opened(data, NOW):
        pass
    assert names(data) == [each for each in OF_MANY if each != "ledger.sqlite"]


def test_a_purge_that_has_begun_is_waited_for(made: Path, tmp_path: Path) -> None:
    data = copied(made / "1", tmp_path / "data")
    read_manifest(data / "manifest").update(removal=Removal("unsiloed", "unsiloed-0", 1, 0))
    with pytest.raises(FolderError, match=r"unsiloed/unsiloed-0 are being removed\. Serve"):
        reshard(data, SETTINGS, 3)


def test_events_that_do_not_arrive_as_they_were_are_noticed(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = copied(made / "3", tmp_path / "data")
    real = resharding.take_in_numbered

    def altering(engine: ChdbEngine, path: Path, numbers: Path) -> None:
        real(engine, path, numbers)
        engine.execute("ALTER TABLE events UPDATE data = '{}' WHERE position = 3 SETTINGS mutations_sync = 1")

    monkeypatch.setattr(resharding, "take_in_numbered", altering)
    with pytest.raises(FolderError, match=r"was to be moved as .* and arrived as"):
        reshard(data, SETTINGS, 1)
    monkeypatch.undo()
    monkeypatch.setattr(resharding, "write_homes", _all_at_0)
    with pytest.raises(FolderError, match="arrived in shard"):
        reshard(data, SETTINGS, 2)
    assert names(data) == OF_MANY


def _all_at_0(engine: ChdbEngine, _shard_of: object, path: Path) -> None:
    from meterhouse.storage.clickhouse.maintenance.moving import write_homes

    write_homes(engine, lambda _namespace, _organization: 0, path)


def test_commits_are_numbered_in_the_order_in_which_they_were_known(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with closing(DataFolder(data)), closing(ledger_of(data)) as ledger:
        ledger.set_shard_map(ShardMap.even(2))
    days = {0: [0, 100, 20, 30], 1: [0, 25, 30]}
    """Of each shard. Its clock was far ahead, and set back: what was stored meanwhile was known at once."""
    for shard, stored in days.items():
        with closing(open_store(data / "shards" / str(shard))) as store:
            for day in stored:
                at = BEGIN + timedelta(days=day)
                store.append([Event("ns", "tests", f"{day} of {shard}", "t", "acme", at, b"{}", {})], at)
    reshard(data, SETTINGS, 1)
    with closing(ChdbEngine(data / "events")) as engine:
        found = engine.rows("SELECT id, commit FROM events ORDER BY commit", {})
    told = ["0 of 0", "0 of 1", "100 of 0", "20 of 0", "25 of 1", "30 of 0", "30 of 1"]
    assert found == [[name, number] for number, name in enumerate(told, 1)]


@pytest.mark.thorough
def test_positions_of_before_are_of_the_past(made: Path, tmp_path: Path) -> None:
    data = copied(made / "1", tmp_path / "data")
    read_manifest(data / "manifest").update(commit=1_000)  # as if the newest ones had been purged
    for count in (3, 1):
        reshard(data, SETTINGS, count)
        folders = [data] if count == 1 else [data / "shards" / str(number) for number in range(count)]
        assert [read_manifest(each / "manifest").state.commit for each in folders] == [1_000] * count
    with opened(data, NOW) as client:
        sent = events_of(Random("later"), 1, "later")[0]
        report = client.send_batch(sent.namespace, [sent.json().encode()])
        assert report["position"] == "0-1001"


@pytest.mark.thorough
def test_losses_stay_known_everywhere(made: Path, tmp_path: Path) -> None:
    data = copied(made / "3", tmp_path / "data")
    losses = [Loss(BEGIN + timedelta(days=day), day, f"{day} events") for day in range(3)]
    for number in (2, 1, 0):
        read_manifest(data / "shards" / str(number) / "manifest").update(losses=losses[number:])
    reshard(data, SETTINGS, 2)
    for number in range(2):
        assert read_manifest(data / "shards" / str(number) / "manifest").state.losses == losses
