"""Grants: amounts of a meter beside what the plan allows, each with a priority and a time in which it can be used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from .errors import Invalid
from .organization import check_name
from .period import FIRST_INSTANT, Interval, format_instant, period_at
from .plan import Subscription, usage_period

MOST_PRIORITY = 255
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A grant is given anew whenever a period of `interval` ends. Periods are counted from `anchor`, in both
    directions, as usage periods are."""

    interval: Interval
    anchor: datetime

    def start_of(self, instant: datetime) -> datetime:
        """When the period began that contains the instant."""
        start = period_at(self.anchor, self.interval, instant).start
        assert start is not None  # a period of an interval has both sides
        return start

    def next_after(self, instant: datetime) -> datetime:
        """The first instant after that one at which a period begins."""
        end = period_at(self.anchor, self.interval, instant).end
        assert end is not None
        return end


@dataclass(frozen=True, slots=True)
class Rollover:
    """How much of what is left at a recurrence is carried over: all of it, but no less and no more than this."""

    least: Decimal
    most: Decimal

    def carried(self, left: Decimal) -> Decimal:
        """What is carried over when so much is left."""
        return min(self.most, max(self.least, left))


@dataclass(frozen=True, slots=True)
class Grant:
    """An amount of a meter that an organization may use from one instant to another. It changes in one way only: it can
    be voided, from an instant on."""

    id: str
    organization: str
    meter: str
    """The slug of a meter, or of a pool."""
    amount: Decimal
    priority: int
    """0 to 255: the lowest is used first."""
    effective_at: datetime
    created_at: datetime
    expires_at: datetime | None = None
    recurrence: Recurrence | None = None
    rollover: Rollover | None = None
    """None: nothing is carried over."""
    voided_at: datetime | None = None
    reason: str | None = None

    @property
    def ends_at(self) -> datetime | None:
        """From when on it cannot be used any more; None: it does not end."""
        return min((end for end in (self.expires_at, self.voided_at) if end is not None), default=None)

    @property
    def is_voided(self) -> bool:
        """Whether it ends because it was voided, and not because it expires."""
        return self.voided_at is not None and self.ends_at != self.expires_at

    @property
    def begins(self) -> bool:
        """Whether it is in force at any instant at all: it was not voided before."""
        return self.ends_at is None or self.effective_at < self.ends_at

    def in_force_at(self, instant: datetime) -> bool:
        """Whether it can be used at that instant."""
        return self.effective_at <= instant and (self.ends_at is None or instant < self.ends_at)

    def changes(self, after: datetime) -> Iterator[datetime]:
        """The instants after that one at which it begins, is given anew, or ends, in order. They need not end."""
        if not self.begins:
            return
        if self.effective_at > after:
            yield self.effective_at
        if self.recurrence is not None:
            at = self.recurrence.next_after(max(after, self.effective_at))
            while self.ends_at is None or at < self.ends_at:
                yield at
                at = self.recurrence.next_after(at)
        if self.ends_at is not None and self.ends_at > after:
            yield self.ends_at

    def carries_from(self, instant: datetime) -> datetime | None:
        """How far back one has to look to know what is left of it at an instant, from usage; None where there is no
        need to: it is not in force just before and at the instant, or is given anew then and carries nothing over."""
        if not self.in_force_at(instant) or self.effective_at == instant:
            return None
        if self.recurrence is None or self.rollover is not None:
            return self.effective_at
        begun = self.recurrence.start_of(instant)
        return None if begun == instant else max(begun, self.effective_at)

    def known_at(self, instant: datetime) -> Grant | None:
        """What was known of it at an instant: None before it was made, and not voided before it was."""
        if self.created_at > instant:
            return None
        return replace(self, voided_at=None) if self.voided_at is not None and self.voided_at > instant else self


def burn_order(grant: Grant) -> tuple[int, bool, datetime, datetime, str]:
    """Sorts grants into the order in which they are used: by priority, then the one that expires first, then the
    oldest; among equals by id."""
    never = grant.expires_at is None
    return grant.priority, never, grant.expires_at or grant.created_at, grant.created_at, grant.id


def known_grants(grants: Iterable[Grant], instant: datetime) -> tuple[Grant, ...]:
    """What was known of some grants at an instant."""
    return tuple(known for grant in grants if (known := grant.known_at(instant)) is not None)


def check_grant(grant: Grant) -> None:
    """Raises `Invalid` for a grant that means nothing; its amounts are quantities already."""
    if _ID.fullmatch(grant.id) is None:
        raise Invalid(
            f"id: {grant.id[:60]!r} is not allowed: 1 to 128 letters, digits and . _ @ - that begin with a letter or "
            "digit"
        )
    if grant.amount <= 0:
        raise Invalid("amount: must be more than 0")
    if not 0 <= grant.priority <= MOST_PRIORITY:
        raise Invalid(f"priority: must be a whole number from 0 to {MOST_PRIORITY}; the lowest is used first")
    if grant.expires_at is not None and grant.expires_at <= grant.effective_at:
        raise Invalid(
            f"expires_at: {format_instant(grant.expires_at)} is not after effective_at, "
            f"{format_instant(grant.effective_at)}"
        )
    if grant.reason is not None:
        check_name(grant.reason, "reason")
    if grant.rollover is not None:
        _check_rollover(grant, grant.rollover)


def _check_rollover(grant: Grant, rollover: Rollover) -> None:
    if grant.recurrence is None:
        raise Invalid("rollover: is about what is left at a recurrence; give a recurrence, or leave it out")
    if rollover.least < 0 or rollover.least > rollover.most:
        raise Invalid("rollover: min must not be negative, and not more than max")
    if rollover.most > grant.amount:
        raise Invalid("rollover: max must not be more than the amount of the grant")


def addon_grants(subscription: Subscription | None, organization: str, meter: str) -> list[Grant]:
    """The add-ons of a subscription as the grants that they are: of priority 0, and in force in whole usage periods."""
    if subscription is None or (addon := subscription.addons.get(meter)) is None:
        return []
    found = []
    if addon.recurring:
        interval = subscription.interval
        found.append(
            Grant(
                id="addon:recurring",
                organization=organization,
                meter=meter,
                amount=addon.recurring,
                priority=0,
                effective_at=FIRST_INSTANT if interval is not None else subscription.anchor,
                created_at=subscription.anchor,
                recurrence=Recurrence(interval, subscription.anchor) if interval is not None else None,
            )
        )
    if addon.one_time and addon.granted_at is not None:
        period = usage_period(subscription, addon.granted_at)
        if period.contains(addon.granted_at):
            found.append(
                Grant(
                    id="addon:one_time",
                    organization=organization,
                    meter=meter,
                    amount=addon.one_time,
                    priority=0,
                    effective_at=period.start or FIRST_INSTANT,
                    created_at=addon.granted_at,
                    expires_at=period.end,
                )
            )
    return found
