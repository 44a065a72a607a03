"""Webhook endpoints, and the outbox."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from ...domain.delivery import (
    AttemptOutcome,
    DeliveryAttempt,
    DeliveryStatus,
    DueDelivery,
    Message,
    WebhookDelivery,
    endpoint_after,
)
from ...domain.errors import NotFound
from ...domain.webhook import WebhookEndpoint
from ...ports.webhooks import DeliverySearch, Outbox
from .database import Database, query_of, values_of
from .schedule import own_virtuals
from .tables import deliveries, delivery_attempts, messages, webhook_endpoints

_ENDPOINTS = query_of(webhook_endpoints, WebhookEndpoint)
_DELIVERIES = query_of(deliveries, WebhookDelivery)
_ATTEMPTS = query_of(delivery_attempts, DeliveryAttempt)
_PENDING = deliveries.c.status == DeliveryStatus.PENDING
_OF_ENABLED = and_(
    webhook_endpoints.c.namespace == deliveries.c.namespace,
    webhook_endpoints.c.id == deliveries.c.endpoint,
    type_coerce(webhook_endpoints.c.enabled, Integer) == 1,
)


class SqlWebhooks(Database):
    """See `ports.WebhookLedger`."""

    def change_endpoint(
        self, namespace: str, change: Callable[[Sequence[WebhookEndpoint]], WebhookEndpoint]
    ) -> WebhookEndpoint:
        """See `WebhookLedger.change_endpoint`."""
        with self._changing() as connection:
            endpoint = change(self._endpoints_in(connection, namespace, lock=True))
            values = values_of(endpoint)
            new = self._insert(webhook_endpoints).values(values)
            connection.execute(new.on_conflict_do_update(index_elements=["namespace", "id"], set_=values))
            self._record(connection, namespace=namespace, endpoint=endpoint.id)
        return endpoint

    def endpoints(self, namespace: str) -> list[WebhookEndpoint]:
        """See `WebhookLedger.endpoints`."""
        with self._engine.connect() as connection:
            return self._endpoints_in(connection, namespace)

    @staticmethod
    def _endpoints_in(connection: Connection, namespace: str, *, lock: bool = False) -> list[WebhookEndpoint]:
        query = _ENDPOINTS.where(webhook_endpoints.c.namespace == namespace)
        query = query.with_for_update() if lock else query
        found = [WebhookEndpoint(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda endpoint: endpoint.id)

    def delete_endpoint(self, namespace: str, endpoint_id: str) -> None:
        """See `WebhookLedger.delete_endpoint`."""
        of_endpoint = deliveries.c.namespace == namespace, deliveries.c.endpoint == endpoint_id
        own = select(deliveries.c.id).where(*of_endpoint)
        gone = webhook_endpoints.c.namespace == namespace, webhook_endpoints.c.id == endpoint_id
        with self._engine.begin() as connection:
            if deleted := connection.execute(delete(webhook_endpoints).where(*gone)).rowcount:
                self._record(connection, namespace=namespace, endpoint=endpoint_id)
            connection.execute(delete(delivery_attempts).where(delivery_attempts.c.delivery.in_(own)))
            connection.execute(delete(deliveries).where(*of_endpoint))
        if not deleted:
            raise NotFound(
                f"namespace {namespace!r} has no webhook endpoint {endpoint_id[:64]!r}: check the id in its list"
            )

    def add_delivery(self, message: Message, endpoint_id: str, virtual: int) -> WebhookDelivery:
        """See `WebhookLedger.add_delivery`."""
        with self._engine.begin() as connection:
            self._add(connection, messages, values_of(message))
            number = self._add_delivery(connection, message, endpoint_id, virtual)
            [row] = connection.execute(_DELIVERIES.where(deliveries.c.id == number)).mappings()
            return WebhookDelivery(**row)

    @staticmethod
    def _add_delivery(connection: Connection, message: Message, endpoint_id: str, virtual: int) -> int:
        row = {
            "message": message.id,
            "namespace": message.namespace,
            "endpoint": endpoint_id,
            "organization": message.organization,
            "virtual": virtual,
            "type": message.type,
            "status": DeliveryStatus.PENDING,
            "attempts": 0,
            "created_at": message.created_at,
            "next_attempt_at": message.created_at,
        }
        number: int = connection.execute(insert(deliveries).values(row).returning(deliveries.c.id)).scalar_one()
        return number

    def delivery(self, namespace: str, delivery_id: int) -> tuple[WebhookDelivery, Message] | None:
        """See `WebhookLedger.delivery`."""
        query = _DELIVERIES.where(deliveries.c.id == delivery_id, deliveries.c.namespace == namespace)
        if (found := self._read_one(WebhookDelivery, query)) is None:
            return None
        [message] = self._read(Message, query_of(messages, Message).where(messages.c.id == found.message))
        return found, message

    def deliveries(self, search: DeliverySearch) -> list[WebhookDelivery]:
        """See `WebhookLedger.deliveries`."""
        conditions: list[ColumnElement[bool]] = [
            deliveries.c.namespace == search.namespace,
            deliveries.c.endpoint == search.endpoint,
        ]
        if search.organization is not None:
            conditions.append(deliveries.c.organization == search.organization)
        if search.status is not None:
            conditions.append(deliveries.c.status == search.status)
        if search.before is not None:
            conditions.append(deliveries.c.id < search.before)
        page = _DELIVERIES.where(*conditions).order_by(deliveries.c.id.desc()).limit(search.limit)
        return self._read(WebhookDelivery, page)

    def attempts(self, deliveries: Collection[int]) -> Mapping[int, list[DeliveryAttempt]]:
        """See `WebhookLedger.attempts`."""
        found: dict[int, list[DeliveryAttempt]] = {each: [] for each in deliveries}
        query = _ATTEMPTS.where(delivery_attempts.c.delivery.in_(deliveries)).order_by(delivery_attempts.c.number)
        for attempt in self._read(DeliveryAttempt, query):
            found[attempt.delivery].append(attempt)
        return found

    def due_deliveries(self, now: datetime, virtuals: Collection[int] | None, each: int) -> list[DueDelivery]:
        """See `WebhookLedger.due_deliveries`."""
        to = deliveries.c.namespace, deliveries.c.endpoint
        first = func.min(deliveries.c.id).label("first")
        turns = select(first).where(_PENDING, *own_virtuals(deliveries, virtuals))
        turns = turns.group_by(*to, deliveries.c.organization)
        place = func.row_number().over(partition_by=to, order_by=(deliveries.c.next_attempt_at, deliveries.c.id))
        due = (
            select(deliveries.c.id, place.label("place"))
            .join(webhook_endpoints, _OF_ENABLED)
            .where(
                deliveries.c.id.in_(turns),
                or_(deliveries.c.next_attempt_at <= now, deliveries.c.attempted_at > now),
            )
            .subquery()
        )
        query = (
            select(*(deliveries.c[field.name] for field in fields(WebhookDelivery)), messages.c.payload)
            .join(messages, messages.c.id == deliveries.c.message)
            .where(deliveries.c.id.in_(select(due.c.id).where(due.c.place <= each)))
            .order_by(deliveries.c.id)
        )
        endpoints: dict[tuple[str, str], WebhookEndpoint] = {}
        found: list[DueDelivery] = []
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings().all():
                values = dict(row)
                payload = values.pop("payload")
                delivery = WebhookDelivery(**values)
                key = delivery.namespace, delivery.endpoint
                if key not in endpoints:
                    endpoints |= {(one.namespace, one.id): one for one in self._endpoints_in(connection, key[0])}
                if key in endpoints:  # else it was deleted a moment ago
                    found.append(DueDelivery(delivery, endpoints[key], payload))
        return found

    def record_attempt(
        self, delivery: WebhookDelivery, outcome: AttemptOutcome, now: datetime, jitter: int
    ) -> WebhookEndpoint | None:
        """See `WebhookLedger.record_attempt`."""
        after = delivery.after(outcome, now, jitter)
        changed = ("status", "attempts", "next_attempt_at", "first_attempt_at", "attempted_at")
        to = webhook_endpoints.c.namespace == delivery.namespace, webhook_endpoints.c.id == delivery.endpoint
        with self._changing() as connection:
            row = connection.execute(_ENDPOINTS.where(*to).with_for_update()).mappings().one_or_none()
            settled = update(deliveries).where(deliveries.c.id == delivery.id)
            values = {name: getattr(after, name) for name in changed}
            if row is None or not connection.execute(settled.values(values)).rowcount:
                return None
            attempt = DeliveryAttempt(
                delivery.id, after.attempts, now, outcome.status, outcome.error, outcome.answer, outcome.milliseconds
            )
            connection.execute(insert(delivery_attempts).values(values_of(attempt)))
            before = WebhookEndpoint(**row)
            endpoint = endpoint_after(before, outcome, now)
            if endpoint != before:
                values = {name: getattr(endpoint, name) for name in ("failing_since", "enabled", "switched_off")}
                connection.execute(update(webhook_endpoints).where(*to).values(values))
            return endpoint

    def outbox(self, virtuals: Collection[int] | None) -> Outbox:
        """See `WebhookLedger.outbox`."""
        counted = select(func.count(), func.min(deliveries.c.created_at)).select_from(deliveries)
        counted = counted.join(webhook_endpoints, _OF_ENABLED).where(_PENDING, *own_virtuals(deliveries, virtuals))
        with self._engine.connect() as connection:
            pending, oldest = connection.execute(counted).one()
        return Outbox(pending, oldest)

    def forget_deliveries(self, settled_until: datetime, limit: int) -> int:
        """See `WebhookLedger.forget_deliveries`."""
        over = select(deliveries.c.id).where(~_PENDING, deliveries.c.attempted_at <= settled_until).limit(limit)
        with self._changing() as connection:
            old = [*connection.scalars(over)]
            connection.execute(delete(delivery_attempts).where(delivery_attempts.c.delivery.in_(old)))
            connection.execute(delete(deliveries).where(deliveries.c.id.in_(old)))
            nowhere = ~exists().where(deliveries.c.message == messages.c.id)
            connection.execute(delete(messages).where(messages.c.created_at <= settled_until, nowhere))
        return len(old)
