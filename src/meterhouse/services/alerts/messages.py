"""What is told, as messages: the JSON that webhooks are sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ...domain.alert_rule import Alert, AlertRule, Basis
from ...domain.correction import step_of
from ...domain.delivery import Message
from ...domain.grant import Grant
from ...domain.listing import StoredEvent
from ...domain.period import Period, format_instant
from ...domain.quantity import MAX_DECIMAL_PLACES, Plain, json_number, percentage, plain, round_half_even
from ...domain.summary import UsageSummary
from ...domain.webhook import EventType, digest

_PERCENT_PLACES = 4
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=json_number).encode


class Messages:
    """Makes the messages of one organization at one moment. The same occasion makes a message of the same id, so that
    it is told once, whoever makes it."""

    def __init__(self, namespace: str, organization: str, now: datetime):
        self._namespace = namespace
        self._organization = organization
        self._now = now

    def alert(self, alert: Alert, rule: AlertRule) -> Message:
        """An alert that was raised, or has been resolved."""
        state = "raised" if alert.resolved_at is None else "resolved"
        data = {
            "alert": alert.id,
            "state": state,
            "rule": alert.rule,
            "meter": alert.meter,
            "basis": str(alert.basis),
            "threshold": _exact(alert.threshold),
            "value": _exact(alert.value),
            "limit": _exact(alert.usage_limit),
            "percent": _percent(alert),
            "period": _period(alert.period),
            "raised_at": format_instant(alert.raised_at),
            "resolved_at": _instant(alert.resolved_at),
        }
        return self._message(rule.event_type, data, alert.id, state)

    def period_closed(self, summary: UsageSummary) -> Message:
        """A usage period that has ended, with its summary."""
        subscription = summary.subscription
        assert summary.period.end is not None  # it has ended
        data = {
            "period": _period(summary.period),
            "plan": subscription.plan if subscription is not None else None,
            "meters": {
                each.meter.slug: {
                    "unit": each.meter.unit,
                    "used": _exact(each.used),
                    "limit": _exact(each.limit),
                    "remaining": _exact(each.remaining),
                    "overage": _exact(each.overage),
                }
                for each in summary.meters
            },
        }
        return self._message(EventType.PERIOD_CLOSED, data, format_instant(summary.period.end))

    def grant_expiring(self, grant: Grant, left: Decimal) -> Message:
        """A grant that ends soon, and what would be lost of it."""
        assert grant.expires_at is not None  # it expires
        data = {
            "grant": grant.id,
            "meter": grant.meter,
            "amount": _exact(grant.amount),
            "left": _exact(left),
            "expires_at": format_instant(grant.expires_at),
        }
        return self._message(EventType.GRANT_EXPIRING, data, grant.id, format_instant(grant.created_at))

    def corrections(self, steps: Iterable[StoredEvent]) -> list[Message]:
        """The corrections that these steps are of."""
        first: dict[str, StoredEvent] = {}
        counts: dict[str, int] = {}
        for each in steps:
            correction = step_of(each.event).correction
            first.setdefault(correction, each)
            counts[correction] = counts.get(correction, 0) + 1
        return [self._correction(each, counts[correction]) for correction, each in first.items()]

    def _correction(self, first: StoredEvent, count: int) -> Message:
        step = step_of(first.event)
        data = {
            "correction": step.correction,
            "actor": step.actor,
            "reason": step.reason,
            "undoes": step.undoes,
            "steps": count,
            "at": format_instant(first.stored_at),
        }
        return self._message(EventType.CORRECTION_MADE, data, step.correction)

    def test(self, random_id: str) -> Message:
        """What shows that an endpoint can be reached."""
        data = {"text": "a test, which somebody asked for"}
        return self._message(EventType.TEST, data, random_id)

    def _message(self, kind: EventType, data: Mapping[str, Any], *occasion: str) -> Message:
        about = {"namespace": self._namespace, "organization": self._organization or None}
        payload = {"type": str(kind), "timestamp": format_instant(self._now), "data": {**about, **data}}
        message_id = f"msg_{digest(self._namespace, self._organization, kind, *occasion)}"
        return Message(message_id, self._namespace, self._organization, kind, self._now, _encode(payload).decode())


def _exact(value: Decimal | None) -> Plain | None:
    return None if value is None else plain(round_half_even(value, MAX_DECIMAL_PLACES))


def _percent(alert: Alert) -> Plain | None:
    """Of the limit; None where there is none, or it is 0."""
    if alert.basis is Basis.BALANCE or not alert.usage_limit:
        return None
    return plain(round_half_even(percentage(alert.value, alert.usage_limit), _PERCENT_PLACES))


def _period(period: Period) -> dict[str, str | None]:
    return {"start": _instant(period.start), "end": _instant(period.end)}


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
