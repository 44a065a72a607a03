"""Rollups: what events add up to, kept so that reading a summary costs the same however many events there are.

They change what an answer costs, never what it says: a question is cut into whole slots, which are read from here,
and the rest, which is read from the events. What can be asked of both is compared in tests/conformance.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import structlog

from ...domain.errors import TooManyGroups
from ...domain.meter import Aggregation, Measure, Meter, MeterQuery, Top
from ..manifest import Manifest
from . import fold_queries, queries
from .engine import DamagedStorage, Engine
from .first_events import FirstEvents
from .fold_queries import FoldSteps
from .held_counts import Entities, Found, Values, entities_in, values_in
from .held_events import Held, HeldEvents
from .held_measures import readings
from .kept_answers import Kept, KeptAnswers
from .last_commits import LastCommits
from .masks import Masks
from .partials import (
    Cell,
    Entity,
    EntityCounts,
    Partials,
    Sum,
    Windows,
    check_groups,
    counted,
    entities_of,
    few_of,
    ranked,
)
from .queries import ALL, MeasureQuery, Part, Statement, StateQuery, micros, moment_of
from .rollup_coverage import RollupCoverage
from .rollup_queries import (
    CountedStates,
    FoldedEntities,
    FoldedValues,
    FreshEntities,
    RollupQuery,
    TopQuery,
    UniqueQuery,
    ValuesInSlots,
)
from .series import Cut, Segment, Series, all_series, cut, rolled_up, slot_begin
from .shared_table import SharedTable
from .tables import set_settings

_log = structlog.get_logger(__name__)

_EVENTS_PER_FOLD = 4_000_000
"""How many events are folded at once when many wait, unless one commit has more. Late events lie everywhere: each fold
reads much besides its own, so that few large ones are cheaper than many."""
_COMMITS_PER_FOLD = 100_000
"""How many commits at most: each is a row to count."""
_EVENTS_IN_MEMORY = 250_000
"""How many events are folded in memory; with more, rows go to disk as they are made."""
_FEW_GROUPS = 1_000
"""Up to how many groups are ranked in memory; more are ranked in the engine."""
_MOST_PIECES = 100
"""Of time, that a question is put together from besides whole slots; with more all of it is read from the events."""


class Rollups:
    """Folds settled commits, and answers from what is folded."""

    def __init__(
        self,
        engine: Engine,
        meters: Mapping[str, Iterable[Meter]],
        latest_commit: int,
        masks: Masks,
        held: HeldEvents,
        *,
        last_commits: LastCommits,
        direct: Engine,
        manifest: Manifest | None = None,
    ):
        """`direct` is the engine without its journal, for whatever reads no event after the watermarks. `manifest`
        tells which rollups there must be; others are made anew."""
        self._engine = engine
        self._direct = direct
        self._coverage = RollupCoverage(direct, manifest)
        self._masks = masks
        self._held = held
        self._sums: KeptAnswers[Mapping[Cell, Sum]] = KeptAnswers()
        self._values_kept: KeptAnswers[Values] = KeptAnswers()
        self._states_kept: KeptAnswers[Entities] = KeptAnswers()
        self._series = all_series(meters)
        self._folding = threading.Lock()
        self._leaving = threading.Event()
        self._table = SharedTable()
        self._commits_ahead = 64
        self._last_commits = last_commits
        for sql in fold_queries.CREATE_FOLD:
            engine.execute(sql)
        self._first_events = FirstEvents(
            engine, masks, held, last_commits, table=self._table, watermark_of=self.watermark_of
        )
        self._watermarks: dict[int, int] = {}
        if engine.rows(fold_queries.LAYOUT_OF_ROLLUPS, {}) != [[fold_queries.LAYOUT]]:
            self._replace()
        elif not self._coverage.is_whole():
            _log.warning(
                "some rollups are missing or damaged: all are made anew, and answers come from events until then"
            )
            self._replace()
        set_settings(engine)
        self._watermarks = self._read_watermarks()
        if max(self._watermarks.values(), default=0) > latest_commit:
            self.rebuild()  # they tell of events that are not there: the events are of another time

    # Folding

    def fold(self, settled_commit: int) -> bool:
        """Folds some of the commits up to `settled_commit`, those of the series that is furthest behind first; answers
        whether there is more to fold. Raises `EngineError`; what was folded stays folded."""
        with self._folding:
            behind: dict[int, list[Series]] = defaultdict(list)
            for series in self._series:
                behind[min(self._watermarks.get(series.id, 0), settled_commit)].append(series)
            after, *others = sorted({*behind, settled_commit})
            if not others:
                return False
            upto, types, events = self._next_commits(after, others[0])
            steps = FoldSteps(behind[after], types, after, upto, large=events > _EVENTS_IN_MEMORY)
            return not self._fold(steps, behind[after], upto) or upto < settled_commit

    def leave_fold(self) -> None:
        """See `ports.EventStore`."""
        self._leaving.set()

    def _next_commits(self, after: int, end: int) -> tuple[int, set[tuple[str, str]], int]:
        """The last of as many commits as are folded at once, the namespaces and types of their events, and how many
        there are."""
        upto = min(end, after + self._commits_ahead)
        events, types = 0, set[tuple[str, str]]()
        scope = {"after": after, "upto": upto}
        for commit, namespace, event_type, count in self._engine.rows(fold_queries.EVENTS_OF_COMMITS, scope):
            if events + count > _EVENTS_PER_FOLD and commit > after + 1 and types:
                upto = commit - 1
                break
            events += count
            types.add((namespace, event_type))
        self._commits_ahead = min(2 * (upto - after), _COMMITS_PER_FOLD)
        return upto, types, events

    def _fold(self, fold: FoldSteps, series: Sequence[Series], upto: int) -> bool:
        """Whether it was done: nothing has changed when it was left."""
        for sql in fold_queries.EMPTY_FOLD:
            self._direct.execute(sql)
        for sql, parameters in fold.steps:
            if self._leaving.is_set():
                return False
            self._direct.execute(sql, parameters)
        for sql in fold_queries.EMPTY_STEPS:
            self._direct.execute(sql)
        with self._table.changing():
            try:
                self._direct.execute(fold_queries.ATTACH_FOLD)
            except BaseException:
                # It may be there all the same: nothing is read from here until that is known.
                self._watermarks = {}
                self._watermarks = self._read_watermarks()
                raise
            self._watermarks = {**self._watermarks, **{each.id: upto for each in series}}
        self._direct.sync_names("rollups")
        self._coverage.record()
        return True

    def rebuild(self) -> None:
        """Drops everything that is folded. Until it is folded again, answers come from the events."""
        self._leaving.set()  # a large fold takes long, and would be dropped
        with self._folding, self._table.changing():
            self._leaving.clear()
            self._watermarks = {}
            for kept in (self._sums, self._values_kept, self._states_kept, self._first_events):
                kept.forget_all()
            self._replace()

    def _replace(self) -> None:
        self._coverage.forget()
        self._direct.execute(fold_queries.REPLACE_ROLLUPS)
        set_settings(self._direct)
        self._coverage.record()

    def folded_commit(self) -> int:
        """See `ports.EventStore`."""
        watermarks = self._watermarks
        return min((watermarks.get(series.id, 0) for series in self._series), default=0)

    def unfolded_events(self) -> int:
        """See `ports.EventStore`."""
        [[count]] = self._engine.rows(fold_queries.EVENTS_AFTER, {"commit": self.folded_commit()})
        return int(count)

    def _read_watermarks(self) -> dict[int, int]:
        return dict(self._direct.rows(fold_queries.WATERMARKS, {}))

    def watermark_of(self, series: Series) -> int:
        """The commit up to which a series is folded."""
        return self._watermarks.get(series.id, 0)

    # Reading

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.EventStore`."""
        try:
            return self._measure(query)
        except DamagedStorage as failure:
            if not self._watermarks:
                raise
            _log.error("rollups or events are damaged: rollups are made anew, and events asked", exc_info=failure)
            self.rebuild()
            return self._measure(query)

    def _measure(self, query: MeterQuery) -> list[Measure]:
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            return self._measure_states(query)
        singles = [n for n, meter in enumerate(query.meters) if meter.aggregation is not Aggregation.UNIQUE_COUNT]
        if len(singles) == len(query.meters):
            return self._measure_singles(query)
        measures: list[Measure] = []
        for number, meter in enumerate(query.meters):
            if number not in singles:
                values = self._measure_unique(replace(query, meters=(meter,)))
                measures += [replace(measure, meter=number) for measure in values]
        if singles:
            values = self._measure_singles(replace(query, meters=tuple(query.meters[number] for number in singles)))
            measures += [replace(measure, meter=singles[measure.meter]) for measure in values]
        return measures

    def _measure_singles(self, query: MeterQuery) -> list[Measure]:
        """Meters of single events: what was kept of the question, and what the events say that came since."""
        question, age = replace(query, as_of_commit=0), self._sums.age
        kept = self._sums.find(question, query.as_of_commit)
        partials = Partials(query.meters, kept.answer if kept else {})
        if kept is None or not self._add_held(partials, query, kept.commit):
            partials = self._read_singles(query)
        sums = partials.sums()
        check_groups((group for _, group, _ in sums), query.most_groups)
        self._sums.keep(question, Kept(query.as_of_commit, sums, len(query.edges) + len(sums)), age)
        return partials.measures()

    def _add_held(self, partials: Partials, query: MeterQuery, after: int) -> bool:
        """Adds the events after a commit from memory; answers False when the engine has to tell of them."""
        held = self._held_after(query, after)
        if held is None:
            return False
        partials.add_readings(readings(query, held))
        return True

    def _held_after(self, query: MeterQuery, after: int) -> Sequence[Held] | None:
        if self._last_commits.of(query.namespace, query.organization) <= after:
            return ()
        return self._held.between((query.namespace, query.organization), after, query.as_of_commit)

    def _read_singles(self, query: MeterQuery) -> Partials:
        """Meters that are folded as far as any from rollups, the others from the events."""
        partials, asked = Partials(query.meters), range(len(query.meters))
        series = [rolled_up(query, number) for number in asked]
        masked = self._masked(query)
        pieces = cut(query.edges, masked)
        with self._table.reading():
            marks = [self._folded_to(query, each, pieces) for each in series]
            watermark = max(marks)
            folded = [number for number in asked if watermark and marks[number] == watermark]
            if folded and pieces.segments:
                readers: dict[Series, list[int]] = defaultdict(list)  # meters may share a series
                for number in folded:
                    for each in series[number]:
                        readers[each].append(number)
                self._add_rolled_up(partials, query, readers, pieces.segments)
        others = [number for number in asked if number not in folded]
        if folded:
            added = not others and self._add_held(partials, query, watermark)
            for part in self._unfolded(query, watermark, pieces, since=not added):
                self._add_events(partials, query, folded, part)
        if others:
            self._add_events(partials, query, others, ALL)
        return partials

    def _add_rolled_up(
        self,
        partials: Partials,
        query: MeterQuery,
        readers: Mapping[Series, Sequence[int]],
        segments: Sequence[Segment],
    ) -> None:
        by_id = {each.id: each for each in readers}
        statement = RollupQuery(query, list(readers), segments)
        rows = self._folded(statement)
        check_groups((row[2] for row in rows), query.most_groups)
        for series, edge, key, events, *terms in rows:
            group = (key,) if query.group_by else ()
            kind = statement.kinds.index(by_id[series].kind)
            for number in readers[by_id[series]]:
                partials.add(number, statement.windows[edge], group, events, terms[kind])

    def _add_events(
        self, partials: Partials, query: MeterQuery, numbers: Sequence[int], part: Part, table: str = "events"
    ) -> None:
        groups = len(query.group_by)
        asked = replace(query, meters=tuple(query.meters[number] for number in numbers))
        corrected = bool(self._masked(query)) or table != "events"
        statement = MeasureQuery(asked, part, corrected=corrected, table=table)
        engine = self._direct if part.within and not corrected else self._engine
        rows = engine.rows(statement.sql, statement.parameters)
        check_groups((tuple(row[1 : groups + 1]) for row in rows), query.most_groups)
        for edge, *texts in rows:
            group, values = tuple(texts[:groups]), texts[groups:]
            for place, number in enumerate(numbers):
                terms, events = values[2 * place : 2 * place + 2]
                partials.add(number, statement.windows[edge], group, events, terms)

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.EventStore`."""
        try:  # few groups are gone on with in memory, and ask nothing of the engine
            return ranked(self._measure_singles(replace(query, most_groups=_FEW_GROUPS)), len(query.meters), count)
        except TooManyGroups:
            return self._top(query, count)

    def _top(self, query: MeterQuery, count: int) -> list[Top]:
        series, masked = [rolled_up(query, number) for number in range(len(query.meters))], self._masked(query)
        pieces = cut(query.edges, masked)
        with self._table.reading():
            watermark = self._folded_to(query, [one for each in series for one in each], pieces) if all(series) else 0
            parts = self._unfolded(query, watermark, pieces) if watermark else [ALL]
            segments = pieces.segments if watermark else ()
            if not count or not (parts or segments):
                return []
            rows = self._rows(TopQuery(query, count, series, segments, parts, corrected=bool(masked)))
        return [(group, tuple(map(Decimal, values))) for group, *values in rows]

    def measure_drafts(self, query: MeterQuery) -> list[Measure]:
        """What `measure` answers, of the events and the drafts together."""
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            return self._states(StateQuery(query, corrected=True, table=queries.EVENTS_AND_DRAFTS))
        partials = Partials(query.meters)
        self._add_events(partials, query, range(len(query.meters)), ALL, queries.EVENTS_AND_DRAFTS)
        return partials.measures()

    def _measure_unique(self, query: MeterQuery) -> list[Measure]:
        masked = self._masked(query)
        series, pieces = rolled_up(query, 0), cut(query.edges, masked)
        with self._table.reading():
            if watermark := self._folded_to(query, series, pieces):
                if not pieces.pieces and (values := self._values(query, series[0], watermark, pieces)) is not None:
                    return [Measure(window, Decimal(count)) for window, count in values.counts.items() if count]
                parts = self._unfolded(query, watermark, pieces)
                statement = UniqueQuery(query, series[0], pieces.segments, parts, corrected=bool(masked))
                rows = self._engine.rows(statement.sql, statement.parameters)
                return [Measure(statement.windows[edge], Decimal(values)) for edge, values in rows if values]
        partials = Partials(query.meters)
        self._add_events(partials, query, [0], ALL)
        return partials.measures()

    def _values(self, query: MeterQuery, series: Series, watermark: int, whole: Cut) -> Values | None:
        """From what was kept, or from whole slots, and the events since, which are held."""
        question, age = replace(query, as_of_commit=0), self._values_kept.age
        kept = self._values_kept.find(question, query.as_of_commit)
        reached = watermark if kept is None or kept.commit < watermark else kept.commit
        if (held := self._held_after(query, reached)) is None:
            return None
        found = values_in(query, held)
        if kept is None or kept.commit < watermark:
            statement = UniqueQuery(query, series, whole.segments, (), corrected=False)
            rows = self._folded(statement)
            values = Values({statement.windows[edge]: count for edge, count in rows}, {})
        else:
            values = kept.answer
        values = values.more(found, watermark, lambda unmet: self._folded_values(query, series, whole, unmet))
        self._values_kept.keep(question, Kept(query.as_of_commit, values, len(query.edges) + values.cells), age)
        return values

    def _folded_values(self, query: MeterQuery, series: Series, whole: Cut, wanted: Iterable[Found]) -> set[Found]:
        """Which of some values are folded in their windows."""
        windows, slots = Windows(query), dict[str, tuple[int, int]]()
        wanted = [*wanted]
        for few in few_of(dict.fromkeys(value for _, value in wanted)):
            statement = FoldedValues(query, series, few)
            slots |= {value: (first, last) for value, first, last in self._folded(statement)}
        found = {
            (window, value)
            for window, value in wanted
            if value in slots and window in [windows.at(micros(slot_begin(slot))) for slot in slots[value]]
        }
        several = [
            value for window, value in wanted if (window, value) not in found and len({*slots.get(value, ())}) > 1
        ]
        for few in few_of(dict.fromkeys(several)):
            between = ValuesInSlots(query, series, whole.segments, few)
            found |= {(between.windows[edge], value) for edge, value in self._folded(between)}
        return found

    def _measure_states(self, query: MeterQuery) -> list[Measure]:
        series = rolled_up(query, 0)
        pieces = cut((None, None) if moment_of(query)[1] else query.edges)
        corrected = bool(self._masked(query))  # what becomes of an entity takes all that was ever said of it
        with self._table.reading():
            if not corrected and (watermark := self._folded_to(query, series, pieces)):
                return self._counted_states(query, series[0], watermark, pieces)
        return self._states(StateQuery(query, corrected=corrected))

    def _states(self, statement: StateQuery) -> list[Measure]:
        return [
            Measure(statement.windows[edge], Decimal(count), tuple(group), state)
            for edge, *group, state, count in self._engine.rows(statement.sql, statement.parameters)
        ]

    def _counted_states(self, query: MeterQuery, series: Series, watermark: int, pieces: Cut) -> list[Measure]:
        """From what was kept and the events since, or from whole slots and what they lack."""
        question, age = replace(query, as_of_commit=0), self._states_kept.age
        kept = self._states_kept.find(question, query.as_of_commit)
        if kept is not None and kept.commit < watermark:
            kept = None
        reached = kept.commit if kept else watermark
        held = self._held_after(query, reached)
        found = None if held is None else entities_in(query, series, held)
        if kept is None or found is None:
            entities = self._read_entities(query, series, watermark, pieces, since=found is None)
        else:
            entities = kept.answer
        if found is not None:
            entities = entities.more(query, found, watermark, partial(self._folded_entities, query, series))
            self._states_kept.keep(question, Kept(query.as_of_commit, entities, len(query.edges) + entities.cells), age)
        return counted(entities.counts)

    def _read_entities(
        self, query: MeterQuery, series: Series, watermark: int, pieces: Cut, *, since: bool
    ) -> Entities:
        """As they are folded, and with `since` what events say that came after."""
        statement = CountedStates(query, series, pieces.segments)
        counts = EntityCounts(query, pieces.segments)
        for edge, *group, state, count in self._folded(statement):
            counts.add(statement.windows[edge], tuple(group), state, count)
        if parts := self._unfolded(query, watermark, pieces, since=since):
            fresh = entities_of(self._rows(FreshEntities(query, series, parts)))
            folded = self._folded_entities(query, series, fresh)
            for name, entity in fresh.items():
                counts.move(entity, folded.get(name))
        return Entities(counts.counts, {})

    def _folded_entities(self, query: MeterQuery, series: Series, names: Iterable[str]) -> dict[str, Entity]:
        folded = dict[str, Entity]()
        for few in few_of(names):
            folded |= entities_of(self._folded(FoldedEntities(query, series, few)))
        return folded

    def _rows(self, statement: Statement) -> list[list[Any]]:
        return self._engine.rows(statement.sql, statement.parameters)

    def _folded(self, statement: Statement) -> list[list[Any]]:
        return self._direct.rows(statement.sql, statement.parameters)

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.EventStore`."""
        return self._first_events.at(namespace, organization)

    def _masked(self, query: MeterQuery) -> tuple[int, ...]:
        return self._masks.of(query.namespace, query.organization)

    def _folded_to(self, query: MeterQuery, series: Sequence[Series], read: Cut) -> int:
        """The commit up to which all of the series are folded, 0 when they cannot answer the query."""
        if len(read.pieces) > _MOST_PIECES:
            return 0
        marks = {self._watermarks.get(each.id, 0) for each in series}
        if len(marks) != 1:
            return 0
        mark = marks.pop()
        return mark if mark <= query.as_of_commit else 0

    def _unfolded(self, query: MeterQuery, watermark: int, read: Cut, *, since: bool = True) -> list[Part]:
        """The events that whole slots up to a watermark lack: those in pieces of time, and those stored since."""
        parts = [Part(watermark, within=read.pieces)] if read.pieces else []
        if since and self._last_commits.of(query.namespace, query.organization) > watermark:
            parts.append(Part(watermark))
        return parts
