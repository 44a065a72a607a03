"""What is held of events, and what is kept of answers: how much, how long, and when the engine has to tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from meterhouse.domain.correction import VOID
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.reading import PropertyReader
from meterhouse.storage.clickhouse.memtable import memtable
from meterhouse.storage.clickhouse.memtable.memtable import Memtable, positions_of
from meterhouse.storage.clickhouse.read import result_cache
from meterhouse.storage.clickhouse.read.result_cache import CachedResult, ResultCache

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ACME, OTHER = ("ns", "acme"), ("ns", "other")


def event(event_id: str, data: bytes = b"{}", *, org: str = "acme") -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": "test", "type": "thing", "subject": org}
    return parse_event(json.dumps(raw).encode()[:-1] + b', "data": ' + data + b"}", "ns", {}, NOW)


def data_bytes(events: list[Event]) -> int:
    return sum(len(each.data) for each in events)


def holding(*commits: list[Event]) -> Memtable:
    held = Memtable(10)
    for number, events in enumerate(commits, 11):
        held.add(number, events, positions_of(events), data_bytes(events))
    return held


def places(held: Memtable, after: int, upto: int, organization: tuple[str, str] = ACME) -> Any:
    found = held.scan(organization, after, upto)
    return None if found is None else [(commit, position, each.id) for commit, position, each in found]


def test_events_of_an_organization_in_their_order() -> None:
    held = holding([event("a"), event("b", org="other"), event("c")], [event("d", org="other")], [event("e")])
    assert places(held, 10, 13) == [(11, 0, "a"), (11, 2, "c"), (13, 0, "e")]
    assert places(held, 11, 13) == [(13, 0, "e")]
    assert places(held, 10, 12) == [(11, 0, "a"), (11, 2, "c")]
    assert places(held, 10, 13, OTHER) == [(11, 1, "b"), (12, 0, "d")]
    assert places(held, 13, 13) == []
    assert held.latest == 13


def test_what_was_stored_before_is_not_held() -> None:
    assert places(holding([event("a")]), 9, 11) is None


def test_the_oldest_are_let_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable, "_MOST_EVENTS", 3)
    held = holding([event("a")], [event("b", org="other"), event("c")], [event("d")])
    assert places(held, 10, 13) is None
    assert places(held, 11, 13) == [(12, 1, "c"), (13, 0, "d")]
    held.add(14, many := [event(str(number)) for number in range(4)], positions_of(many), data_bytes(many))
    assert places(held, 13, 14) is None, "one commit that is too large is not held"
    assert places(held, 14, 14) == []


def test_much_data_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable, "_MOST_DATA_BYTES", 50)
    held = holding([event("a", b'{"a": "%s"}' % (b"x" * 30))], [event("b", b'{"a": "%s"}' % (b"x" * 30))])
    assert places(held, 10, 12) is None
    assert places(held, 11, 12) == [(12, 0, "b")]


def test_the_engine_tells_of_many_and_of_corrections(monkeypatch: pytest.MonkeyPatch) -> None:
    void = msgspec.structs.replace(event("v"), type=VOID)
    held = holding([event("a"), event("b")], [void], [event("c"), event("d", org="other")])
    assert places(held, 10, 13) is None
    assert places(held, 12, 13) == [(13, 0, "c")]
    assert places(held, 10, 13, OTHER) == [(13, 1, "d")]
    monkeypatch.setattr(memtable, "_MOST_AT_ONCE", 1)
    assert places(held, 10, 11) is None
    assert places(held, 12, 13) == [(13, 0, "c")]


def test_forgotten_events_are_told_by_the_engine() -> None:
    held = holding([event("a")])
    held.reset(12)
    assert places(held, 11, 12) is None
    assert places(held, 12, 12) == []
    held.add(13, late := [event("b")], {ACME: [0]}, data_bytes(late))
    assert places(held, 12, 13) == [(13, 0, "b")]


@pytest.mark.parametrize(
    ("data", "path", "text"),
    [
        (b'{"a": "x"}', "a", "x"),
        (b'{"a": 1.50}', "a", "1.5"),
        (b'{"a": {"b": "7"}}', "a.b", "7"),
        (b'{"a": {"b": true}}', "a.b", "true"),
        (b'{"a": "10:30", "b": ["c:d"]}', "a", "10:30"),
        (b'{"a": {"b": 1.50}}', "a.b", "1.5"),
        (b'{"a": {"b": 1}}', "a.b", "1"),
        (b'{"a.b": "x", "a": {"b": "y"}}', "a.b", "x"),
    ],
)
def test_texts_of_events_in_memory(data: bytes, path: str, text: str) -> None:
    assert PropertyReader(event("a", data)).text(path) == text


def test_the_newest_answer_and_the_one_before() -> None:
    kept: ResultCache[str] = ResultCache()
    for commit in (3, 5, 9, 7):
        kept.keep("question", CachedResult(commit, f"as of {commit}", 1), kept.generation)
    assert [kept.find("question", commit) for commit in (4, 6, 8)] == [
        None,
        CachedResult(5, "as of 5", 1),
        CachedResult(5, "as of 5", 1),
    ]
    assert kept.find("question", 9) == kept.find("question", 100) == CachedResult(9, "as of 9", 1)
    assert kept.find("other", 100) is None


def test_an_answer_from_before_all_was_forgotten_is_not_kept() -> None:
    kept: ResultCache[str] = ResultCache()
    kept.keep("one", CachedResult(1, "", 1), age := kept.generation)
    kept.clear()
    kept.keep("two", CachedResult(1, "", 1), age)
    assert kept.find("one", 1) is kept.find("two", 1) is None


def test_what_was_asked_longest_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result_cache, "_MOST_COST", 30)
    monkeypatch.setattr(result_cache, "_MOST_COST_OF_ONE", 5)
    kept: ResultCache[str] = ResultCache()
    kept.keep("large", CachedResult(1, "", 6), kept.generation)
    assert kept.find("large", 1) is None
    for question in ("one", "two"):
        kept.keep(question, CachedResult(1, "", 4), kept.generation)
    assert kept.find("one", 1)
    kept.keep("three", CachedResult(1, "", 4), kept.generation)
    assert [bool(kept.find(question, 1)) for question in ("one", "two", "three")] == [True, False, True]
