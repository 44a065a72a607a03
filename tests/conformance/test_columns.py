"""Events that are read in columns and those that are read one by one: the same reports, and the same bytes stored."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meterhouse.catalog_files import load_catalogs
from meterhouse.clocks import FrozenClock
from meterhouse.domain.errors import Invalid
from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.event_columns import EventColumns
from meterhouse.domain.event_sequence import ChainedEvents
from meterhouse.domain.period import parse_instant
from meterhouse.services.ingest import Body, GroupCommitLimits, Ingest, Report
from meterhouse.storage.clickhouse.journal.segments import Segments
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.folder import DataFolder
from meterhouse.storage.reserved_space import ReservedSpace
from support.engines import StoreEngine
from support.stores import open_store

NOW = parse_instant("2026-03-15T12:00:00Z")
ODD_DATA = [
    *('{"amount":1,"amount":1}', '{"amount":1,"x":{"y":1,"y":2}}', '{"amount":12345678901234567890123}'),
    *('{"amount":"12345678901234567890.123456789"}', '{"amount":1e400}', '{"amount":1,"x":"\\ud83d"}', '{"amount":01}'),
    *('{"amount":1,"x":"\\ud83d\\ude00"}', '{"amount":1,"x":"\\u0000"}', '{"amount":true}', '{"amount":"many"}', "{}"),
    *('{"amount":1.50,"x":{"y":2,"z":[3]}}', '{"amount":1,"x.y":2,"x":{"y":3}}', '{"amount":1,"x":null}', "null", "[]"),
    *(
        '{"amount":0.' + "3" * 29 + "}",
        '{"amount":1,"x":' + "[" * 70 + "]" * 70 + "}",
        '{"amount":1,"x":"' + "y" * 70_000 + '"}',
    ),
    *(
        '{"amount":9223372036854775807}',
        '{"amount":9223372036854775808}',
        '{"amount":-0}',
        '{"amount":"1e3","x":"1-2"}',
    ),
]
ODD_TIMES = [
    *("2026-02-30T00:00:00Z", "2016-12-31T23:59:60Z", "2026-03-01T00:00:00.1234567Z", "2026-03-01 00:00:00+05:30"),
    *(
        "",
        "yesterday",
        "1899-12-31T23:59:59Z",
        "2030-01-01T00:00:00Z",
        "2026-03-01T00:00:00.5Z",
        "２026-03-01T00:00:00Z",
    ),
]
ODD_ATTRIBUTES: list[dict[str, Any]] = [
    *({"id": ""}, {"id": 7}, {"id": "x" * 600}, {"id": "a\u0007"}, {"source": "//"}, {"source": "meterhouse.x"}),
    *(
        {"type": "of.nobody"},
        {"type": "meterhouse.void"},
        {"subject": "gone"},
        {"specversion": "0.3"},
        {"extension": "x"},
    ),
    *({"datacontenttype": "application/json"}, {"datacontenttype": 3}, {"data_base64": None}, {"subject": "é\u00ad"}),
]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATEST = NOON + timedelta(days=366)
FIRST = b'{"specversion":"1.0","id":"%d","source":"f","type":"credit.used","subject":"a","data":{"amount":1}}'


class Gated(ClickHouseEventStore):
    """A store that commits when it is told to, and may refuse to take columns."""

    columns = True
    gate = threading.Event()
    entered = threading.Event()

    def encode(self, events: EventColumns, latest: datetime) -> Any:
        return super().encode(events, latest) if self.columns else None

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        self.entered.set()
        assert self.gate.wait(60)
        return super().append(events, received_at)


def event_of(rng: Random) -> str:
    """Any event; most are regular, and many repeat or contradict others."""
    number = rng.randrange(300)
    attributes: dict[str, Any] = {"specversion": "1.0", "id": f"e{number}", "source": "tests", "type": "credit.used"}
    attributes |= {"subject": f"org-{number % 7}", "time": f"2026-03-{1 + number % 9:02}T10:{number % 60:02}:00.25Z"}
    data = f'{{"amount":{number % 5},"operation":"parse","rest":"{number}"}}'
    odd = rng.random()
    if odd < 0.03:
        data = rng.choice(ODD_DATA)
    elif odd < 0.05:
        attributes["time"] = rng.choice(ODD_TIMES)
    elif odd < 0.08:
        attributes |= rng.choice(ODD_ATTRIBUTES)
    elif odd < 0.1:
        data = data.replace('"amount":', '"amount": 1')
    elif odd < 0.12:
        del attributes["time"]
    return json.dumps(attributes, ensure_ascii=rng.random() < 0.5)[:-1] + f',"data":{data}}}'


def body_of(rng: Random) -> Body:
    """Any request."""
    lines = rng.random() < 0.7
    few = rng.random() < 0.9
    events = [event_of(rng) for _ in range(rng.choice((1, 1, 2, 5, 40)) if few else 400)]
    if rng.random() < 0.06:
        events[rng.randrange(len(events))] = rng.choice(
            ("", "{", "7", events[0][:-1], "{}{}", events[0] + events[0], "[]")
        )
    separator = rng.choice(("\n", "\n", "\n", "\r\n", "\n\n")) if lines else rng.choice((",", ",\n"))
    text = separator.join(events)
    if rng.random() < 0.02:
        text = text.replace("{", "{\n", 1)
    text = text if lines else f"[{text}]"
    organization = rng.choice((None, None, None, None, "org-1"))
    content = rng.choice(("", "", "", "\ufeff", "\n")).encode() + text.encode() + rng.choice(("", "\n", " ")).encode()
    return Body("unsiloed", content, lines, organization)


def taken(folder: Path, requests: Sequence[Sequence[Body]], *, columns: bool) -> tuple[list[Any], list[list[Any]]]:
    """The reports of requests, those of each group in one commit, and all rows of events."""
    with closing(DataFolder(folder)) as data:
        engine = StoreEngine(data.events)
        log = Segments(engine, data.journal, data.manifest, ReservedSpace(data.journal / "spare"))
        store = Gated(engine, {}, data.identities, data.manifest, log)
    store.columns = columns
    told: list[Any] = []
    with closing(store):
        deleted = {("unsiloed", "gone")}
        limits = GroupCommitLimits(commit_delay_ms=0)
        ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW), limits, lambda: deleted)
        for number, group in enumerate(requests):
            store.gate.clear()
            store.entered.clear()
            waiting = [submitted(ingest, Body("unsiloed", FIRST % number, True, None))]
            assert store.entered.wait(60)  # so that the others come together
            waiting += [submitted(ingest, body) for body in group]
            store.gate.set()
            told += [each if isinstance(each, Invalid) else each.result(60) for each in waiting]
        ingest.close()
        rows = store._engine.rows("SELECT * FROM events ORDER BY commit, position", {})
    return [str(each) for each in told], rows


def submitted(ingest: Ingest, body: Body) -> Future[Report] | Invalid:
    done: Future[Report] = Future()
    try:
        ingest.submit_body(body, done.set_result)  # type: ignore[arg-type]
    except Invalid as refused:
        return refused
    return done


@pytest.mark.parametrize("seed", range(3))
def test_columns_change_nothing(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    requests = [[body_of(rng) for _ in range(rng.choice((1, 3, 12)))] for _ in range(25)]
    one_by_one = taken(tmp_path / "one", requests, columns=False)
    in_columns = taken(tmp_path / "columns", requests, columns=True)
    assert in_columns[0] == one_by_one[0]
    assert len(in_columns[1]) > 100
    assert in_columns[1] == one_by_one[1]


def columns_of(*names: str, data: bytes = b'{"n":1}') -> EventColumns:
    """Regular events of these ids."""
    count = len(names)
    return EventColumns(
        namespaces=("ns",) * count,
        sources=("s",) * count,
        ids=names,
        types=("call",) * count,
        organizations=("acme",) * count,
        times=("2026-03-01T00:00:00Z",) * count,
        data=(data,) * count,
        numbers=({"n": 10**28},) * count,
    )


def test_regular_events_that_repeat_each_other_are_stored_once(tmp_path: Path) -> None:
    """Within a request, across the requests of a commit, and across commits."""
    store = open_store(tmp_path)
    new, known = Outcome.INGESTED, Outcome.DUPLICATE

    def append(*requests: EventColumns) -> list[Outcome]:
        encoded = [store.encode(each, LATEST) for each in requests]
        assert all(each is not None for each in encoded)
        return store.append(ChainedEvents([each for each in encoded if each is not None]), NOON)

    try:
        assert append(columns_of("1", "1", "2", "1")) == [new, known, new, known]
        assert append(columns_of("3", "4"), columns_of("4", "5"), columns_of("3", "1")) == [
            new,
            new,
            known,
            new,
            known,
            known,
        ]
        assert append(columns_of("1", "2", "3", "4", "5")) == [known] * 5
        assert append(columns_of("6"), columns_of("6", data=b'{"n":2}')) == [new, Outcome.CONFLICT]
        assert store.count() == 7  # the conflict is kept
    finally:
        store.close()
