"""Another number of shards: the events of every organization are moved to the shard that it is to live in.

New shards are made beside the old ones, which stay as they are until all of the new are whole and on the disk. What
`reshard_switch` does from then on is finished by whoever repeats the reshard.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..domain.errors import FolderError
from ..domain.shards import ShardMap
from .assembly import assemble_store
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import EngineError, FullDisk
from .clickhouse.engine.tables import prepare_tables
from .clickhouse.maintenance.inspection import Meters
from .clickhouse.maintenance.moving import (
    Content,
    number_commits,
    organizations,
    take_in,
    take_in_numbered,
    write_homes,
    write_out,
)
from .durable import sync_tree
from .folder import RESHARDED, RESHARDING, DataFolder
from .ledger.sql_ledger import SqlLedger
from .manifest import State, create_manifest, losses_of
from .pairing import hold_to_each_other
from .reserved_space import ReservedSpace
from .reshard_marker import Switch, write_switch
from .reshard_switch import discard, finish

_ROOM = 3
"""How much room each byte of events may need: in files on the way, in the new shards, and in parts that are merged
there."""


@dataclass(frozen=True, slots=True)
class Resharded:
    """What has become of a folder."""

    before: int
    """How many shards it had."""
    events: int
    """How many were moved."""
    finished: int | None
    """How many shards it was given first, because that had begun."""


def reshard(path: Path, count: int, ledger_url: str | None, meters: Meters) -> Resharded:
    """Gives a folder that nobody serves so many shards. Raises `FolderError`; nothing has changed then, unless it says
    that the reshard is to be repeated."""
    with ExitStack() as stack:
        root = DataFolder(path, resharding=True)
        stack.callback(root.close)
        ledger = _open_ledger(root, ledger_url)
        stack.callback(ledger.close)
        building = root.path / RESHARDING
        try:
            finished = finish(root, ledger)
            discard(building)
            before, events = ledger.shard_map(), 0
            if before.count != count:
                events = _Moving(root, before, ShardMap.even(count), meters).build(ledger)
                finish(root, ledger)
        except OSError as wrong:
            told = "the reshard is to be repeated" if (building / RESHARDED).exists() else "nothing was changed"
            raise FolderError(f"{path} cannot be resharded, {told}: {wrong}") from wrong
    return Resharded(before.count, events, finished)


def _open_ledger(root: DataFolder, ledger_url: str | None) -> SqlLedger:
    if ledger_url is None and root.lacks_ledger:
        raise FolderError(f"{root.ledger} is gone, with all organizations and keys{_what_to_do(root)}")
    return SqlLedger.open(ledger_url or root.ledger_url)


class _Moving:
    """The way of a folder's events into new shards."""

    def __init__(self, root: DataFolder, before: ShardMap, after: ShardMap, meters: Meters):
        self._root = root
        self._before = before
        self._after = after
        self._meters = meters
        self._building = root.path / RESHARDING
        self._files = self._building / "moving"

    def build(self, ledger: SqlLedger) -> int:
        """Makes the new shards, and marks them when they are whole and on the disk; answers how many events they have.
        Raises `FolderError` and `OSError`."""
        with self._old_shards(ledger) as old, self._discarding():
            self._check_room(old)
            self._files.mkdir(parents=True)
            there, here, events = Content(), Content(), 0
            for number, folder in enumerate(old):
                there += self._write_out(number, folder)
            for number in range(self._after.count):
                content, count = self._make(number, old)
                here, events = here + content, events + count
            if here != there:
                raise FolderError(f"{self._root.path} was to be moved as {there}, and arrived as {here}")
            shutil.rmtree(self._files)
            if self._after.count > 1:
                create_manifest(self._building / "manifest", State())
            sync_tree(self._building)
            write_switch(self._building / RESHARDED, Switch(self._before.count, self._after.shards))
        return events

    @contextmanager
    def _old_shards(self, ledger: SqlLedger) -> Iterator[list[DataFolder]]:
        """All of them, held, with the ledger that they belong to."""
        with ExitStack() as stack:
            found = []
            for number in range(self._before.count):
                path = self._root.shard(number, self._before.count)
                if not path.exists():
                    raise FolderError(f"{path} is gone, with the events of shard {number}{_what_to_do(self._root)}")
                folder = self._root
                if path != self._root.path:
                    folder = DataFolder(path)
                    stack.callback(folder.close)
                hold_to_each_other(folder.manifest, ledger, number)
                if (removal := folder.manifest.state.removal) is not None:
                    raise FolderError(
                        f"{path}: the events of {removal.namespace}/{removal.organization} are being removed. Serve "
                        f"{self._root.path} until that is done, and repeat this"
                    )
                found.append(folder)
            yield found

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """Leaves nothing of what has failed."""
        try:
            yield
        except BaseException as failure:
            if not (self._building / RESHARDED).exists():
                discard(self._building)
            if isinstance(failure, FullDisk):
                raise FolderError(f"the disk is full, and nothing was changed: {failure}") from failure
            if isinstance(failure, EngineError):
                raise FolderError(
                    f"{self._root.path} cannot be resharded, and nothing was changed: {failure}"
                ) from failure
            raise

    def _check_room(self, old: list[DataFolder]) -> None:
        files = (each for folder in old for each in folder.events.rglob("*") if each.is_file())
        needed = _ROOM * sum(each.stat().st_size for each in files)
        free = shutil.disk_usage(self._root.path).free
        if free < needed:
            raise FolderError(
                f"there is no room to reshard {self._root.path}: the disk has {free:,} bytes left, and about "
                f"{needed:,} are needed. Nothing was changed"
            )

    def _write_out(self, number: int, folder: DataFolder) -> Content:
        """Writes the events of an old shard into a file for each of the new ones that they are to live in."""
        try:
            engine = ChdbEngine(folder.events)
            store = assemble_store(engine, folder, ReservedSpace(folder.journal / "spare"), self._meters)
        except (EngineError, FolderError) as failure:
            raise FolderError(f"{folder.path}: {failure}{_what_to_do(self._root)}") from failure
        with closing(store):
            homes = self._files / f"{number}.homes"
            write_homes(engine, self._after.shard_of, homes)
            for target in range(self._after.count):
                if number in self._origins(target):
                    write_out(engine, homes, target, self._file(number, target))
            return Content.of(engine)

    def _origins(self, number: int) -> list[int]:
        """The old shards that a new one has organizations of."""
        pairs = zip(self._before.shards, self._after.shards, strict=True)
        return sorted({old for old, new in pairs if new == number})

    def _file(self, old: int, new: int) -> Path:
        return self._files / f"{old}-{new}.events"

    def _make(self, number: int, old: list[DataFolder]) -> tuple[Content, int]:
        """Makes a new shard; answers what it has, and how many events."""
        files = {origin: self._file(origin, number) for origin in self._origins(number)}
        numbers = self._number(files) if len(files) > 1 else {}
        with closing(DataFolder(self._building / str(number))) as folder:
            engine = ChdbEngine(folder.events)
            with closing(engine):
                prepare_tables(engine)
                if len(files) == 1:
                    take_in(engine, *files.values())
                for origin in numbers:
                    take_in_numbered(engine, files[origin], numbers[origin])
                self._check_homes(engine, number)
                with closing(assemble_store(engine, folder, ReservedSpace(folder.journal / "spare"), {})) as store:
                    content, events, commit = Content.of(engine), store.count(), store.latest_commit()
            # Positions that were told of an old shard are of the past in the new one too.
            commit = max(commit, *(old[origin].manifest.state.commit or 0 for origin in files))
            losses = losses_of(each.manifest.state for each in old)
            folder.manifest.update(commit=commit, events=events, turn=None, losses=losses)
        for file in files.values():
            file.unlink()
        return content, events

    def _number(self, files: dict[int, Path]) -> dict[int, Path]:
        """Files with the new numbers of the commits, by the old shard that they were of."""
        scratch = self._files / "numbering"
        numbers = {origin: self._files / f"{origin}.numbers" for origin in files}
        with closing(ChdbEngine(scratch)) as engine:
            number_commits(engine, files, numbers)
        shutil.rmtree(scratch)
        return numbers

    def _check_homes(self, engine: ChdbEngine, number: int) -> None:
        for namespace, organization in organizations(engine):
            if self._after.shard_of(namespace, organization) != number:
                raise FolderError(f"events of {namespace}/{organization} arrived in shard {number}")


def _what_to_do(root: DataFolder) -> str:
    return (
        f".\nNothing was changed: restore a backup, or run `meterhouse repair {root.path}`, which puts right what it "
        "can and says what is lost before it goes on."
    )
