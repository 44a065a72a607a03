"""Why something was not granted."""

from __future__ import annotations

from ...domain.decision import LimitState
from ...domain.errors import MeterhouseError
from ...domain.quantity import plain


class QuotaExceeded(MeterhouseError):
    """A hard limit has no room for it."""

    code = "quota_exceeded"

    def __init__(self, refused_by: LimitState):
        super().__init__(explained(refused_by))
        self.refused_by = refused_by


class ReservationClosed(MeterhouseError):
    """The reservation has ended: it was committed, released, or has expired."""

    code = "reservation_closed"


class ReservationMismatch(MeterhouseError):
    """The event is not what was reserved."""

    code = "reservation_mismatch"


def explained(state: LimitState) -> str:
    """A sentence about a limit that has no room."""
    rule = state.rule
    whose = f"{rule.per} {state.text[:60]!r}" if rule.per is not None else "the organization"
    return (
        f"{rule.meter}: the limit of {whose} is {plain(state.limit)} in a {rule.window}, {plain(state.used)} are used "
        f"and {plain(state.held)} reserved"
    )
