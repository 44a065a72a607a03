"""Times as tables have them: RFC 3339, local ones, seconds since 1970, Excel's days, or by a pattern."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal

from ...domain.errors import Invalid
from ...domain.local_time import zone
from ...domain.period import EPOCH, format_instant, parse_instant
from ..terminal import Failed
from .records import NoEvent

_LOCAL_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?")
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")
_UNIX = {"unix": 0, "unix-ms": 3, "unix-us": 6, "unix-ns": 9}
"""Format → how many powers of ten one second is."""
_EXCEL = {"excel": datetime(1899, 12, 30), "excel-1904": datetime(1904, 1, 1)}  # noqa: DTZ001 - local times
"""Format → day 0."""
_FIRST_SOUND_DAY = 61
"""1 March 1900: Excel counts a 29 February 1900, so that days before it are a day off, by some programs."""
_DAY_MS = Decimal(86_400_000)
_EXACT = Context(prec=60)
RFC_3339 = "rfc3339"


class TimeReader:
    """Reads the times of one file."""

    def __init__(self, form: str, zone_name: str | None, option: str):
        """`option` is the one that names the zone. Raises `Failed` for a format or a zone that there is not."""
        if form not in (RFC_3339, *_UNIX, *_EXCEL) and "%" not in form:
            raise Failed(
                f"there is no time format {form[:40]!r}: give {', '.join((RFC_3339, *_UNIX, *_EXCEL))}, "
                "or a pattern like '%d.%m.%Y %H:%M:%S'"
            )
        try:
            self._zone = zone(zone_name) if zone_name is not None else None
        except Invalid as wrong:
            raise Failed(f"the time zone: {wrong}") from None
        self._form = form
        self._option = option
        self._twice: list[str] = []
        self.ambiguous = 0
        """How many local times there were that the clocks of the zone showed twice."""

    def read(self, text: str, place: str) -> str:
        """The instant in RFC 3339. Of a local time that there was twice it is the first. Raises `NoEvent`."""
        try:
            if self._form == RFC_3339:
                return self._written(text, place)
            instant = format_instant(self._computed(text, place))
            parse_instant(instant)
        except (ValueError, OverflowError) as wrong:
            raise NoEvent(f"the time {text[:60]!r} cannot be read as {self._form}: {wrong}") from None
        except Invalid as wrong:
            raise NoEvent(f"the time {wrong}") from None
        return instant

    def _computed(self, text: str, place: str) -> datetime:
        if self._form in _UNIX:
            return EPOCH + timedelta(microseconds=_microseconds(text, _UNIX[self._form]))
        if self._form in _EXCEL:
            return self._instant(self._from_excel(text), text, place)
        moment = datetime.strptime(text, self._form)  # noqa: DTZ007 - the zone is in it, or an option
        return moment if moment.tzinfo is not None else self._instant(moment, text, place)

    def notes(self) -> list[str]:
        """What there is to be told of the times that were read."""
        if not self.ambiguous:
            return []
        return [
            f"{self.ambiguous:,} times were there twice, because clocks went back ({self._twice[0]} was the first): "
            "they were read as the earlier of the two"
        ]

    def _written(self, text: str, place: str) -> str:
        local = _LOCAL_TIME.fullmatch(text)
        if local is None:
            parse_instant(text)
            return text
        try:
            moment = datetime.fromisoformat(f"{local[1]}T{local[2]}")
        except ValueError as wrong:
            raise NoEvent(f"the time {text!r} does not exist: {wrong}") from None
        instant = format_instant(self._instant(moment, text, place))
        return instant.removesuffix("Z") + (local[3] or "") + "Z"

    def _instant(self, local: datetime, text: str, place: str) -> datetime:
        """The instant at which clocks showed a time, to the microsecond."""
        if self._zone is None:
            raise NoEvent(f"the time {text!r} has no zone: say which with {self._option}, for instance UTC")
        try:
            zoned = local.replace(tzinfo=self._zone, fold=0)
            first = zoned.astimezone(UTC)
            if zoned.utcoffset() == zoned.replace(fold=1).utcoffset():
                return first  # clocks were not changed around that time
            shown = first.astimezone(self._zone).replace(tzinfo=None)
        except OverflowError as wrong:
            raise NoEvent(f"the time {text!r} does not exist: {wrong}") from None
        if shown != local:
            raise NoEvent(f"the time {text!r} does not exist in {self._zone.key}: clocks went forward over it")
        self.ambiguous += 1
        self._twice += [] if self._twice else [f"{place}, {text}"]
        return first

    def _from_excel(self, text: str) -> datetime:
        """To the millisecond, which is as exact as Excel's are."""
        days = _number(text)
        if self._form == "excel" and days < _FIRST_SOUND_DAY:
            raise ValueError("days before 1 March 1900 are not the same in every program")
        milliseconds = int(_EXACT.multiply(days, _DAY_MS).to_integral_value(ROUND_HALF_EVEN))
        return _EXCEL[self._form] + timedelta(milliseconds=milliseconds)


def _microseconds(text: str, powers: int) -> int:
    """Digits after the microsecond are cut, towards the past."""
    return int(_EXACT.scaleb(_number(text), Decimal(6 - powers)).to_integral_value(ROUND_FLOOR))


def _number(text: str) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        raise ValueError("it is not a plain number")
    return Decimal(text)
