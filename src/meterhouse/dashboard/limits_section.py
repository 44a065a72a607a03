"""The part of an organization's page about limits that hold: how each is, and what is reserved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..domain.decision import LimitState
from ..domain.limit_rule import LimitMode
from ..domain.organization import Organization
from ..http.observability import Metrics
from ..services.enforcement import Enforcement

_MOST_RESERVATIONS = 100
_OUTCOMES = {LimitMode.HARD: "refused", LimitMode.SOFT: "exceeded", LimitMode.SHADOW: "shadow"}
"""What a decision is counted as that a limit of this mode had no room for."""


@dataclass(frozen=True, slots=True)
class LimitLine:
    """A limit, and how many decisions about its meter had no room for limits of this mode."""

    state: LimitState
    without_room: int


@dataclass(frozen=True, slots=True)
class LimitsSection:
    """For the operator: what is counted is of all organizations of the namespace."""

    enforcement: Enforcement
    metrics: Metrics

    def of(self, organization: Organization) -> dict[str, Any]:
        """What the template shows."""
        counted = self.metrics.decisions(organization.namespace)
        held = self.enforcement.open_reservations(organization)
        return {
            "lines": [
                LimitLine(state, counted.get((state.rule.meter, _OUTCOMES[state.rule.mode]), 0))
                for state in self.enforcement.limits(organization)
            ],
            "reservations": held[:_MOST_RESERVATIONS],
            "more": max(0, len(held) - _MOST_RESERVATIONS),
        }
