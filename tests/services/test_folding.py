"""When events are folded."""

from __future__ import annotations

import time
from typing import cast

import pytest

from meterhouse.ports.event_store import EventStore
from meterhouse.services import rollup_worker
from meterhouse.services.rollup_worker import RollupWorker

FOLD_SECONDS = 0.1


class _Store:
    """Takes its time for a fold, and says to which commit each went."""

    def __init__(self, *, busy: bool, waiting: int = 60_000):
        """`waiting` events have come whenever the worker looks after a materialization."""
        self.busy = busy
        self.waiting = waiting
        self.commit = 1
        self.folds: list[int] = []

    def latest_commit(self) -> int:
        time.sleep(0.001)
        self.commit += self.busy
        return self.commit

    def stored_events(self) -> int:
        return self.waiting * (len(self.folds) + 1)

    def define(self, meters: object) -> None:
        pass

    def materialize(self, settled_commit: int) -> bool:
        time.sleep(FOLD_SECONDS)
        self.folds.append(settled_commit)
        return False

    def interrupt(self) -> None:
        pass

    def checkpoint(self) -> None:
        pass


def folds_of(store: _Store) -> list[int]:
    folding = RollupWorker(cast("EventStore", store), dict, 0)
    time.sleep(15 * FOLD_SECONDS)
    folding.close()
    return store.folds


def test_while_events_keep_coming_it_mostly_rests() -> None:
    assert 1 <= len(folds_of(_Store(busy=True))) <= 4


def test_it_does_not_rest_while_so_many_wait_that_the_memtable_might_lose_some() -> None:
    assert len(folds_of(_Store(busy=True, waiting=100_000))) >= 6


def test_a_few_events_wait_until_they_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(folds_of(_Store(busy=True, waiting=1))) == 1  # what the last process may have left
    monkeypatch.setattr(rollup_worker, "_WAITING_NS", int(5 * FOLD_SECONDS * 1e9))
    assert 2 <= len(folds_of(_Store(busy=True, waiting=1))) <= 4


def test_once_no_more_come_the_newest_are_folded() -> None:
    store = _Store(busy=True)
    folding = RollupWorker(cast("EventStore", store), dict, 0)
    time.sleep(2 * FOLD_SECONDS)
    store.busy = False
    time.sleep(2.5 * FOLD_SECONDS)
    folding.close()
    assert store.folds[-1] == store.commit
