"""Balances the slow way: day by day, event by event, half a unit after the other. Everything begins and ends at
midnight, and amounts are counted in halves. It shares no code with `domain.burn_down`."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from meterhouse.domain.grant import Grant
from meterhouse.domain.period import Interval
from meterhouse.domain.plan import Subscription

FIRST_DAY, LAST_DAY = date(2025, 10, 1), date(2026, 6, 30)


def halves(amount: Decimal) -> int:
    """An amount in halves."""
    assert amount * 2 == int(amount * 2)
    return int(amount * 2)


def boundaries(anchor: date, interval: Interval) -> set[date]:
    """When periods begin, near the days that there are."""
    if interval.days:
        return {anchor + timedelta(days=number * interval.days) for number in range(-400, 400)}
    found = set()
    for number in range(-40, 40):
        year, month = divmod(anchor.year * 12 + anchor.month - 1 + number * interval.months, 12)
        found.add(date(year, month + 1, min(anchor.day, calendar.monthrange(year, month + 1)[1])))
    return found


@dataclass
class Drawer:
    """What is left of a grant, or of the allowance."""

    grant: Grant | None
    granted: int
    burned: int = 0

    @property
    def left(self) -> int:
        return self.granted - self.burned


@dataclass
class Day:
    """What happened on a day, and what was left in the evening."""

    flows: Counter[str]
    left: int | None


@dataclass
class SlowBurnDown:
    """Goes through a history, from the first day on."""

    subscription: Subscription | None
    allowance: int | None
    grants: Sequence[Grant]
    drawers: list[Drawer] = field(default_factory=list)
    plan: Drawer = field(default_factory=lambda: Drawer(None, 0))
    in_period: Counter[str] = field(default_factory=Counter)
    today: Counter[str] = field(default_factory=Counter)
    days: dict[date, Day] = field(default_factory=dict)
    pending: int = 0
    has_period: bool = False

    def run(self, events: Iterable[tuple[datetime, Decimal]], last: date, *, netting: bool) -> None:
        """Up to the end of a day. `netting` adds up what is between two changes before it is used."""
        by_day: dict[date, list[tuple[datetime, Decimal]]] = {}
        for event in sorted(events):
            by_day.setdefault(event[0].date(), []).append(event)
        day = FIRST_DAY
        while day <= last:
            if self.changes_on(day):
                self.use(self.pending)
                self.pending = 0
                self.today = Counter()
                self.change(day)
            for _, amount in by_day.get(day, []):
                if netting:
                    self.pending += halves(amount)
                else:
                    self.use(halves(amount))
            if not netting:
                left = None if self.unlimited else self.plan.left + sum(each.left for each in self.drawers)
                self.days[day] = Day(self.today, left)
                self.today = Counter()
            day += timedelta(days=1)
        self.use(self.pending)

    def changes_on(self, day: date) -> bool:
        """Whether anything begins, is given anew, or ends."""
        return self.period_begins(day) or any(
            day in (each.effective_at.date(), ends(each)) or given_anew(each, day)
            for each in self.grants
            if ends(each) is None or each.effective_at.date() < ends(each)
        )

    def period_begins(self, day: date) -> bool:
        if self.subscription is None:
            return False
        if self.subscription.interval is None:
            return day == self.subscription.anchor.date()
        return day in boundaries(self.subscription.anchor.date(), self.subscription.interval)

    def change(self, day: date) -> None:
        if self.period_begins(day):
            self.plan = Drawer(None, self.allowance or 0)
            self.in_period = Counter()
            self.has_period = True
        for drawer in [*self.drawers]:
            grant = drawer.grant
            assert grant is not None
            if ends(grant) == day:
                expired = grant.expires_at is not None and grant.expires_at.date() == day
                self.note("expired" if expired else "voided", drawer.left)
                self.drawers.remove(drawer)
            elif given_anew(grant, day):
                carried = 0
                if grant.rollover is not None:
                    carried = max(drawer.left, halves(grant.rollover.least))
                    carried = min(carried, halves(grant.rollover.most))
                self.note("expired", max(0, drawer.left - carried))
                self.note("granted", halves(grant.amount) + max(0, carried - drawer.left))
                drawer.granted, drawer.burned = halves(grant.amount) + carried, 0
        for grant in self.grants:
            if grant.effective_at.date() == day and (ends(grant) is None or day < ends(grant)):
                self.drawers.append(Drawer(grant, halves(grant.amount)))
                self.note("granted", halves(grant.amount))

    def use(self, amount: int) -> None:
        for _ in range(amount):
            self.use_half()
        for _ in range(-amount):
            self.take_half_back()

    def use_half(self) -> None:
        if self.unlimited:
            self.plan.burned += 1
            self.note("allowance_burned", 1)
            return
        for drawer in (self.plan, *self.ordered()):
            if drawer.left > 0:
                drawer.burned += 1
                self.note("allowance_burned" if drawer is self.plan else "burned", 1)
                return
        self.note("overage", 1)

    def take_half_back(self) -> None:
        if self.in_period["overage"] > 0:
            self.note("overage", -1)
            return
        for drawer in (*reversed(self.ordered()), self.plan):
            if drawer.burned > 0 or (drawer is self.plan and self.unlimited):
                drawer.burned -= 1
                self.note("allowance_burned" if drawer is self.plan else "burned", -1)
                return

    @property
    def unlimited(self) -> bool:
        return self.allowance is None and (self.has_period or self.subscription is None)

    def ordered(self) -> list[Drawer]:
        """Priority, expiry, age, id: sorted one after the other, the last one first."""
        found = [*self.drawers]
        found.sort(key=lambda each: each.grant.id)
        found.sort(key=lambda each: each.grant.created_at)
        found.sort(key=lambda each: each.grant.expires_at.timestamp() if each.grant.expires_at else 10**12)
        found.sort(key=lambda each: each.grant.priority)
        return found

    def note(self, what: str, amount: int) -> None:
        self.in_period[what] += amount
        self.today[what] += amount


def ends(grant: Grant) -> date | None:
    """The day on which it is in force no more."""
    return min((each.date() for each in (grant.expires_at, grant.voided_at) if each is not None), default=None)


def given_anew(grant: Grant, day: date) -> bool:
    """Whether it is given anew on that day."""
    if grant.recurrence is None or not grant.effective_at.date() < day or ((end := ends(grant)) and day >= end):
        return False
    return day in boundaries(grant.recurrence.anchor.date(), grant.recurrence.interval)
