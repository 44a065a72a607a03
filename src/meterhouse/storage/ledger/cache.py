"""A small memory of what was read last, that never outlives a change."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, TypeVar

V = TypeVar("V")


class ReadCache(Generic[V]):
    """The `size` values read last. Absence is never remembered: guessing at keys cannot push real ones out."""

    def __init__(self, size: int):
        """Begins empty."""
        self._size = size
        self._values: OrderedDict[str, V] = OrderedDict()
        self._changes = 0
        self._lock = Lock()

    def get(self, key: str, load: Callable[[], V | None]) -> V | None:
        """The value of `key`, from memory or else from `load`."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            changes = self._changes
        value = load()
        if value is not None:
            with self._lock:
                if changes == self._changes:  # else what was loaded may be older than the change
                    self._values[key] = value
                    if len(self._values) > self._size:
                        self._values.popitem(last=False)
        return value

    @contextmanager
    def changing(self, key: str) -> Iterator[None]:
        """Wraps a change of the stored value. It is forgotten also when the change fails: it may have happened."""
        try:
            yield
        finally:
            with self._lock:
                self._changes += 1
                self._values.pop(key, None)
