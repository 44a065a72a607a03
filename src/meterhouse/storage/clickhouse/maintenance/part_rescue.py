"""Taking parts of the table of events back that the engine has set aside, and events out of damaged ones.

Nothing is deleted: what cannot be taken back stays in the table's `detached` folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..engine.engine import NO_PARAMETERS, EmbeddedEngine, EngineError
from . import inspection_queries as queries

_NAME = re.compile(r"(?:^|_)(all_(\d+)_(\d+)_(\d+)(?:_(\d+))?)(?:_try\d+)?$")
_CHECKSUMS = "checksums.txt"
_INDEX = "by_identity.proj"
_HOW_COLUMNS_ARE_WRITTEN = "serialization.json"
_SAME_IN_ALL = ("columns.txt", "columns_substreams.txt", "default_compression_codec.txt", "metadata_version.txt")
_COLUMNS_OF_EVENTS = (b"`identity` UInt64", b"`organization` String")
_ROWS_READ_AT_ONCE = 1024
"""The table's granules."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part's folder; its name tells which inserts it has: by block numbers, and after how many changes in place."""

    folder: Path
    name: str
    first: int
    last: int
    level: int
    mutation: int

    @classmethod
    def of(cls, folder: Path) -> Part | None:
        """None for a folder that is no part."""
        found = _NAME.search(folder.name)
        if found is None or folder.name.startswith(("tmp_", "delete_tmp_")):
            return None
        return cls(folder, found[1], *(int(number or 0) for number in found.groups()[1:]))

    def has_all_of(self, other: Part) -> bool:
        """Whether it has every insert that the other has."""
        return self.first <= other.first and other.last <= self.last


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A part that is in the table again."""

    name: str
    wrong: str
    """What was wrong with it; "" for nothing."""
    older_than_a_change: bool = False
    """Whether it was written before stored events were changed in place: it may have what was erased since."""

    def __str__(self) -> str:
        """A sentence for the operator."""
        return f"part {self.name} is taken back" + (f" ({self.wrong})" if self.wrong else "")


