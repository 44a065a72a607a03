"""Usage periods of entitlements: how long they are, and where each begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ...domain.period import LAST_INSTANT, Interval, Period, add_months, parse_instant, period_at
from .burn_down import MOST_CHANGES, Reset
from .wire import bad_field

INTERVALS = {"DAY": "P1D", "WEEK": "P1W", "MONTH": "P1M", "YEAR": "P1Y"}
_ISO = re.compile(r"P([1-9][0-9]{0,2})([DWMY])", re.ASCII)
_MONTHS, _DAYS = {"M": 1, "Y": 12}, {"D": 1, "W": 7}
_HOURS = {"HOUR": 1, "DAY": 24, "WEEK": 7 * 24}
_MONTHS_OF = {"MONTH": 1, "YEAR": 12}
_MOST_COUNT = 1_000
_MICROSECOND = timedelta(microseconds=1)


class Recurring(msgspec.Struct):
    """How often something happens, and when it did or will do so."""

    interval: str
    anchor: str | None = None


class Expiration(msgspec.Struct):
    """How long a grant is good for."""

    duration: str
    count: int


def interval_of(field: str, text: str) -> Interval:
    """An interval by its name, or in ISO 8601. Raises `Refuse`."""
    match = _ISO.fullmatch(INTERVALS.get(text, text))
    if match is None:
        raise bad_field(field, f"must be one of {', '.join(INTERVALS)}, or days, weeks, months or years like P1M")
    count, unit = int(match[1]), match[2]
    return Interval(count * _MONTHS.get(unit, 0), count * _DAYS.get(unit, 0))


def iso_of(text: str) -> str:
    """An interval in ISO 8601."""
    return INTERVALS.get(text, text)


def expiry(field: str, effective_at: datetime, expiration: Expiration) -> datetime:
    """When a grant expires that is good for so long. Raises `Refuse`."""
    duration, count = expiration.duration, expiration.count
    if not 1 <= count <= _MOST_COUNT:
        raise bad_field(f"{field}.count", f"must be a number from 1 to {_MOST_COUNT}")
    if duration in _HOURS:
        end = effective_at + timedelta(hours=_HOURS[duration] * count)
    elif duration in _MONTHS_OF:
        end = add_months(effective_at, _MONTHS_OF[duration] * count)
    else:
        raise bad_field(f"{field}.duration", f"must be one of {', '.join((*_HOURS, *_MONTHS_OF))}")
    if end >= LAST_INSTANT:
        raise bad_field(field, f"ends in {end.year}: {LAST_INSTANT.year - 1} is the last year that there is")
    return end


def resets_of(entitlement: Mapping[str, Any], until: datetime) -> list[Reset]:
    """Where the usage periods of a metered entitlement began: with the first measured usage, with the end of each that
    ran out, and with each reset that was asked for."""
    keeps = bool(entitlement["preserveOverageAtReset"])
    interval = interval_of("usagePeriod.interval", entitlement["interval"])
    anchor, at = parse_instant(entitlement["anchor"]), parse_instant(entitlement["measureUsageFrom"])
    found = [Reset(at)]
    for asked in (*entitlement["resets"], None):
        # One that runs out at the very moment has begun anew, unless that is when it was asked to.
        end = until + _MICROSECOND if asked is None else min(until, parse_instant(asked["at"]))
        while (following := _end(anchor, interval, at)) < end and len(found) <= MOST_CHANGES:
            at = following
            found.append(Reset(at, keeps))
        if asked is not None and parse_instant(asked["at"]) <= until:
            at, anchor = parse_instant(asked["at"]), parse_instant(asked["anchor"])
            found.append(Reset(at, bool(asked["preserveOverage"])))
    return found


def current_period(entitlement: Mapping[str, Any], resets: Sequence[Reset], now: datetime) -> Period:
    """The usage period that an instant is in."""
    asked = [each for each in entitlement["resets"] if parse_instant(each["at"]) <= now]
    anchor = parse_instant(asked[-1]["anchor"] if asked else entitlement["anchor"])
    natural = period_at(anchor, interval_of("usagePeriod.interval", entitlement["interval"]), now)
    start = natural.start if len(resets) == 1 and not asked else resets[-1].at
    return Period(start, natural.end)


def anchor_of(entitlement: Mapping[str, Any]) -> str:
    """What the usage periods of a metered entitlement are counted from: that of the last reset that was asked for."""
    anchors = [entitlement["anchor"], *(each["anchor"] for each in entitlement["resets"])]
    return str(anchors[-1])


def _end(anchor: datetime, interval: Interval, at: datetime) -> datetime:
    end = period_at(anchor, interval, at).end
    assert end is not None  # a period of an interval has both sides
    return end
