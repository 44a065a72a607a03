"""Events that were lost, and that the operator has accepted as lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec


class Loss(msgspec.Struct, frozen=True):
    """What a repair could not put right."""

    at: datetime
    """When the operator went on without it: what was stored before may lack events, whatever was stored later does
    not."""
    events: int | None
    """How many; None where nobody can tell."""
    about: str
    """What is known of them, for the operator: it may name organizations."""


def lost_before(losses: Sequence[Loss]) -> datetime | None:
    """The instant before which events may have been stored that are lost, from the losses in their order; None without
    any."""
    return losses[-1].at if losses else None
