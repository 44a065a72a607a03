"""How domain values are written in the ledger's columns."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

from ...domain.period import EPOCH, Interval

_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An instant as microseconds since 1970: exact, and UTC again when it is read. A naive datetime is refused."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Counts the microseconds."""
        return None if value is None else (value - EPOCH) // _MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Counts them back."""
        return None if value is None else EPOCH + value * _MICROSECOND


class IsoInterval(TypeDecorator[Interval]):
    """An interval as its text, `P1M`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Interval | None, dialect: Dialect) -> str | None:
        """Writes the text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Interval | None:
        """Reads the text."""
        return None if value is None else Interval.parse(value)


class Json(TypeDecorator[Any]):
    """A value of one type as JSON text. Decimals are written as strings, so every digit comes back."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any):
        """`kind` is any type that msgspec can read back."""
        super().__init__()
        self.kind = kind
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Writes the JSON text."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Reads the JSON text."""
        return None if value is None else self._decoder.decode(value)


class Word(TypeDecorator[StrEnum]):
    """One of some words, as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]):
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        """Writes the text."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        """Reads the text."""
        return None if value is None else self.kind(value)


class Flag(TypeDecorator[bool]):
    """Yes or no as 1 or 0, on every database: rows go from one to another as they are stored."""

    impl = Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> int | None:
        """Writes the number."""
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, dialect: Dialect) -> bool | None:
        """Reads the number."""
        return None if value is None else bool(value)


Number = BigInteger().with_variant(Integer, "sqlite")
"""What the database numbers rows with, of which there may be billions: SQLite's own kind has 64 bits by that name."""
