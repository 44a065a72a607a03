"""What questions came to, kept with how far it reaches: asked again, only what came since has to be added."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

_MOST_CELLS = 100_000
"""How many numbers and names are kept, of all answers and their questions together, and"""
_MOST_CELLS_OF_ONE = 6_000
"""of one: a larger one is made anew each time."""
_CELLS_BESIDE = 10
"""What an answer takes beside its own."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Kept(Generic[Answer]):
    """An answer that is never changed, and the commit that it is as of."""

    commit: int
    answer: Answer
    cells: int


class KeptAnswers(Generic[Answer]):
    """By question the newest answer, and the one before: who asked a moment earlier is not to begin anew."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, tuple[Kept[Answer], ...]] = OrderedDict()
        self._cells = 0
        self._age = 0
        self._lock = Lock()

    @property
    def age(self) -> int:
        """How often all was forgotten; to be taken before anything is read."""
        return self._age

    def find(self, question: Hashable, commit: int) -> Kept[Answer] | None:
        """The newest answer as of that commit or an earlier one."""
        with self._lock:
            if (answers := self._answers.get(question)) is None:
                return None
            self._answers.move_to_end(question)
            return next((kept for kept in answers if kept.commit <= commit), None)

    def keep(self, question: Hashable, kept: Kept[Answer], age: int) -> None:
        """Keeps an answer that was made from what was read at that age."""
        with self._lock:
            answers = self._answers.get(question, ())
            if age != self._age or kept.cells > _MOST_CELLS_OF_ONE or (answers and answers[0].commit >= kept.commit):
                return
            self._forget(question)
            self._answers[question] = kept, *answers[:1]
            self._cells += _size(self._answers[question])
            while self._cells > _MOST_CELLS:
                self._forget(next(iter(self._answers)))

    def forget_all(self) -> None:
        """To be called when what is stored is otherwise than it was."""
        with self._lock:
            self._age += 1
            self._answers.clear()
            self._cells = 0

    def _forget(self, question: Hashable) -> None:
        self._cells -= _size(self._answers.pop(question, ()))


def _size(answers: tuple[Kept[Answer], ...]) -> int:
    return sum(_CELLS_BESIDE + kept.cells for kept in answers)
