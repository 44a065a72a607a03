"""When events are folded."""

from __future__ import annotations

import time
from typing import cast

from meterhouse.ports import EventStore
from meterhouse.services.folding import Folding

FOLD_SECONDS = 0.1


class _Store:
    """Takes its time for a fold, and says to which commit each went."""

    def __init__(self, *, busy: bool):
        self.busy = busy
        self.commit = 1
        self.folds: list[int] = []

    def latest_commit(self) -> int:
        self.commit += self.busy
        return self.commit

    def fold(self, settled_commit: int) -> bool:
        time.sleep(FOLD_SECONDS)
        self.folds.append(settled_commit)
        return False

    def interrupt(self) -> None:
        pass

    def checkpoint(self) -> None:
        pass


def folds_of(store: _Store) -> list[int]:
    folding = Folding(cast("EventStore", store), 0)
    time.sleep(15 * FOLD_SECONDS)
    folding.close()
    return store.folds


def test_while_events_keep_coming_it_mostly_rests() -> None:
    assert 1 <= len(folds_of(_Store(busy=True))) <= 4


def test_once_no_more_come_the_newest_are_folded() -> None:
    store = _Store(busy=True)
    folding = Folding(cast("EventStore", store), 0)
    time.sleep(2 * FOLD_SECONDS)
    store.busy = False
    time.sleep(2.5 * FOLD_SECONDS)
    folding.close()
    assert store.folds[-1] == store.commit
