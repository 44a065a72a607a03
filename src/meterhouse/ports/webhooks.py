"""Webhook endpoints, and the outbox of what is to be delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..domain.delivery import (
    AttemptOutcome,
    DeliveryAttempt,
    DeliveryStatus,
    DueDelivery,
    Message,
    WebhookDelivery,
)
from ..domain.webhook import WebhookEndpoint


@dataclass(frozen=True, slots=True)
class DeliverySearch:
    """Which deliveries to list, the newest first."""

    namespace: str
    endpoint: str
    organization: str | None = None
    status: DeliveryStatus | None = None
    before: int | None = None
    """The id of the last one that is known: those before it."""
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Outbox:
    """What waits to be delivered."""

    pending: int
    oldest: datetime | None
    """When the oldest of it was told."""


class WebhookLedger(Protocol):
    """Every method is one transaction. `virtuals` are the virtual shards of the process; None for all."""

    def change_endpoint(
        self, namespace: str, change: Callable[[Sequence[WebhookEndpoint]], WebhookEndpoint]
    ) -> WebhookEndpoint:
        """Stores the endpoint that `change` makes of those of the namespace, in the place of the one of its id; nothing
        where it raises. Others that are changed at the same time wait."""
        ...

    def endpoints(self, namespace: str) -> list[WebhookEndpoint]:
        """The namespace's endpoints, by id."""
        ...

    def delete_endpoint(self, namespace: str, endpoint_id: str) -> None:
        """Forgets an endpoint and its deliveries. Raises `NotFound`."""
        ...

    def add_delivery(self, message: Message, endpoint_id: str, virtual: int) -> WebhookDelivery:
        """Puts a message, which may be known, into the outbox for one endpoint."""
        ...

    def delivery(self, namespace: str, delivery_id: int) -> tuple[WebhookDelivery, Message] | None:
        """A delivery of a namespace, and what it delivers."""
        ...

    def deliveries(self, search: DeliverySearch) -> list[WebhookDelivery]:
        """Some deliveries, the newest first."""
        ...

    def attempts(self, deliveries: Collection[int]) -> Mapping[int, list[DeliveryAttempt]]:
        """The attempts of some deliveries, in their order."""
        ...

    def due_deliveries(self, now: datetime, virtuals: Collection[int] | None, each: int) -> list[DueDelivery]:
        """Those whose turn it is: of each organization's the first that is pending, if it is due, to endpoints that are
        enabled; at most `each` of an endpoint. One that was tried later than now is due: the clock was set back."""
        ...

    def record_attempt(
        self, delivery: WebhookDelivery, outcome: AttemptOutcome, now: datetime, jitter: int
    ) -> WebhookEndpoint | None:
        """Writes down how an attempt has ended, and what follows for the delivery and for the endpoint, which is
        answered; None when it is gone meanwhile."""
        ...

    def outbox(self, virtuals: Collection[int] | None) -> Outbox:
        """What waits, for endpoints that are enabled."""
        ...

    def forget_deliveries(self, settled_until: datetime, limit: int) -> int:
        """Forgets some of the deliveries that were made or given up, and are older; answers how many."""
        ...
