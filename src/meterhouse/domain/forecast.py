"""Forecasts: what a meter will have counted at the end of its usage period, if its past goes on as it was.

All of it is computed from the amounts of past hours, in whole numbers, so that no digit is lost: a quantity in the
units of `quantity.units`, a moment in microseconds. Hours are those of UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import accumulate, dropwhile
from math import gcd

from .quantity import MAX_DECIMAL_PLACES, divide, round_half_even, units

_DAY = 24
_WEEK = 7 * _DAY
HISTORY_HOURS = 8 * _WEEK
"""The most hours of the past that count."""
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_HOUR_MICROSECONDS = _HOUR // _MICROSECOND
_HOUR_SECONDS = 3_600

_LEAST_HOURS = _DAY
"""With less of a past there is no forecast."""
_PROFILE_HOURS = 2 * _WEEK
"""With so much of a past there is a profile, and with less a run rate."""
_LATER, _EARLIER = 5, 4
"""What a week weighs, and what the week before it."""
_ERROR_HOURS = _WEEK
"""The most hours that a past error is measured over."""
_LEAST_ERRORS = 10


class Method(StrEnum):
    """How the hours to come are expected."""

    RUN_RATE = "run_rate"
    """As in the mean of the days so far, hour by hour."""
    PROFILE = "profile"
    """As the same hour of the same weekday in the last weeks, up to eight; the later a week, the more it weighs."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a meter's past lets expect of the hours after it. It holds for an hour: what is used by then comes later."""

    method: Method
    start: datetime
    """The full hour that the past ends and the expectation begins with."""
    end: datetime
    """The end of the usage period."""
    expected: tuple[int, ...]
    """What the first 0, 1, 2 … hours will add, up to a day or a week, which repeats itself; in units times `weight`."""
    weight: int
    error: tuple[int, int] | None
    """What four of five past errors did not exceed, in units, and how many hours each was measured over; None where
    there were too few."""
    falls: bool
    """Whether some hour of the past made the total less."""
    grain: int
    """The greatest number of units that all amounts are multiples of."""

    def until(self, instant: datetime) -> int:
        """What is expected from `start` to an instant, in units times `weight` times microseconds of an hour: within an
        hour it comes evenly."""
        hours, rest = divmod(instant - self.start, _HOUR)
        whole, part = self._first(hours), rest // _MICROSECOND
        return whole * _HOUR_MICROSECONDS + (self._first(hours + 1) - whole) * part

    def reached(self, amount: int) -> datetime | None:
        """The first full second at which `until` is as much as this; None where that is not before the end. The amount
        must be more than what is expected until now."""
        peak, repeated = max(self.expected) * _HOUR_MICROSECONDS, self.expected[-1] * _HOUR_MICROSECONDS
        cycles = -((peak - amount) // repeated) if peak < amount and repeated > 0 else 0
        cycle = len(self.expected) - 1
        last = (self.end - self.start) // _HOUR
        for hour in range(cycles * cycle, min((cycles + 1) * cycle, last + 1)):
            before, after = (self._first(each) * _HOUR_MICROSECONDS for each in (hour, hour + 1))
            if after >= amount:
                seconds = -(-(amount - before) * _HOUR_SECONDS // (after - before))
                instant = self.start + hour * _HOUR + timedelta(seconds=seconds)
                return instant if instant < self.end else None
        return None

    def _first(self, hours: int) -> int:
        whole, rest = divmod(hours, len(self.expected) - 1)
        return whole * self.expected[-1] + self.expected[rest]


@dataclass(frozen=True, slots=True)
class Forecast:
    """How a usage period is expected to end. Quantities have as many decimals as the meter's own."""

    used: Decimal
    """At the end of the period."""
    low: Decimal | None
    """If errors are as they were, the truth is between `low` and `high` four times of five. None, like `high`, where
    there were too few past errors to tell."""
    high: Decimal | None
    exhausted_at: datetime | None
    """When the limit is reached: now, when it is already; None when nothing limits, or not before the period ends."""
    method: Method


def outlook(past: Sequence[Decimal], start: datetime, end: datetime) -> Outlook | None:
    """What to expect from `start`, a full hour, to the end of the usage period.

    `past` are the amounts of the hours before `start`, the oldest first. What is before the first usage says nothing,
    and neither does the hour of the first usage itself: when it began is chance. None with less than a day after it.
    """
    amounts = [units(each) for each in dropwhile(lambda each: not each, past)][1:]
    if len(amounts) < _LEAST_HOURS:
        return None
    history = _History(amounts)
    cycle, weights = history.cycles(len(amounts))
    return Outlook(
        method=history.method,
        start=start,
        end=end,
        expected=tuple(history.expected(len(amounts), hours) for hours in range(cycle + 1)),
        weight=sum(weights),
        error=history.error(-((start - end) // _HOUR)),
        falls=any(each < 0 for each in amounts),
        grain=gcd(*amounts),
    )


def forecast(expecting: Outlook, used: Decimal, limit: Decimal | None, now: datetime) -> Forecast:
    """How the period ends when so much is used now, a moment of the outlook's first hour or later."""
    so_far, divisor = expecting.until(now), expecting.weight * _HOUR_MICROSECONDS
    rest = expecting.until(expecting.end) - so_far
    point, begin = units(used) * divisor + rest, units(used) * divisor
    decimals = _decimals(gcd(expecting.grain, units(used)))

    def quantity(number: int) -> Decimal:
        return round_half_even(divide(Decimal(number), units(1) * divisor), decimals)

    low = high = None
    if expecting.error is not None:
        error, hours = expecting.error
        margin = error * expecting.weight * ((expecting.end - now) // _MICROSECOND) // hours
        low = quantity(point - margin if expecting.falls else max(point - margin, begin))
        high = quantity(point + margin)
    exhausted_at = None
    if limit is not None:
        left = (units(limit) - units(used)) * divisor
        exhausted_at = now if left <= 0 else expecting.reached(so_far + left)
    return Forecast(quantity(point), low, high, exhausted_at, expecting.method)


class _History:
    """The amounts of consecutive hours, and what could have been expected after each of them."""

    def __init__(self, amounts: Sequence[int]):
        self.method = Method.PROFILE if len(amounts) >= _PROFILE_HOURS else Method.RUN_RATE
        self._hours = len(amounts)
        self._totals = list(accumulate(amounts, initial=0))

    def cycles(self, at: int) -> tuple[int, list[int]]:
        """How many hours repeat themselves, and what each of the past repetitions weighs, the latest first."""
        if self.method is Method.RUN_RATE:
            return _DAY, [1] * (at // _DAY)
        weeks = min(at, HISTORY_HOURS) // _WEEK
        return _WEEK, [_LATER ** (weeks - 1 - back) * _EARLIER**back for back in range(weeks)]

    def expected(self, at: int, hours: int) -> int:
        """What could be expected of so many hours after the first `at` ones, times the weights' sum."""
        totals = self._totals
        cycle, weights = self.cycles(at)
        whole, rest = divmod(hours, cycle)
        return sum(
            weight * (whole * (totals[begin + cycle] - totals[begin]) + totals[begin + rest] - totals[begin])
            for begin, weight in zip(range(at - cycle, -1, -cycle), weights, strict=False)
        )

    def error(self, hours: int) -> tuple[int, int] | None:
        """What four of five past errors over so many hours did not exceed, one a day; over a week, where that is less,
        and over how many hours. None where there are too few."""
        span = min(hours, _ERROR_HOURS)
        first = _LEAST_HOURS if self.method is Method.RUN_RATE else _PROFILE_HOURS
        errors = sorted(self._error(at, span) for at in range(self._hours - span, first - 1, -_DAY))
        if span < 1 or len(errors) < _LEAST_ERRORS:
            return None
        # One more than there are: the error to come is as likely to be the largest as any of them was.
        return errors[-(-4 * (len(errors) + 1) // 5) - 1], span

    def _error(self, at: int, span: int) -> int:
        weight = sum(self.cycles(at)[1])
        actual = self._totals[at + span] - self._totals[at]
        return abs(self.expected(at, span) - actual * weight) // weight


def _decimals(grain: int) -> int:
    """How many digits after the point multiples of some units have."""
    return next(places for places in range(MAX_DECIMAL_PLACES + 1) if not grain * 10**places % units(1))
