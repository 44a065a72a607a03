"""Telemetry as events: which spans and sums of OpenTelemetry count, and what of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

from .meter import Where

AttributeValue: TypeAlias = str | bool | int | Decimal
Attributes: TypeAlias = Mapping[str, AttributeValue]
"""Texts, numbers and truths by their names; lists and tables are none."""


class Signal(StrEnum):
    """What a rule is about."""

    SPAN = "span"
    SUM = "sum"
    """A data point of a sum: how much was added since the one before."""


@dataclass(frozen=True, slots=True)
class TelemetryRule:
    """Makes an event of each span, or data point, that has all of its texts and names an organization."""

    slug: str
    signal: Signal
    event_type: str
    organization: str
    """The attribute that names the organization."""
    data: tuple[tuple[str, str], ...]
    """Properties of the event, each with the attribute that it is read from; one without it is absent."""
    metric: str = ""
    """Of sums: the name of the metric."""
    value: str = ""
    """Of sums: the property that has the value of the data point."""
    where: Where = ()
    """Attributes, each with the texts of which one must be there."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A span, or a data point of a sum."""

    signal: Signal
    name: str
    """Of a sum, that of its metric."""
    attributes: Attributes
    """Its own, and those of its resource that it does not have itself."""
    identity: str
    """What it is the only one of: the same each time that it is sent."""
    source: str
    """The service that has sent it."""
    time: datetime
    value: str | None = None
    """The number of a data point; None of one that is not told as a difference."""


def event_of(rule: TelemetryRule, seen: Observation, organization: str | None) -> dict[str, Any] | None:
    """The CloudEvent that a rule makes; None where it does not apply. `organization` is given where it is known whose
    telemetry it is."""
    if rule.signal is not seen.signal or (rule.signal is Signal.SUM and rule.metric != seen.name):
        return None
    if any(_text(seen.attributes.get(name)) not in texts for name, texts in rule.where):
        return None
    subject = organization or _text(seen.attributes.get(rule.organization))
    if not subject:
        return None
    data = {name: seen.attributes[attribute] for name, attribute in rule.data if attribute in seen.attributes}
    if rule.value and seen.value is not None:
        data[rule.value] = seen.value
    return {
        "specversion": "1.0",
        "id": f"{seen.identity}-{rule.slug}",
        "source": seen.source,
        "type": rule.event_type,
        "subject": subject,
        "time": seen.time,
        "data": data,
    }


def _text(value: AttributeValue | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
