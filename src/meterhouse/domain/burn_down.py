"""What usage leaves of a plan's allowance and of grants.

Usage burns what is in force when it happens: the plan's allowance first, then grants in the order of `burn_order`.
Between the instants at which anything changes (a usage period or a grant begins, is given anew, or ends) all usage
finds the same grants in the same order, so that its sum is all that has to be known of it. Nothing is kept: a late
event, a correction or a void is in the next answer as if it had always been known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from .balance import Balance, BurnedSpan, Part
from .grant import Grant, burn_order
from .period import Period
from .quantity import ZERO, add, subtract
from .sources import BEFORE_ALL, Sources


def balance(sources: Sources, edges: Sequence[datetime | None], used: Sequence[Decimal]) -> Balance:
    """The balance in the last of some spans, of which all usage is known."""
    running = _Running(sources)
    for start, amount in zip(edges[:-1], used, strict=True):
        running.go(start, amount)
    return running.balance(edges[-1])


def history(sources: Sources, edges: Sequence[datetime | None], used: Sequence[Decimal]) -> list[BurnedSpan]:
    """What happened in each span, of which all usage is known."""
    running = _Running(sources)
    return [running.span(start, end, amount) for (start, end), amount in zip(pairwise(edges), used, strict=True)]


class _Pot:
    """What there is of one source since it was last given, and what became of it."""

    __slots__ = ("burned", "expired", "granted", "voided")

    def __init__(self, granted: Decimal | None):
        """`granted` is None for any amount."""
        self.granted = granted
        self.burned = self.expired = self.voided = ZERO

    @property
    def left(self) -> Decimal | None:
        """What can still be used; None: any amount."""
        if self.granted is None:
            return None
        return subtract(self.granted, add((self.burned, self.expired, self.voided)))

    def burn(self, amount: Decimal) -> Decimal:
        """Burns as much of an amount as there is, and answers how much that was."""
        left = self.left
        taken = amount if left is None else min(amount, left)
        self.burned = add((self.burned, taken))
        return taken

    def give_back(self, amount: Decimal) -> Decimal:
        """Has as much of an amount again as was burned, and answers how much that was."""
        taken = amount if self.granted is None else min(amount, self.burned)
        self.burned = subtract(self.burned, taken)
        return taken


@dataclass(slots=True)
class _Tally:
    """What has happened so far: see `BurnedSpan`."""

    used: Decimal = ZERO
    allowance_burned: Decimal = ZERO
    granted: Decimal = ZERO
    burned: Decimal = ZERO
    expired: Decimal = ZERO
    voided: Decimal = ZERO
    overage: Decimal = ZERO


class _Running:
    """Goes from span to span."""

    def __init__(self, sources: Sources):
        self._sources = sources
        # Those to come, the next one last.
        begin = (grant for grant in sources.grants if grant.begins)
        self._coming = sorted(begin, key=lambda grant: grant.effective_at, reverse=True)
        self._in_force: dict[Grant, _Pot] = {}
        """In the order of burning."""
        self._ended: list[Part] = []
        self._period: Period | None = None
        self._allowance = _Pot(ZERO)
        self._in_period, self._in_span = _Tally(), _Tally()

    def balance(self, until: datetime | None) -> Balance:
        """What has come of it, until the next change."""
        assert self._period is not None  # there is a span at least
        return Balance(
            period=self._period,
            allowance=self._allowance.granted,
            allowance_burned=self._in_period.allowance_burned,
            grants_burned=self._in_period.burned,
            overage=self._in_period.overage,
            parts=tuple(_part(grant, pot) for grant, pot in self._in_force.items()),
            ended=tuple(self._ended),
            until=until,
        )

    def span(self, start: datetime | None, end: datetime | None, used: Decimal) -> BurnedSpan:
        """Goes through a span."""
        self._in_span = _Tally()
        self.go(start, used)
        happened = self._in_span
        return BurnedSpan(
            Period(start, end),
            used=used,
            allowance_burned=happened.allowance_burned,
            granted=happened.granted,
            burned=happened.burned,
            expired=happened.expired,
            voided=happened.voided,
            overage=happened.overage,
            allowance_left=self._allowance.left,
            grants_left=add(pot.left or ZERO for pot in self._in_force.values()),
        )

    def go(self, start: datetime | None, used: Decimal) -> None:
        """Goes through a span: first all that begins, is given anew, or ends, then its usage."""
        at = start or BEFORE_ALL
        if self._period is None or not self._period.contains(at):
            self._period = self._sources.period_at(at)
            self._allowance = _Pot(self._sources.allowance_in(self._period))
            self._in_period = _Tally()
        self._end(at)
        for grant, pot in self._in_force.items():
            if grant.recurrence is not None and grant.recurrence.start_of(at) == at:
                self._give_anew(grant, pot)
        self._begin(at)
        self._count("used", used)
        if used < 0:
            self._take_back(-used)
        else:
            self._burn(used)

    def _end(self, at: datetime) -> None:
        for grant in [grant for grant in self._in_force if not grant.in_force_at(at)]:
            pot = self._in_force.pop(grant)
            left = pot.left or ZERO
            if grant.is_voided:
                pot.voided = left
                self._count("voided", left)
            else:
                pot.expired = left
                self._count("expired", left)
            self._ended.append(_part(grant, pot))

    def _give_anew(self, grant: Grant, pot: _Pot) -> None:
        left = pot.left or ZERO
        carried = grant.rollover.carried(left) if grant.rollover is not None else ZERO
        self._count("expired", max(ZERO, subtract(left, carried)))
        self._count("granted", add((grant.amount, max(ZERO, subtract(carried, left)))))
        self._in_force[grant] = _Pot(add((grant.amount, carried)))

    def _begin(self, at: datetime) -> None:
        begun = False
        while self._coming and self._coming[-1].effective_at <= at:
            grant = self._coming.pop()
            if grant.in_force_at(at):
                begun = True
                self._in_force[grant] = _Pot(grant.amount)
                self._count("granted", grant.amount)
        if begun:
            self._in_force = {grant: self._in_force[grant] for grant in sorted(self._in_force, key=burn_order)}

    def _burn(self, amount: Decimal) -> None:
        taken = self._allowance.burn(amount)
        self._count("allowance_burned", taken)
        rest = subtract(amount, taken)
        for pot in self._in_force.values():
            if not rest:
                break
            taken = pot.burn(rest)
            self._count("burned", taken)
            rest = subtract(rest, taken)
        self._count("overage", rest)

    def _take_back(self, amount: Decimal) -> None:
        """First what nothing had room for in the usage period, then in the reverse order what sources in force have
        given since they were last given, and nothing beyond that."""
        taken = min(amount, self._in_period.overage)
        self._count("overage", -taken)
        rest = subtract(amount, taken)
        for pot in reversed(self._in_force.values()):
            taken = pot.give_back(rest)
            self._count("burned", -taken)
            rest = subtract(rest, taken)
        self._count("allowance_burned", -self._allowance.give_back(rest))

    def _count(self, what: str, amount: Decimal) -> None:
        for tally in (self._in_period, self._in_span):
            setattr(tally, what, add((getattr(tally, what), amount)))


def _part(grant: Grant, pot: _Pot) -> Part:
    assert pot.granted is not None
    return Part(grant, pot.granted, pot.burned, pot.expired, pot.voided)
