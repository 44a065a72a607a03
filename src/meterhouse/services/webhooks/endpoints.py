"""Making, changing and removing webhook endpoints, and what was delivered to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from ...domain.alert_rule import check_rule_id
from ...domain.delivery import DeliveryAttempt, WebhookDelivery
from ...domain.errors import Invalid, NotFound
from ...domain.organization import check_organization_id
from ...domain.shards import virtual_shard
from ...domain.webhook import (
    LONGEST_OVERLAP,
    MOST_ENDPOINTS,
    EventType,
    SigningSecret,
    WebhookEndpoint,
    check_url,
    new_secret,
)
from ...ports.webhooks import DeliverySearch
from ..accounts import Accounts
from ..alerts.messages import Messages

_SECRET_BYTES = 32
_KEPT = timedelta(days=30)
"""How long a delivery that was made or given up is listed."""
_FORGOTTEN_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class EndpointDraft:
    """An endpoint that is asked for."""

    url: str
    event_types: frozenset[EventType] = frozenset()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint, and the secret that was made for it just now."""

    endpoint: WebhookEndpoint
    secret: str | None = None
    made: bool = False


@dataclass(frozen=True, slots=True)
class Webhooks:
    """The use cases around endpoints. They are the operator's."""

    accounts: Accounts
    private_addresses: bool
    """Whether endpoints may have any address."""
    random_bytes: Callable[[int], bytes]

    def of(self, namespace: str) -> list[WebhookEndpoint]:
        """The endpoints of a namespace, by id. Raises `NotFound`."""
        return self.accounts.ledger.endpoints(self.accounts.catalogs.get(namespace).namespace)

    def get(self, namespace: str, endpoint_id: str) -> WebhookEndpoint:
        """One of them. Raises `NotFound`."""
        return _find(self.of(namespace), namespace, endpoint_id)

    def put(self, namespace: str, endpoint_id: str, draft: EndpointDraft) -> EndpointState:
        """Makes an endpoint, with a secret, or changes the one of its id. One that is switched on again begins as if it
        had never failed. Raises `NotFound` for the namespace, and `Invalid`."""
        self.accounts.catalogs.get(namespace)
        check_rule_id(endpoint_id)
        check_url(draft.url, private=self.private_addresses)
        if EventType.TEST in draft.event_types:
            raise Invalid("event_types: a test goes to any endpoint; leave it out")
        secret = new_secret(self.random_bytes(_SECRET_BYTES))
        made = False

        def change(endpoints: Sequence[WebhookEndpoint]) -> WebhookEndpoint:
            nonlocal made
            before = next((each for each in endpoints if each.id == endpoint_id), None)
            if before is not None:
                changed = replace(before, url=draft.url, event_types=draft.event_types, enabled=draft.enabled)
                again = draft.enabled and not before.enabled
                return replace(changed, failing_since=None, switched_off=None) if again else changed
            if len(endpoints) >= MOST_ENDPOINTS:
                raise Invalid(f"namespace {namespace} has {MOST_ENDPOINTS} webhook endpoints already: remove one")
            made, now = True, self.accounts.clock.now()
            secrets = (SigningSecret(secret, now),)
            return WebhookEndpoint(endpoint_id, namespace, draft.url, draft.event_types, secrets, draft.enabled, now)

        endpoint = self.accounts.ledger.change_endpoint(namespace, change)
        return EndpointState(endpoint, secret if made else None, made)

    def rotate(self, namespace: str, endpoint_id: str, overlap: timedelta) -> EndpointState:
        """Gives an endpoint a new secret; those before sign as well, for as long as `overlap` says. Raises `NotFound`,
        and `Invalid`."""
        self.accounts.catalogs.get(namespace)
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            raise Invalid(f"overlap_seconds: must be from 0 to {LONGEST_OVERLAP // timedelta(seconds=1)}")
        secret, now = new_secret(self.random_bytes(_SECRET_BYTES)), self.accounts.clock.now()

        def change(endpoints: Sequence[WebhookEndpoint]) -> WebhookEndpoint:
            return _find(endpoints, namespace, endpoint_id).rotated(secret, now, overlap)

        return EndpointState(self.accounts.ledger.change_endpoint(namespace, change), secret)

    def delete(self, namespace: str, endpoint_id: str) -> None:
        """Removes an endpoint; what waits for it is not sent. Raises `NotFound`, and `Invalid` for what
        cannot be an id."""
        check_rule_id(endpoint_id)
        self.accounts.ledger.delete_endpoint(self.accounts.catalogs.get(namespace).namespace, endpoint_id)

    def test(self, namespace: str, endpoint_id: str) -> WebhookDelivery:
        """Sends a test to an endpoint. Raises `NotFound`, and `Invalid` for one that is switched off."""
        self._enabled(namespace, endpoint_id)
        message = Messages(namespace, "", self.accounts.clock.now()).test(self.random_bytes(16).hex())
        return self.accounts.ledger.add_delivery(message, endpoint_id, virtual_shard(namespace, ""))

    def deliveries(self, search: DeliverySearch) -> list[tuple[WebhookDelivery, list[DeliveryAttempt]]]:
        """What was and is to be delivered to an endpoint, the newest first, with all attempts. Raises `NotFound`."""
        self.get(search.namespace, search.endpoint)
        if search.organization is not None:
            check_organization_id(search.organization)
        found = self.accounts.ledger.deliveries(search)
        attempts = self.accounts.ledger.attempts([each.id for each in found])
        return [(each, attempts[each.id]) for each in found]

    def send_again(self, namespace: str, delivery_id: int) -> WebhookDelivery:
        """Delivers a message once more: the same one, of the same id, after all that waits for its organization. Raises
        `NotFound`, and `Invalid` for an endpoint that is switched off."""
        self.accounts.catalogs.get(namespace)
        if (found := self.accounts.ledger.delivery(namespace, delivery_id)) is None:
            raise NotFound(f"namespace {namespace!r} has no delivery {delivery_id}: check the list of its endpoint")
        before, message = found
        self._enabled(namespace, before.endpoint)
        return self.accounts.ledger.add_delivery(message, before.endpoint, before.virtual)

    def forget_old(self) -> Iterator[None]:
        """A task of upkeep: forgets deliveries that were made or given up a month ago."""
        until = self.accounts.clock.now() - _KEPT
        while self.accounts.ledger.forget_deliveries(until, _FORGOTTEN_AT_ONCE):
            yield

    def _enabled(self, namespace: str, endpoint_id: str) -> None:
        if not self.get(namespace, endpoint_id).enabled:
            raise Invalid(f"the webhook endpoint {endpoint_id!r} is switched off: switch it on, then repeat this")


def _find(endpoints: Sequence[WebhookEndpoint], namespace: str, endpoint_id: str) -> WebhookEndpoint:
    for endpoint in endpoints:
        if endpoint.id == endpoint_id:
            return endpoint
    raise NotFound(f"namespace {namespace!r} has no webhook endpoint {endpoint_id[:64]!r}: check the id in its list")
