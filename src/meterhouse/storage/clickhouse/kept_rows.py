"""What was read of an organization's rollups, kept as long as no fold can have changed it."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import msgspec

from .engine import Engine, Parameters

_MOST_ROWS = 50_000
"""How many are kept, of all answers together, and"""
_MOST_ROWS_OF_ONE = 2_000
"""of one: a larger one is read again each time."""


class KeptRows:
    """The answers to statements about whole slots: asking the engine takes longer than what it has to read for them.

    An organization's rollups up to a commit are the same up to a later one if no event of it was stored in between.
    """

    def __init__(self, engine: Engine):
        self._engine = engine
        self._answers: OrderedDict[tuple[str, bytes], tuple[int, list[list[Any]]]] = OrderedDict()
        self._rows = 0
        self._lock = Lock()

    def rows(self, sql: str, parameters: Parameters, watermark: int, touched: int) -> list[list[Any]]:
        """The answer to a statement that reads nothing but one organization's rollups, folded to `watermark`, and its
        events up to there; `touched` is as in `ports.EventStore`. To be called while nothing is folded in."""
        key = sql, msgspec.json.encode(parameters)
        with self._lock:
            kept = self._answers.get(key)
            if kept is not None and (kept[0] == watermark or touched <= kept[0]):
                self._answers.move_to_end(key)
                return kept[1]
        answer = self._engine.rows(sql, parameters)
        if len(answer) <= _MOST_ROWS_OF_ONE:
            with self._lock:
                self._forget(key)
                self._answers[key] = watermark, answer
                self._rows += _size(answer)
                while self._rows > _MOST_ROWS:
                    self._forget(next(iter(self._answers)))
        return answer

    def forget_all(self) -> None:
        """To be called when rollups were dropped."""
        with self._lock:
            self._answers.clear()
            self._rows = 0

    def _forget(self, key: tuple[str, bytes]) -> None:
        if (kept := self._answers.pop(key, None)) is not None:
            self._rows -= _size(kept[1])


def _size(answer: list[list[Any]]) -> int:
    return 1 + len(answer)
