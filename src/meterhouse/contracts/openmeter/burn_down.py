"""What usage leaves of an entitlement's grants, as OpenMeter reckons: usage periods end with resets, at which grants
roll over; a grant that recurs is full again at each recurrence.

Between the instants at which anything changes all usage finds the same grants in the same order, so that its sum is all
that has to be known of it. Nothing is kept: what comes late is in the next answer as if it had always been known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise

from ...domain.errors import Invalid
from ...domain.period import LAST_INSTANT, Interval, period_at
from ...domain.quantity import ZERO, add, subtract

MOST_CHANGES = 20_000
"""Of one entitlement, up to now."""


@dataclass(frozen=True, slots=True)
class Allotment:
    """A grant of an entitlement."""

    id: str
    amount: Decimal
    priority: int
    """The lowest is used first."""
    effective_at: datetime
    created_at: datetime
    expires_at: datetime | None = None
    voided_at: datetime | None = None
    least_rollover: Decimal = ZERO
    most_rollover: Decimal = ZERO
    interval: Interval | None = None
    """How often it is full again, counted from `anchor`."""
    anchor: datetime | None = None

    @property
    def end(self) -> datetime:
        """When it is over; `LAST_INSTANT` for never."""
        return min(self.expires_at or LAST_INSTANT, self.voided_at or LAST_INSTANT)

    def recurs_at(self, instant: datetime) -> bool:
        """Whether it is full again at an instant."""
        if self.interval is None:
            return False
        return period_at(self.anchor or self.effective_at, self.interval, instant).start == instant

    def changes(self, start: datetime, end: datetime) -> list[datetime]:
        """The instants between two others at which it begins, recurs or ends."""
        found = [each for each in (self.effective_at, self.end) if start < each < end]
        if self.interval is not None:
            at = max(start, self.effective_at)
            while True:
                following = period_at(self.anchor or self.effective_at, self.interval, at).end
                assert following is not None
                if following >= min(end, self.end):
                    break
                at = following
                found.append(at)
                _bound(len(found))
        return found


@dataclass(frozen=True, slots=True)
class Reset:
    """The beginning of a usage period."""

    at: datetime
    keeps_overage: bool = False


@dataclass(slots=True)
class Standing:
    """How an entitlement stands at an instant."""

    usage: Decimal = ZERO
    """In the usage period so far."""
    overage: Decimal = ZERO
    """Of it, what no grant covered."""
    covered: Decimal = ZERO
    balances: dict[str, Decimal] = field(default_factory=dict)
    """What is left of each grant, by its id."""

    @property
    def balance(self) -> Decimal:
        """What is left in all."""
        return add(self.balances.values())

    @property
    def total_granted(self) -> Decimal:
        """What is left, and what was covered in the usage period."""
        return add((self.balance, self.covered))

    def copy(self) -> Standing:
        """The same, whatever becomes of this one."""
        return Standing(self.usage, self.overage, self.covered, dict(self.balances))


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time in which nothing changes but by usage."""

    start: datetime
    end: datetime
    used: Decimal
    before: Standing
    """After whatever changed at the start, before any usage."""
    after: Standing


def cuts(
    allotments: Sequence[Allotment],
    resets: Sequence[Reset],
    start: datetime,
    end: datetime,
    marks: Sequence[datetime] = (),
) -> list[datetime]:
    """The instants from a start to an end between which nothing changes but by usage; `marks` are others to stop at.
    Raises `Invalid` where they are too many."""
    changes = {change for each in allotments for change in each.changes(start, end)}
    changes |= {at for at in (*(reset.at for reset in resets), *marks) if start < at < end}
    _bound(len(changes))
    return sorted({start, end, *changes})


def burn_down(
    allotments: Sequence[Allotment], resets: Sequence[Reset], edges: Sequence[datetime], used: Sequence[Decimal]
) -> list[Stretch]:
    """What happened in each of the stretches between `cuts`, of which all usage is known."""
    at_resets = {reset.at: reset for reset in resets}
    order = sorted(allotments, key=lambda each: (each.priority, each.end, each.created_at, each.id))
    standing, burned = Standing(), dict[str, Decimal]()
    stretches = []
    for (start, end), amount in zip(pairwise(edges), used, strict=True):
        reset = at_resets.get(start)
        if reset is not None:
            standing = Standing(overage=standing.overage if reset.keeps_overage else ZERO, balances=standing.balances)
            burned = {}
        standing.balances = {
            each.id: _balance(each, standing.balances.get(each.id), start, rolls_over=reset is not None)
            for each in order
            if each.effective_at <= start < each.end
        }
        if reset is not None and standing.overage:
            _burn(standing, standing.overage, burned, owed=True)
        before = standing.copy()
        standing.usage = add((standing.usage, amount))
        if amount < 0:
            _give_back(standing, -amount, burned, [each.id for each in order])
        else:
            _burn(standing, amount, burned)
        stretches.append(Stretch(start, end, amount, before, standing.copy()))
    return stretches


def _balance(each: Allotment, left: Decimal | None, at: datetime, *, rolls_over: bool) -> Decimal:
    if left is None or each.recurs_at(at):
        return each.amount
    return min(each.most_rollover, max(left, each.least_rollover)) if rolls_over else left


def _burn(standing: Standing, amount: Decimal, burned: dict[str, Decimal], *, owed: bool = False) -> None:
    """Takes an amount from the grants in their order; what is `owed` is of an earlier usage period."""
    rest = amount
    for name, left in standing.balances.items():
        taken = min(rest, left)
        standing.balances[name] = subtract(left, taken)
        if not owed:
            burned[name] = add((burned.get(name, ZERO), taken))
        rest = subtract(rest, taken)
    if owed:
        standing.overage = rest
        return
    standing.covered = add((standing.covered, subtract(amount, rest)))
    standing.overage = add((standing.overage, rest))


def _give_back(standing: Standing, amount: Decimal, burned: dict[str, Decimal], order: Sequence[str]) -> None:
    """What was taken back of usage: first of what no grant covered, then in the reverse order, and nothing beyond."""
    returned = min(amount, standing.overage)
    standing.overage = subtract(standing.overage, returned)
    rest = subtract(amount, returned)
    for name in reversed(order):
        if name not in standing.balances:
            continue
        returned = min(rest, burned.get(name, ZERO))
        burned[name] = subtract(burned.get(name, ZERO), returned)
        standing.balances[name] = add((standing.balances[name], returned))
        standing.covered = subtract(standing.covered, returned)
        rest = subtract(rest, returned)


def _bound(count: int) -> None:
    if count > MOST_CHANGES:
        raise Invalid(f"an entitlement changes more than {MOST_CHANGES:,} times: reset it, or make it anew")
