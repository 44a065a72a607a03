"""Putting damaged events right, as far as that is possible, and writing down what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from ..domain.errors import FolderError
from ..domain.loss import Loss
from .clickhouse.dedup import identity_queries
from .clickhouse.dedup.identity_index import index_identities
from .clickhouse.engine import schema_queries
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import NO_PARAMETERS, EmbeddedEngine, EngineError
from .clickhouse.engine.tables import prepare_tables
from .clickhouse.journal import journal_queries
from .clickhouse.journal.segments import SEGMENTS, read_segments
from .clickhouse.maintenance import inspection_queries, mutation_queries
from .clickhouse.maintenance.inspection import Meters, count_events, damaged_parts, differences, has_table
from .clickhouse.maintenance.part_rescue import PartRescue, TakenBack, parts_of_events
from .folder import DataFolder
from .ledger.sql_ledger import SqlLedger
from .pairing import NotAPair, hold_to_each_other


@dataclass(slots=True)
class Report:
    """What a repair did, and what it could not."""

    done: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    accepted: bool = False
    """Whether what is lost was written down as lost: the server starts again."""


class Repair:
    """Of the events of one folder that nobody serves. What cannot be read is set aside, never deleted."""

    def __init__(self, folder: DataFolder, meters: Meters, now: datetime, lost: Iterable[str] = ()):
        """`folder` is opened to be repaired; `lost` is known to be."""
        self._folder = folder
        self._meters = meters
        self._now = now
        self.report = Report(lost=[*folder.problems, *lost])

    def run(self, ledger: SqlLedger | None, shard: int, *, accept_loss: bool) -> Report:
        """Does all that loses nothing; what does lose something only when that is accepted. Raises `EngineError` and
        `OSError`; it can be repeated."""
        if accept_loss and self._folder.problems:
            self._folder.begin_anew()
        if ledger is not None:
            try:
                hold_to_each_other(self._folder.manifest, ledger, shard)
            except NotAPair as wrong:
                self.report.lost.append(str(wrong))
        with closing(self._open()) as engine:
            self._mend_damaged_parts(engine, accept_loss=accept_loss)
            self._take_back_parts(engine)
            prepare_tables(engine)
            index_identities(engine)
            self._mend_journal(engine, accept_loss=accept_loss)
            self._count(engine, accept_loss=accept_loss)
        return self.report

    def _open(self) -> EmbeddedEngine:
        """The engine, over new tables when it cannot read those that are there."""
        folder = self._folder.events
        try:
            engine = ChdbEngine(folder)
        except EngineError as failure:
            why = str(failure)
        else:
            if has_table(engine) or not self._folder.manifest.state.events:
                engine.execute(mutation_queries.KILL_MUTATIONS)
                engine.execute(schema_queries.CREATE_EVENTS)
                return engine
            engine.close()
            why = "there is no table of events"
        aside = self._set_aside(folder)
        engine = ChdbEngine(folder)
        engine.execute(schema_queries.CREATE_EVENTS)
        self.report.done.append(f"tables are made anew ({why}); the old ones are in {aside}")
        if aside is not None:
            self._take_back_parts(engine, parts_of_events(aside))
        return engine

    @staticmethod
    def _rescue(engine: EmbeddedEngine) -> PartRescue:
        [[table]] = engine.rows(schema_queries.FOLDER_OF_TABLE, {"table": "events"})
        return PartRescue(engine, Path(table))

    def _take_back_parts(self, engine: EmbeddedEngine, others: Iterable[Path] | None = None) -> None:
        for taken in self._rescue(engine).take_back(others):
            self.report.done.append(str(taken))
            if taken.older_than_a_change:
                self.report.lost.append(
                    f"erasures and purges in {taken.name}: what was erased in it may be there again"
                )

    def _mend_damaged_parts(self, engine: EmbeddedEngine, *, accept_loss: bool) -> None:
        for part in damaged_parts(engine):
            if part.only_its_index:
                engine.execute(identity_queries.CLEAR_IDENTITIES_AND_WAIT)
                self.report.done.append(f"the index of identities is made anew: {part}")
                continue
            name, wrong = self._rescue(engine).refit(part.name)
            if wrong is not None:
                self.report.done.append(str(TakenBack(part.name, wrong)))
            elif accept_loss:
                count = self._rescue(engine).salvage(name)
                self.report.lost.append(f"{part}; {count:,} of its events could be read, it is set aside")
            else:
                self.report.lost.append(f"{part}; some of its events cannot be read")

    def _mend_journal(self, engine: EmbeddedEngine, *, accept_loss: bool) -> None:
        folder, manifest = self._folder.journal, self._folder.manifest
        missing = [name for name in SEGMENTS if not (folder / name).exists()]
        if missing and not manifest.state.stopped:
            self.report.lost.append(
                f"what was answered after commit {manifest.state.commit} and not stored: {folder} "
                f"lacks {', '.join(missing)}"
            )
        records, damages = read_segments(folder, manifest.state.commit)
        if not damages:
            return
        self.report.lost += map(str, damages)
        if accept_loss:
            stored = {commit for [commit] in engine.rows(journal_queries.COMMITS_SINCE, {"commit": 0})}
            left = [record for record in records if record.commit not in stored]
            if left:
                engine.insert("events", b"".join(record.block for record in left))
            for path in {damage.path for damage in damages}:
                self._set_aside(path)
            self.report.done.append(f"{len(left)} sound commits of the journal are stored")

    def _count(self, engine: EmbeddedEngine, *, accept_loss: bool) -> None:
        """Holds what is there to what there must be."""
        manifest = self._folder.manifest
        state, lost = manifest.state, self.report.lost
        missing: int | None = None
        if state.commit is not None:
            missing = state.events - count_events(engine, state)
            if missing:
                lost += differences(engine, state, state.events - missing, self._meters)
        if self.report.done or missing != 0:  # or what is derived is as true as before
            self._folder.identities.unlink(missing_ok=True)
            engine.execute(inspection_queries.DROP_ROLLUPS)
            engine.sync_parts("events")
        [[commit, events]] = engine.rows(inspection_queries.COMMIT_AND_COUNT, NO_PARAMETERS)
        if lost and accept_loss:
            loss = Loss(at=self._now, events=missing, about="; ".join(lost))
            manifest.lost(loss, commit=max(commit, state.commit or 0), events=events)
            self.report.accepted = True

    def _set_aside(self, path: Path) -> Path | None:
        return set_aside(path, self._now)


def set_aside(path: Path, now: datetime) -> Path | None:
    """Gives a file or folder a name that nobody reads it by. Raises `FolderError` and `OSError`."""
    if not path.exists():
        return None
    aside = path.with_name(f"{path.name}.damaged-{now:%Y%m%dT%H%M%SZ}")
    if aside.exists():
        raise FolderError(f"{aside} is there already: repeat this in a second")
    return path.rename(aside)
