"""Putting a damaged data folder right: its ledger, and the events of all its shards."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime

from ..domain.errors import MeterhouseError
from ..domain.shards import ShardMap
from .clickhouse.maintenance.inspection import Meters
from .folder import DataFolder
from .ledger.sql_ledger import SqlLedger
from .repair import Repair, Report, set_aside


class FolderRepair:
    """Of a folder that nobody serves."""

    def __init__(self, folder: DataFolder, ledger_url: str | None, meters: Meters, now: datetime):
        """`folder` is opened to be repaired."""
        self._folder = folder
        self._ledger_url = ledger_url
        self._meters = meters
        self._now = now

    def run(self, *, accept_loss: bool) -> Report:
        """Does all that loses nothing; what does lose something only when that is accepted. Raises `FolderError`,
        `EngineError` and `OSError`; it can be repeated."""
        ledger, lost = self._open_ledger(accept_loss=accept_loss)
        try:
            if self._folder.shards.exists():
                return self._repair_shards(ledger, lost, accept_loss=accept_loss)
            return Repair(self._folder, self._meters, self._now, lost).run(ledger, 0, accept_loss=accept_loss)
        finally:
            if ledger is not None:
                ledger.close()

    def _open_ledger(self, *, accept_loss: bool) -> tuple[SqlLedger | None, list[str]]:
        """The ledger, and what is lost of it."""
        path = self._folder.ledger
        if self._ledger_url is None and not path.exists():
            gone = [f"{path} is gone, with all organizations and keys"]
            return None, gone if self._folder.lacks_ledger else []
        try:
            return SqlLedger.open(self._ledger_url or self._folder.ledger_url), []
        except MeterhouseError as wrong:
            if accept_loss and self._ledger_url is None:
                for suffix in ("", "-wal", "-shm"):
                    set_aside(path.with_name(path.name + suffix), self._now)
            return None, [str(wrong)]

    def _repair_shards(self, ledger: SqlLedger | None, lost: list[str], *, accept_loss: bool) -> Report:
        known = ledger.shard_map().count if ledger is not None else 0
        count = max([known, *(number + 1 for number in self._folder.shard_numbers())])
        if ledger is not None and known != count:
            lost = [*lost, f"the ledger tells of {known} shards, and there are {count}"]
        report = Report(lost=[*self._folder.problems, *lost])
        if accept_loss and self._folder.problems:
            self._folder.begin_anew()
        for number in range(count):
            path = self._folder.shard(number, count)
            gone = [] if path.exists() else [f"{path} is gone, with all events of the shard"]
            if gone and not accept_loss:
                report.lost.append(f"shard {number}: {gone[0]}")
                continue
            with closing(DataFolder(path, repairing=True)) as shard:
                found = Repair(shard, self._meters, self._now, [*lost, *gone]).run(
                    ledger, number, accept_loss=accept_loss
                )
            report.done += [f"shard {number}: {each}" for each in found.done]
            report.lost += [f"shard {number}: {each}" for each in found.lost if each not in lost]
        if accept_loss and known != count:
            with closing(SqlLedger.open(self._ledger_url or self._folder.ledger_url)) as new:
                new.set_shard_map(ShardMap.even(count))
        report.accepted = accept_loss and bool(report.lost)
        return report
