"""Results of earlier queries, each with the commit that it is valid at: asked again, only later events are added."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from cachetools import LRUCache

_MOST_COST = 100_000
"""The most numbers and names in the cache, those of questions and answers together."""
_MOST_COST_OF_ONE = 6_000
"""The most of one result: a larger one is made anew each time."""
_COST_BESIDE = 10
"""What a result costs besides its own numbers and names."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class CachedResult(Generic[Answer]):
    """A result and the commit that it is valid at. Nobody changes it."""

    commit: int
    answer: Answer
    cost: int


class ResultCache(Generic[Answer]):
    """Keeps by question the newest result and the one before, so that a question about a slightly older commit need not
    begin anew. The least recently used questions are evicted first."""

    def __init__(self) -> None:
        self._answers: LRUCache[Hashable, tuple[CachedResult[Answer], ...]] = LRUCache(_MOST_COST, _size)
        self._generation = 0
        self._lock = Lock()

    @property
    def generation(self) -> int:
        """How often the cache was cleared. Take it before reading what a result is made from."""
        return self._generation

    def find(self, question: Hashable, commit: int) -> CachedResult[Answer] | None:
        """The newest answer as of that commit or an earlier one."""
        with self._lock:
            if (answers := self._answers.get(question)) is None:
                return None
            return next((cached for cached in answers if cached.commit <= commit), None)

    def keep(self, question: Hashable, cached: CachedResult[Answer], generation: int) -> None:
        """Keeps a result that was made in that generation, unless the cache was cleared since."""
        with self._lock:
            answers = self._answers.get(question, ())
            if (
                generation != self._generation
                or cached.cost > _MOST_COST_OF_ONE
                or (answers and answers[0].commit >= cached.commit)
            ):
                return
            self._answers[question] = cached, *answers[:1]

    def clear(self) -> None:
        """Forgets every result. Call it after stored events or rollups have changed."""
        with self._lock:
            self._generation += 1
            self._answers.clear()


def _size(answers: tuple[CachedResult[Answer], ...]) -> int:
    return sum(_COST_BESIDE + cached.cost for cached in answers)
