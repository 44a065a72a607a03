"""Granting organizations amounts of meters and pools, and voiding what was granted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from ..domain.errors import AlreadyExists, Invalid, NotFound
from ..domain.grant import Grant, Recurrence, Rollover, addon_grants, check_grant
from ..domain.organization import Organization
from ..domain.period import Interval
from ..domain.quantity import ZERO
from ..domain.shards import Seat
from ..domain.sources import MOST_SPANS, Sources, balance_edges
from .accounts import Accounts

DEFAULT_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class GrantDraft:
    """A grant that is asked for."""

    meter: str
    amount: Decimal
    id: str | None = None
    """None: one is made up."""
    priority: int = DEFAULT_PRIORITY
    effective_at: datetime | None = None
    """None: when it is made."""
    expires_at: datetime | None = None
    interval: Interval | None = None
    """How often it is given anew."""
    anchor: datetime | None = None
    """What the intervals are counted from; None: `effective_at`."""
    rollover: Rollover | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """The use cases around grants. An organization's are made where it lives."""

    accounts: Accounts
    seat: Seat
    random_id: Callable[[], str]

    def of(self, organization_id: str) -> tuple[Grant, ...]:
        """All grants of an organization, the oldest first. Raises `NotFound` and `Elsewhere`."""
        return self.accounts.ledger.grants(self._organization(organization_id).id)

    def grant(self, organization_id: str, draft: GrantDraft) -> tuple[Grant, bool]:
        """Makes a grant, or finds the one that was made of the same id and content; and whether it was made now.

        Raises `NotFound` for the organization, the meter or the pool, `Invalid` for a grant that means nothing,
        `AlreadyExists` when the organization has another one of that id, and `Elsewhere`.
        """
        organization = self._organization(organization_id)
        self.accounts.catalogs.rates(organization.namespace, draft.meter)
        made = self._made(organization, draft)
        if made is not None:
            return made, False
        grant = _granted(
            organization, draft, self.random_id() if draft.id is None else draft.id, self.accounts.clock.now()
        )
        self._check_spans(organization, grant)
        try:
            self.accounts.ledger.add_grant(grant)
        except AlreadyExists:
            made = self._made(organization, draft)  # by another request, at the same time
            if made is None:
                raise
            return made, False
        return grant, True

    def void(self, organization_id: str, grant_id: str) -> Grant:
        """Lets a grant end now: what was burned of it stays burned. One that is voided already stays as it is. Raises
        `NotFound` and `Elsewhere`."""
        organization = self._organization(organization_id)
        if self._find(organization, grant_id).voided_at is None:
            with suppress(NotFound):  # another request has voided it at the same time
                self.accounts.ledger.void_grant(organization.id, grant_id, self.accounts.clock.now())
        return self._find(organization, grant_id)

    def _organization(self, organization_id: str) -> Organization:
        organization = self.accounts.organization(organization_id)
        self.seat.check(organization.namespace, organization.id)
        return organization

    def _find(self, organization: Organization, grant_id: str) -> Grant:
        for grant in self.accounts.ledger.grants(organization.id):
            if grant.id == grant_id:
                return grant
        raise NotFound(f"organization {organization.id!r} has no grant {grant_id[:128]!r}: check the id in its list")

    def _made(self, organization: Organization, draft: GrantDraft) -> Grant | None:
        """The grant that the draft asks for again. Raises `AlreadyExists` when it is another one of that id."""
        made = [grant for grant in self.accounts.ledger.grants(organization.id) if grant.id == draft.id]
        if not made:
            return None
        [grant] = made
        asked = replace(draft, effective_at=draft.effective_at or grant.effective_at)
        again = _granted(organization, asked, grant.id, grant.created_at)
        if replace(again, voided_at=grant.voided_at) != grant:
            raise AlreadyExists(f"organization {organization.id!r} has another grant {grant.id!r}: choose another id")
        return grant

    def _check_spans(self, organization: Organization, grant: Grant) -> None:
        """Raises `Invalid` where the balance would soon be computed from more spans than it may be."""
        subscription = self.accounts.ledger.subscription(organization.id)
        others = [each for each in self.accounts.ledger.grants(organization.id) if each.meter == grant.meter]
        addons = addon_grants(subscription, organization.id, grant.meter)
        edges = balance_edges(Sources(subscription, ZERO, (*others, *addons, grant)), grant.created_at)
        if len(edges) > MOST_SPANS // 2:
            raise Invalid(
                f"{grant.meter}: with this grant the balance would change {len(edges):,} times between the first grant "
                f"that still matters and now; {MOST_SPANS // 2:,} are allowed when a grant is made. Let it begin "
                "later, or void the grants that were made for good, and grant what is left of them anew"
            )


def _granted(organization: Organization, draft: GrantDraft, grant_id: str, now: datetime) -> Grant:
    """The grant that a draft is of. Raises `Invalid`."""
    effective_at = draft.effective_at or now
    if draft.interval is None and draft.anchor is not None:
        raise Invalid("recurrence: needs an interval, like P1M")
    grant = Grant(
        id=grant_id,
        organization=organization.id,
        meter=draft.meter,
        amount=draft.amount,
        priority=draft.priority,
        effective_at=effective_at,
        created_at=now,
        expires_at=draft.expires_at,
        recurrence=Recurrence(draft.interval, draft.anchor or effective_at) if draft.interval is not None else None,
        rollover=draft.rollover,
        reason=draft.reason,
    )
    check_grant(grant)
    return grant