class PartRescue:
    """For one table of events that nobody writes to. Methods raise `EngineError`."""

    def __init__(self, engine: EmbeddedEngine, table: Path):
        """`table` is the folder of the table's parts."""
        self._engine = engine
        self._detached = table / "detached"
        self._table = table
        engine.execute(queries.STOP_MERGES)

    def take_back(self, others: Iterable[Path] | None = None) -> Iterator[TakenBack]:
        """Takes back what is set aside, or copies of `others`. Parts whose events are there already are passed over."""
        candidates = [part for folder in others or self._detached.iterdir() if (part := Part.of(folder)) is not None]
        there = [part for name in self._active() if (part := Part.of(self._table / name)) is not None]
        newest = max((part.mutation for part in [*there, *candidates]), default=0)
        # Of two that have the same events the one that has more, or was changed later, comes first.
        candidates.sort(key=lambda part: (part.first - part.last, -part.level, -part.mutation, part.folder.name))
        for part in candidates:
            if any(each.has_all_of(part) for each in there):
                continue
            wrong = self._attach(part)
            if wrong is not None:
                there.append(part)
                yield TakenBack(part.name, wrong, older_than_a_change=part.mutation < newest)

    def _attach(self, part: Part, *, skipped: int = 0) -> str | None:
        """What was wrong with a part that is in the table now; None when it cannot be taken. The first remedies may be
        skipped."""
        for wrong, remedy in islice(self._remedies(part), skipped, None):
            copy = self._detached / part.name
            if copy != part.folder:
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(part.folder, copy)
            elif wrong:
                return None  # what is there is not changed, and there is no other name for a copy
            with suppress(OSError):
                remedy(copy)
                if self._holds(copy):
                    return wrong
            if copy != part.folder:
                shutil.rmtree(copy, ignore_errors=True)
        return None

    def _remedies(self, part: Part) -> Iterator[tuple[str, Callable[[Path], None]]]:
        yield "", lambda _copy: None
        if not (part.folder / _HOW_COLUMNS_ARE_WRITTEN).exists():
            return  # what is read without it may be something else
        yield f"{_CHECKSUMS} or an index was damaged", _without_indexes
        sound = next((self._table / name for name in self._active()), None)
        if sound is not None:
            yield "the list of its columns was damaged", lambda copy: _copy_descriptions(sound, copy)
        yield "count.txt was damaged", _count_from_index

    def _holds(self, copy: Path) -> bool:
        """Attaches a part, and takes it out again unless all of it can be read and none of it is there twice."""
        before = set(self._active())
        try:
            self._engine.execute(queries.ATTACH_PART.format(copy.name))
        except EngineError:
            return False
        [name] = set(self._active()) - before
        try:
            [[read, counted]] = self._engine.rows(queries.READ_PART, {"part": name})
            [[twice]] = self._engine.rows(queries.TWICE_IN_PART, {"part": name})
        except EngineError:
            read, counted, twice = 0, 1, 0
        if read == counted and not twice:
            return True
        self._engine.execute(queries.DETACH_PART.format(name))
        shutil.rmtree(self._detached / name, ignore_errors=True)  # it is a copy
        return False

    def refit(self, name: str) -> tuple[str, str | None]:
        """Replaces a part of the table that is damaged somewhere, if its events are sound; answers its name from now
        on, and what was wrong with it, or None when it is as damaged as before."""
        before = set(self._active())
        self._engine.execute(queries.DETACH_PART.format(name))
        aside = (self._detached / name).rename(self._detached / f"damaged_{name}")
        part = Part.of(aside)
        wrong = self._attach(part, skipped=1) if part is not None else None  # as it is, it was in the table
        if wrong is None:
            aside.rename(self._detached / name)
            self._engine.execute(queries.ATTACH_PART.format(name))
        [now] = set(self._active()) - (before - {name})
        return now, wrong

    def salvage(self, part: str) -> int:
        """Takes the events that can be read out of a damaged part, which is set aside; answers how many they are."""
        self._engine.execute(queries.REPLACE_SALVAGED)
        [[rows]] = self._engine.rows(queries.ROWS_OF_PART, {"part": part})
        self._copy_readable(part, 0, rows)
        self._engine.execute(queries.DETACH_PART.format(part))
        self._engine.execute(queries.TAKE_SALVAGED)
        [[count]] = self._engine.rows(queries.COUNT_SALVAGED, NO_PARAMETERS)
        self._engine.execute(queries.DROP_SALVAGED)
        return int(count)

    def _copy_readable(self, part: str, first: int, end: int) -> None:
        """Copies rows by their places in the part; what cannot be read is divided, down to what is read at once."""
        try:
            self._engine.execute(queries.SALVAGE, {"part": part, "first": first, "end": end})
        except EngineError:
            if end - first > _ROWS_READ_AT_ONCE:
                middle = first + -(-(end - first) // 2 // _ROWS_READ_AT_ONCE) * _ROWS_READ_AT_ONCE
                self._copy_readable(part, first, middle)
                self._copy_readable(part, middle, end)

    def _active(self) -> list[str]:
        return [name for [name] in self._engine.rows(queries.ACTIVE_PARTS, NO_PARAMETERS)]


def parts_of_events(engine_folder: Path) -> Iterator[Path]:
    """The folders of all parts of a table of events, whatever became of the table itself."""
    for columns in sorted((engine_folder / "store").glob("*/*/**/columns.txt")):
        content = columns.read_bytes()
        if columns.parent.suffix != ".proj" and all(column in content for column in _COLUMNS_OF_EVENTS):
            yield columns.parent


def _without_indexes(copy: Path) -> None:
    """Leaves out what the engine makes anew, or reads well enough without."""
    (copy / _CHECKSUMS).unlink(missing_ok=True)
    shutil.rmtree(copy / _INDEX, ignore_errors=True)
    for file in copy.glob("skp_idx_*"):
        file.unlink()


def _copy_descriptions(sound: Path, copy: Path) -> None:
    _without_indexes(copy)
    for name in _SAME_IN_ALL:
        shutil.copy(sound / name, copy / name)


def _count_from_index(copy: Path) -> None:
    shutil.copy(copy / _INDEX / "count.txt", copy / "count.txt")
    _without_indexes(copy)
