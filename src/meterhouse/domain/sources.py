"""What usage is burned from, and the instants at which that changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from .errors import Invalid
from .grant import Grant
from .period import FIRST_INSTANT, Period
from .plan import Subscription, usage_period
from .quantity import ZERO

MOST_SPANS = 10_000
"""That one answer is computed from."""
_MICROSECOND = timedelta(microseconds=1)
BEFORE_ALL = FIRST_INSTANT - _MICROSECOND
"""Before anything can begin."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What there is to be used of one meter."""

    subscription: Subscription | None
    """How usage periods run."""
    allowance: Decimal | None
    """What the plan allows in each of them; None: any amount."""
    grants: tuple[Grant, ...]
    """Add-ons among them."""

    def period_at(self, instant: datetime) -> Period:
        """The usage period of an instant. A single one, from the anchor on, has one without allowance before it."""
        period = usage_period(self.subscription, instant)
        return period if period.contains(instant) else Period(None, period.start)

    def allowance_in(self, period: Period) -> Decimal | None:
        """What the plan allows in that usage period."""
        return ZERO if self.subscription is not None and period.start is None else self.allowance


def balance_edges(sources: Sources, at: datetime) -> tuple[datetime | None, ...]:
    """What the balance at an instant is computed from: the edges of adjoining spans in which nothing changes, from the
    instant on before which nothing matters any more. The last span is the one that holds `at`, all of it.

    Raises `Invalid` for more than `MOST_SPANS`.
    """
    edges, following = _changes(sources, _start(sources, at), at, ())
    return (*edges, following)


def history_edges(sources: Sources, marks: Sequence[datetime]) -> tuple[datetime | None, ...]:
    """The same for the spans between `marks`, ascending instants, which are edges too; they end with the last one."""
    if len(marks) > MOST_SPANS:
        raise Invalid(f"window: that is more than {MOST_SPANS:,} windows; narrow from and to, or take longer ones")
    start = _start(sources, marks[0] - _MICROSECOND)  # what ends exactly at the first mark has to be known
    edges, _ = _changes(sources, start, marks[-1] - _MICROSECOND, marks)
    return tuple(edges)


def _start(sources: Sources, at: datetime) -> datetime | None:
    """The last instant, not after `at`, at which a usage period begins and from which on nothing depends on what was
    used before; None where there is none, as without a subscription."""
    grants = [grant for grant in sources.grants if grant.begins]
    start = sources.period_at(at).start
    for _ in range(MOST_SPANS):
        if start is None:
            return None
        carried = [back for grant in grants if (back := grant.carries_from(start)) is not None]
        if not carried:
            return start
        start = sources.period_at(min(carried)).start
    raise _too_many()


def _changes(
    sources: Sources, start: datetime | None, at: datetime, marks: Sequence[datetime]
) -> tuple[list[datetime | None], datetime | None]:
    """The start, the marks, and all instants up to `at` at which anything changes; and the first one after it."""
    edges, following = {*marks}, list[datetime]()
    if start is not None:
        edges.add(start)
    after = start or BEFORE_ALL
    for changes in (_period_ends(sources, after), *(grant.changes(after) for grant in sources.grants)):
        for instant in changes:
            if instant > at:
                following.append(instant)
                break
            edges.add(instant)
            if len(edges) > MOST_SPANS:
                raise _too_many()
    return [*([None] if start is None else []), *sorted(edges)], min(following, default=None)


def _period_ends(sources: Sources, after: datetime) -> Iterator[datetime]:
    end = sources.period_at(after).end
    while end is not None:
        yield end
        end = sources.period_at(end).end


def _too_many() -> Invalid:
    return Invalid(
        f"grants: between the beginning of the oldest grant that still matters and this moment they change more than "
        f"{MOST_SPANS:,} times; void the grants that were made for good, and grant what is left of them anew"
    )
