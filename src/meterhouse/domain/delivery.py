"""Deliveries of messages to webhook endpoints: when they are tried again, and when no more."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .webhook import EventType, WebhookEndpoint

FIRST_RETRY = timedelta(seconds=5)
"""After the first attempt; each later wait is `_GROWTH` times as long, up to `LONGEST_RETRY`."""
LONGEST_RETRY = timedelta(hours=8)
GIVEN_UP_AFTER = timedelta(days=3)
"""From the first attempt to the last."""
SWITCHED_OFF_AFTER = timedelta(days=5)
_GROWTH = 3
_GONE = 410
_PARTS = 1000


class DeliveryStatus(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is told, in the same bytes to every endpoint and on every attempt."""

    id: str
    namespace: str
    organization: str
    """Empty where it is about none."""
    type: EventType
    created_at: datetime
    payload: str


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One message on its way to one endpoint."""

    id: int
    """Grows. An organization's deliveries to an endpoint are made in this order."""
    message: str
    namespace: str
    endpoint: str
    organization: str
    virtual: int
    """The virtual shard of the organization: who has it delivers."""
    type: EventType
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    first_attempt_at: datetime | None = None
    attempted_at: datetime | None = None
    """The last attempt."""

    def after(self, outcome: AttemptOutcome, now: datetime, jitter: int) -> WebhookDelivery:
        """The same after an attempt that ended now. `jitter` is any of 0 to 999: waits are a fifth longer or shorter,
        so that what has failed together is not tried again together."""
        first = self.first_attempt_at or now
        tried = replace(self, attempts=self.attempts + 1, first_attempt_at=first, attempted_at=now)
        if outcome.succeeded:
            return replace(tried, status=DeliveryStatus.DELIVERED)
        last = first + GIVEN_UP_AFTER
        if now >= last:
            return replace(tried, status=DeliveryStatus.FAILED)
        return replace(tried, next_attempt_at=min(now + _wait(tried.attempts, jitter), last))


@dataclass(frozen=True, slots=True)
class AttemptOutcome:
    """How an attempt ended."""

    status: int | None
    """What the receiver answered; None where it did not."""
    error: str | None
    """Why it counts as failed; None where it does not."""
    answer: str
    """The beginning of the answer's body."""
    milliseconds: int

    @property
    def succeeded(self) -> bool:
        """Whether the receiver has the message."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """An attempt that was made."""

    delivery: int
    number: int
    at: datetime
    status: int | None
    error: str | None
    answer: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose turn it is, with all that sending it takes."""

    delivery: WebhookDelivery
    endpoint: WebhookEndpoint
    payload: str


def endpoint_after(endpoint: WebhookEndpoint, outcome: AttemptOutcome, now: datetime) -> WebhookEndpoint:
    """An endpoint after an attempt that ended now: switched off when none has succeeded for five days, or when it
    answered 410 Gone, which asks for that."""
    if outcome.succeeded:
        return replace(endpoint, failing_since=None)
    since = now if endpoint.failing_since is None else min(endpoint.failing_since, now)
    failing = replace(endpoint, failing_since=since)
    if outcome.status == _GONE:
        return replace(failing, enabled=False, switched_off="it answered 410 Gone")
    if now - since >= SWITCHED_OFF_AFTER:
        return replace(failing, enabled=False, switched_off="every attempt has failed for five days")
    return failing


def _wait(attempts: int, jitter: int) -> timedelta:
    """How long to wait after so many attempts."""
    wait = FIRST_RETRY
    for _ in range(attempts - 1):
        wait = min(wait * _GROWTH, LONGEST_RETRY)
        if wait == LONGEST_RETRY:
            break
    return wait * (4 * _PARTS + 2 * jitter) // (5 * _PARTS)
