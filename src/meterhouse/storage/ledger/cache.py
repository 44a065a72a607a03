"""Caches of the ledger: values that were read last, and the last change of each organization."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

V = TypeVar("V")


class ReadCache(Generic[V]):
    """Holds the `size` values that were read last. A missing value is never cached: guessing at keys cannot evict real
    ones."""

    def __init__(self, size: int):
        """Begins empty."""
        self._values: LRUCache[str, V] = LRUCache(size)
        self._changes = 0
        self._lock = Lock()

    def get(self, key: str, load: Callable[[], V | None]) -> V | None:
        """The value of `key`, from memory or else from `load`."""
        with self._lock:
            if key in self._values:
                return self._values[key]
            changes = self._changes
        value = load()
        if value is not None:
            with self._lock:
                if changes == self._changes:  # else what was loaded may be older than the change
                    self._values[key] = value
        return value

    def clear(self) -> None:
        """Forgets everything, also what is being loaded."""
        with self._lock:
            self._changes += 1
            self._values.clear()

    @contextmanager
    def changing(self, key: str) -> Iterator[None]:
        """Wraps a change of the stored value, and evicts it, also when the change fails: it may have happened."""
        try:
            yield
        finally:
            with self._lock:
                self._changes += 1
                self._values.pop(key, None)


class Changes:
    """Numbers the changes, and knows an upper bound on each organization's last one. Organizations share a fixed number
    of buckets: a bound that is too high costs a second look, and never a wrong answer."""

    def __init__(self, places: int):
        """Begins with change 0, of everything."""
        self._newest = self._everything = 0
        self._of_place = [0] * places
        self._lock = Lock()

    def newest(self) -> int:
        """The number of the newest change."""
        return self._newest

    def newest_of(self, organization_id: str) -> int:
        """The number of the newest change that may be the organization's."""
        return max(self._everything, self._of_place[hash(organization_id) % len(self._of_place)])

    def change_all(self) -> None:
        """Numbers a change of everything."""
        with self._lock:
            self._newest += 1
            self._everything = self._newest

    @contextmanager
    def changing_all(self) -> Iterator[None]:
        """Wraps a change of everything, as `changing` does."""
        try:
            yield
        finally:
            self.change_all()

    @contextmanager
    def changing(self, organization_id: str) -> Iterator[None]:
        """Wraps a change, and every memory of what it changes. One that fails counts too: it may have happened."""
        try:
            yield
        finally:
            with self._lock:
                self._newest += 1
                self._of_place[hash(organization_id) % len(self._of_place)] = self._newest
