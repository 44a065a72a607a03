"""Random histories of several organizations, each organization's in the shard that it lives in."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from meterhouse.cluster.spanning_reader import SpanningReader
from meterhouse.domain.correction import RESTORE, VOID
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, GroupSet, Meter, MeterQuery, StateWindow, redefined
from meterhouse.domain.shards import ShardMap
from support.reference import ReferenceStore

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STORED = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORGANIZATIONS = tuple(f"org-{number}" for number in range(10))
WHERE = (("state", ("on",)),)
SINGLE = (
    Meter("count", "thing", Aggregation.COUNT, group_by=("group",)),
    Meter("sum", "thing", Aggregation.SUM, values=("n", "m"), optional=True, group_by=("group",)),
    Meter("least", "thing", Aggregation.MIN, values=("n",), group_by=("group",)),
    Meter("most", "thing", Aggregation.MAX, values=("n",), group_by=("group",)),
    Meter("mean", "thing", Aggregation.AVG, values=("n",), group_by=("group",)),
    Meter("newest", "thing", Aggregation.LATEST, values=("n",), group_by=("group",)),
    Meter("unique", "thing", Aggregation.UNIQUE_COUNT, values=("name",), group_by=("group",)),
    Meter("others", "other", Aggregation.UNIQUE_COUNT, values=("state",), group_by=("group",)),
    Meter("some", "thing", Aggregation.UNIQUE_COUNT, values=("name",), group_by=("group",), where=WHERE),
    redefined(
        Meter("then", "thing", Aggregation.SUM, values=("n",), group_by=("group",), where=WHERE),
        Meter("then", "thing", Aggregation.SUM, values=("m",), optional=True, group_by=("group",)),
        NOON,
    ),
)
STATES = Meter("states", "thing", Aggregation.STATE_COUNT, entity="name", state="state", group_by=("group",))
STATES_NOW = Meter(
    "now",
    "thing",
    Aggregation.STATE_COUNT,
    entity="name",
    state="state",
    counted_states=("on",),
    window=StateWindow.NOW,
    group_by=("group",),
)
METERS = (*SINGLE, STATES, STATES_NOW)

_numbers = itertools.count()


def event(at: datetime, data: Any, organization: str, event_type: str = "thing") -> Event:
    raw = {"specversion": "1.0", "id": f"e{next(_numbers)}", "source": "s", "type": event_type, "data": data}
    raw |= {"subject": organization, "time": at.isoformat()}
    return parse_event(json.dumps(raw).encode(), "ns", {}, STORED)


def correction(corrected: Event, *, void: bool) -> Event:
    """The word that an event does not count, or that it does."""
    step = {"source": corrected.source, "id": corrected.id, "correction": "c", "steps": 1, "actor": "a", "reason": "r"}
    said = event(STORED, step, corrected.organization, "moved")
    return msgspec.structs.replace(said, type=VOID if void else RESTORE)


# Few, so that events of several shards have the same time, group and name.
TIMES = st.integers(-3, 3).map(lambda hours: NOON + hours * HOUR)
NUMBERS = st.sampled_from([0, 1, -1, "0.1", "0.2", 7, "99999999999999999999999999999999999999", "1e-28"])
EVENTS = st.builds(
    event,
    TIMES,
    st.fixed_dictionaries(
        {},
        optional={
            "n": NUMBERS,
            "m": NUMBERS,
            "group": st.sampled_from(["", "a", "b", "it's"]),
            "name": st.sampled_from(["", "x", "y", "z", "ünï"]),
            "state": st.sampled_from(["on", "off"]),
        },
    ),
    st.sampled_from(ORGANIZATIONS),
    st.sampled_from(["thing", "thing", "thing", "other"]),
)
Batch = tuple[list[Event], datetime]


@st.composite
def batches(draw: st.DrawFn) -> list[Batch]:
    """What is stored an hour after the other, events and words on those before."""
    sent: list[Event] = []
    found = []
    for number in range(draw(st.integers(1, 4))):
        events = draw(st.lists(EVENTS, max_size=25))
        sent += events
        words = draw(st.lists(st.tuples(st.integers(0, 99), st.booleans()), max_size=4)) if sent else []
        corrections = [correction(sent[which % len(sent)], void=void) for which, void in words]
        found.append(([*events, *corrections], STORED + number * HOUR))
    return found


INSTANTS = st.integers(-1, 3).map(lambda number: STORED + number * HOUR + HOUR / 2)


@dataclass
class History:
    batches: Sequence[Batch]
    shard_map: ShardMap
    stores: list[Any] = field(default_factory=list)
    """One for each shard."""

    def __post_init__(self) -> None:
        self.stores += [ReferenceStore() for _ in range(self.shard_map.count - len(self.stores))]
        for events, stored_at in self.batches:
            for number, store in enumerate(self.stores):
                if mine := self.events_of(number, events):
                    store.append(mine, stored_at)

    def events_of(self, shard: int, events: Sequence[Event]) -> list[Event]:
        return [each for each in events if self.shard_map.shard_of("ns", each.organization) == shard]

    def commits(self, instant: datetime | None) -> list[int]:
        return [each.latest_commit() if instant is None else each.commit_at(instant) for each in self.stores]

    def spanning(self, instant: datetime | None, threads: ThreadPoolExecutor) -> SpanningReader:
        return SpanningReader(list(zip(self.stores, self.commits(instant), strict=True)), threads)

    def one_after_the_other(self, instant: datetime | None) -> ReferenceStore:
        """All events in one store, those of each shard after those of the shards before it."""
        one = ReferenceStore()
        for number in range(len(self.stores)):
            for events, stored_at in self.batches:
                if instant is None or stored_at <= instant:
                    one.append(self.events_of(number, events), stored_at)
        return one

    def as_they_came(self) -> ReferenceStore:
        """All events in one store, as if there had always been one."""
        one = ReferenceStore()
        for events, stored_at in self.batches:
            one.append(events, stored_at)
        return one


@st.composite
def questions(draw: st.DrawFn) -> MeterQuery:
    inner = draw(st.lists(TIMES, min_size=2, max_size=4, unique=True).map(sorted))
    edges = draw(st.sampled_from([inner, [None, *inner], [*inner, None], [None, None], [None, *inner, None]]))
    paths = st.sampled_from(["group", "state", BY_ORGANIZATION])
    texts = st.sampled_from(["", "a", "it's", "on", *ORGANIZATIONS])
    by = draw(st.lists(paths, max_size=2, unique=True))
    filters = draw(st.lists(st.tuples(paths, st.lists(texts, min_size=1, max_size=6).map(tuple)), max_size=1))
    sets_of = tuple(draw(st.lists(paths, min_size=1, max_size=2, unique=True)))
    groups = tuple(draw(st.lists(st.tuples(*(texts for _ in sets_of)), max_size=4)))
    which = draw(st.sampled_from(["", "", "", "only", "without"]))
    states = draw(st.integers(0, 3)) == 0
    return MeterQuery(
        "ns",
        draw(st.sampled_from([None, None, None, ORGANIZATIONS[0], "nobody"])),
        (draw(st.sampled_from([STATES, STATES_NOW])),)
        if states
        else tuple(draw(st.lists(st.sampled_from(SINGLE), min_size=1, max_size=5, unique=True))),
        tuple(edges),
        draw(st.sampled_from([0, 10**9])),  # each shard has its own
        tuple(by),
        tuple(filters),
        state_window=draw(st.sampled_from([None, *StateWindow])) if states else None,
        **({which: GroupSet(sets_of, groups)} if which else {}),
    )
