"""Rollups: partial aggregates that make a summary cost the same however many events there are.

Rollups change what an answer costs and never what it says: `read` takes whole slots from here and the rest from the
events. tests/conformance compares both for every kind of question.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import structlog

from ....domain.meter import Meter
from ...manifest import Manifest
from ..engine.engine import NO_PARAMETERS, Engine, EngineUnavailable
from ..engine.read_write_lock import ReadWriteLock
from ..engine.tables import set_settings
from . import table_queries
from .coverage import RollupCoverage
from .definition import RollupDefinition, all_definitions
from .materialize_queries import MaterializeSteps

_log = structlog.get_logger(__name__)

_EVENTS_AT_ONCE = 4_000_000
"""The most events of one materialization, unless a single commit has more. Late events lie everywhere: each
materialization reads much besides its own events, so that few large ones are cheaper than many."""
_COMMITS_AT_ONCE = 100_000
"""The most commits of one materialization: the engine counts the events of each."""
_FEWEST_COMMITS = 8_192
"""How many commits are materialized at once at first, and at least, as far as they have not too many events."""
_EVENTS_IN_MEMORY = 250_000
"""Up to this many events are materialized in memory; with more, rows go to disk as they are made."""


class Rollups:
    """Materializes settled commits, and knows up to which commit each definition is materialized."""

    def __init__(
        self,
        engine: Engine,
        direct: Engine,
        meters: Mapping[str, Iterable[Meter]],
        latest_commit: int,
        manifest: Manifest,
    ):
        """Reads the watermarks. Makes the table anew when it is missing, damaged, of another layout or of other events.

        `direct` is the engine without its journal: it serves whatever reads no event after the watermarks. `manifest`
        tells which rollups there must be.
        """
        self._engine = engine
        self._direct = direct
        self._coverage = RollupCoverage(direct, manifest)
        self._definitions = all_definitions(meters)
        self._materializing = threading.Lock()
        self._cancelling = threading.Event()
        self._doubtful = False
        """Whether a change of the rollups may come late."""
        self._lock = ReadWriteLock()
        self._commits_ahead = _FEWEST_COMMITS
        self._watermarks: dict[int, int] = {}
        self.on_rebuild: list[Callable[[], None]] = []
        """Called whenever the rollups are dropped: whatever was derived from them goes too."""
        for sql in table_queries.CREATE_STAGING:
            engine.execute(sql)
        if engine.rows(table_queries.LAYOUT_OF_ROLLUPS, {}) != [[table_queries.LAYOUT]]:
            self._replace()
        elif not self._coverage.is_whole():
            _log.warning(
                "some rollups are missing or damaged: all are made anew, and answers come from events until then"
            )
            self._replace()
        set_settings(engine)
        self._watermarks = self._read_watermarks()
        if max(self._watermarks.values(), default=0) > latest_commit:
            self.rebuild()  # they are of events that are not here: the events are of another time

    def define(self, meters: Mapping[str, Iterable[Meter]]) -> None:
        """Has the rollups of these meters materialized from now on; new ones begin with the first event there is."""
        with self._materializing:
            self._definitions = all_definitions(meters)

    def materialize(self, settled_commit: int) -> bool:
        """Materializes some of the commits up to `settled_commit`, those of the definitions that are furthest behind
        first; answers whether there are more. Raises `EngineError`; what was materialized stays so."""
        with self._materializing:
            behind: dict[int, list[RollupDefinition]] = defaultdict(list)
            for definition in self._definitions:
                behind[min(self.watermark_of(definition), settled_commit)].append(definition)
            after, *others = sorted({*behind, settled_commit})
            if not others:
                return False
            upto, types, events = self._next_commits(after, others[0])
            steps = MaterializeSteps(behind[after], types, after, upto, large=events > _EVENTS_IN_MEMORY)
            with self._certain():
                return not self._materialize(steps, behind[after], upto) or upto < settled_commit

    @contextmanager
    def _certain(self) -> Iterator[None]:
        """Nothing is materialized any more once a server did not answer to a change: it may still come, and count
        twice. When the server answers again, the next owner makes a copy of its own of what is there."""
        if self._doubtful:
            self._direct.rows(table_queries.WATERMARKS, NO_PARAMETERS)
            self._direct.abandon()
        try:
            yield
        except EngineUnavailable:
            self._doubtful = True
            raise

    def cancel(self) -> None:
        """Has the materialization under way left undone, for the store will be closed."""
        self._cancelling.set()

    def _next_commits(self, after: int, end: int) -> tuple[int, set[tuple[str, str]], int]:
        """The last of as many commits as are materialized at once, the namespaces and types of their events, and how
        many events there are."""
        upto = min(end, after + self._commits_ahead)
        events, types = 0, set[tuple[str, str]]()
        scope = {"after": after, "upto": upto}
        for commit, namespace, event_type, count in self._engine.rows(table_queries.EVENTS_OF_COMMITS, scope):
            if events + count > _EVENTS_AT_ONCE and commit > after + 1 and types:
                upto = commit - 1
                break
            events += count
            types.add((namespace, event_type))
        if upto < end:  # with fewer commits left than that nothing is learnt of how many make a good step
            self._commits_ahead = min(max(2 * (upto - after), _FEWEST_COMMITS), _COMMITS_AT_ONCE)
        return upto, types, events

    def _materialize(self, steps: MaterializeSteps, definitions: Sequence[RollupDefinition], upto: int) -> bool:
        """Answers whether it was done; nothing has changed when it was cancelled."""
        for sql in table_queries.EMPTY_STAGING:
            self._direct.execute(sql)
        for sql, parameters in steps.steps:
            if self._cancelling.is_set():
                return False
            self._direct.execute(sql, parameters)
        for sql in table_queries.EMPTY_STEPS:
            self._direct.execute(sql)
        with self._lock.write():
            try:
                self._direct.execute(table_queries.ATTACH_STAGING)
            except EngineUnavailable:  # they may come later
                self._watermarks = {}
                raise
            except BaseException:
                # The rows may be there all the same: nothing is read from here until that is known.
                self._watermarks = {}
                self._watermarks = self._read_watermarks()
                raise
            self._watermarks = {**self._watermarks, **{each.id: upto for each in definitions}}
        self._direct.sync_names("rollups")
        self._coverage.record()
        self._direct.release_memory()
        return True

    def rebuild(self) -> None:
        """Drops every rollup. Until they are materialized again, answers come from the events."""
        self._cancelling.set()  # a large materialization takes long, and would be dropped
        with self._materializing, self._lock.write():
            self._cancelling.clear()
            self._watermarks = {}
            for forget in self.on_rebuild:
                forget()
            with self._certain():
                self._replace()

    def _replace(self) -> None:
        self._coverage.forget()
        self._direct.execute(table_queries.replace_rollups(self._direct.table_form))
        set_settings(self._direct)
        self._coverage.record()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keeps rollups and watermarks as they are: what is read meanwhile reaches to the watermark."""
        with self._lock.read():
            yield

    def any_materialized(self) -> bool:
        """Whether there is any rollup to read."""
        return bool(self._watermarks)

    def watermark(self) -> int:
        """The commit up to which everything is materialized."""
        return min(map(self.watermark_of, self._definitions), default=0)

    def watermark_of(self, definition: RollupDefinition) -> int:
        """The commit up to which one definition is materialized."""
        return self._watermarks.get(definition.id, 0)

    def lag_events(self) -> int:
        """How many events were stored after the watermark."""
        [[count]] = self._engine.rows(table_queries.EVENTS_AFTER, {"commit": self.watermark()})
        return int(count)

    def _read_watermarks(self) -> dict[int, int]:
        return dict(self._direct.rows(table_queries.WATERMARKS, {}))
