"""What was stored since a commit: who has events in it, and which corrections were made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meterhouse.domain.correction import ADD, SOURCE, VOID
from meterhouse.domain.event import Event
from meterhouse.ports.commit_log import Changed
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.stores import crash, open_store

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
NOTHING = Changed(frozenset(), corrected=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseEventStore]:
    with closing(open_store(tmp_path)) as opened:
        yield opened


def event(name: str, organization: str = "acme", namespace: str = "shop") -> Event:
    return Event(namespace, "tests", name, "call", organization, NOW, b"{}", {})


def step(correction: str, number: int, of: Event, kind: str = VOID) -> Event:
    said = {"source": of.source, "id": of.id, "correction": correction, "steps": 2, "actor": "ada", "reason": "a test"}
    name = f"{correction}/{number}"
    return Event(of.namespace, SOURCE, name, kind, of.organization, NOW, json.dumps(said).encode(), {})


def test_organizations_are_told_since_a_commit(store: ClickHouseEventStore) -> None:
    assert store.changed_since(0) == NOTHING
    store.append([event("1"), event("2", "globex")], NOW)
    middle = store.latest_commit()
    store.append([event("1"), event("3", "globex"), event("3", namespace="other")], NOW)
    assert store.changed_since(0).organizations == {("shop", "acme"), ("shop", "globex"), ("other", "acme")}
    assert store.changed_since(middle).organizations == {("shop", "globex"), ("other", "acme")}
    assert store.changed_since(store.latest_commit()) == NOTHING


def test_who_follows_is_told_the_same_from_memory(store: ClickHouseEventStore) -> None:
    store.append([event("0", "before")], NOW)
    store.follow_changes()
    begin = store.latest_commit()
    for number in range(3):
        store.append([event(f"{number}", f"o-{number}"), event(f"{number}")], NOW)
    store.append([step("c", 0, event("0"))], NOW)
    assert store.take_changes(store.latest_commit()) == store.changed_since(begin)
    assert store.take_changes(store.latest_commit()) == NOTHING


def test_steps_of_corrections_are_told_in_their_order(store: ClickHouseEventStore) -> None:
    one, two = event("1"), event("2", "globex")
    store.append([one, two], NOW)
    begin = store.latest_commit()
    assert not store.changed_since(0).corrected
    store.append([step("first", 0, one), step("first", 1, two)], NOW)
    middle = store.latest_commit()
    added = event("3")
    store.append([added, step("second", 0, added, ADD)], NOW)
    assert store.changed_since(begin).corrected
    assert [each.event.id for each in store.correction_steps(begin, middle)] == ["first/0", "first/1"]
    assert [each.event.id for each in store.correction_steps(middle, store.latest_commit())] == ["second/0"]
    assert store.correction_steps(store.latest_commit(), store.latest_commit() + 9) == []


def test_after_a_crash_the_journal_tells_them_too(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([event("1")], NOW)
    begin = store.latest_commit()
    store.append([event("2", "globex"), step("c", 0, event("1"))], NOW)
    crash(store)
    with closing(open_store(tmp_path)) as again:
        assert again.changed_since(begin) == Changed(frozenset({("shop", "globex"), ("shop", "acme")}), corrected=True)
