"""Alert rules, what they have raised, and which organizations are to be looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ..domain.alert_rule import Alert, AlertRule
from ..domain.delivery import Message
from ..domain.period import Period


@dataclass(frozen=True, slots=True)
class DueOrganization:
    """An organization that is to be looked at."""

    organization: str
    namespace: str
    told_until: datetime | None
    """Up to when the ends of usage periods and of grants were told; None before it was looked at first."""
    version: int
    """Grows whenever something makes it due: see `ScheduledLook`."""


@dataclass(frozen=True, slots=True)
class ScheduledLook:
    """When an organization is to be looked at next."""

    organization: str
    next_at: datetime | None
    """None: when something changes."""
    told_until: datetime
    version: int
    """Of the `DueOrganization`: when it has grown meanwhile, the organization stays due."""


@dataclass(frozen=True, slots=True)
class Raising:
    """What one look at an organization has found: written together, or not at all."""

    raised: Sequence[Alert] = ()
    resolved: Sequence[Alert] = ()
    messages: Sequence[Message] = ()
    """Told to the endpoints that take them now."""
    look: ScheduledLook | None = None
    virtual: int = 0
    """The organization's virtual shard."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.raised or self.resolved or self.messages or self.look)


@dataclass(frozen=True, slots=True)
class AlertSearch:
    """Which alerts to list, the newest first."""

    namespace: str
    organization: str | None = None
    resolved: bool | None = None
    before: tuple[datetime, str] | None = None
    """When the last one that is known was raised, and its id: those after it in the list."""
    limit: int = field(default=100)


class AlertLedger(Protocol):
    """Every method is one transaction. `virtuals` are the virtual shards of the process; None for all."""

    def put_alert_rule(self, rule: AlertRule) -> None:
        """Stores a rule in the place of the one of that id, and makes due the organizations that it is about."""
        ...

    def alert_rules(self, namespace: str) -> list[AlertRule]:
        """The namespace's rules, by id."""
        ...

    def delete_alert_rule(self, namespace: str, rule_id: str) -> None:
        """Forgets a rule; what it has raised stays. Raises `NotFound`."""
        ...

    def alerts(self, search: AlertSearch) -> list[Alert]:
        """Some alerts, the newest first."""
        ...

    def alerts_in(self, organization_id: str, period: Period) -> list[Alert]:
        """An organization's alerts of a usage period, resolved ones too."""
        ...

    def raise_alerts(self, *raisings: Raising) -> int:
        """Writes what looks have found, all of it or nothing, with a delivery of each message for each endpoint that
        takes it. What is there already stays, and is not told again. Answers how many alerts were raised, and messages
        told, that were not there."""
        ...

    def due_organizations(self, now: datetime, virtuals: Collection[int] | None, limit: int) -> list[DueOrganization]:
        """Some of those that are due, the longest first."""
        ...

    def make_all_due(self, virtuals: Collection[int] | None) -> None:
        """Makes every organization due."""
        ...

    def evaluated(self, shard: int) -> int | None:
        """The commit up to which everything that was stored in the shard was looked at; None before the first time."""
        ...

    def set_evaluated(self, shard: int, commit: int) -> None:
        """Remembers it."""
        ...
