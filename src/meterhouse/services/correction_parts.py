"""What a correction is made of: what somebody wants, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from ..domain.correction import Named
from ..domain.event import Event
from ..domain.period import Period
from .amendments import Amendment
from .named_events import EventName


@dataclass(frozen=True, slots=True)
class Draft:
    """A correction that somebody wants. With the `id` of one that was made already it changes nothing."""

    actor: str
    reason: str
    id: str | None = None
    void: Sequence[EventName] = ()
    amend: Sequence[Amendment] = ()
    add: Sequence[bytes] = ()
    """CloudEvents in JSON."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """What a correction did to one event."""

    type: str
    """VOID, RESTORE or ADD."""
    event: Event
    replaced_by: Named | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What became of an organization's usage in one period: of the meters that changed, used before and after."""

    organization: str
    period: Period
    meters: Mapping[str, tuple[Decimal | None, Decimal | None]]


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction, made or only looked at."""

    id: str
    namespace: str
    actor: str
    reason: str
    undoes: str | None
    at: datetime
    steps: Sequence[StepTaken]
    effects: Sequence[Effect] = field(default=())
    """By organization and period, as many as `MAX_EFFECTS`; of one that is looked up later none."""
