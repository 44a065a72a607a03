"""Snapshots of one shard."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from meterhouse.domain.event_parser import parse_event
from meterhouse.services.snapshots import LocalSnapshots
from support.reference import ReferenceStore

T0 = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store() -> ReferenceStore:
    """Of two commits, an hour apart."""
    store = ReferenceStore()
    for number in range(2):
        raw = {"specversion": "1.0", "id": f"e{number}", "source": "s", "type": "thing", "subject": "acme"}
        store.append([parse_event(json.dumps(raw).encode(), "ns", {}, T0)], T0 + number * HOUR)
    return store


def test_a_snapshot_is_of_the_newest_commit_or_of_one_at_an_instant(store: ReferenceStore) -> None:
    snapshots = LocalSnapshots(store, 3)  # type: ignore[arg-type]
    told = [snapshots.snapshot("ns", ("acme",), at) for at in (None, T0 + HOUR, T0 + HOUR / 2, T0 - HOUR)]
    assert [each.commit for each in told] == [2, 2, 1, 0]
    assert [each.position for each in told] == ["3-2", "3-2", "3-1", "3-0"]
    assert all(each.reader is store for each in told)


def test_a_position_is_reached_when_its_own_shard_has(store: ReferenceStore) -> None:
    here = LocalSnapshots(store, 1)  # type: ignore[arg-type]
    assert here.reached({1: 2})
    assert here.reached({0: 99, 1: 1, 2: 99})
    assert here.reached({0: 99}), "no answer from here depends on another shard"
    assert not here.reached({1: 3})
    assert not here.reached({0: 1, 1: 3})
