"""Webhook endpoints, and what was delivered to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter

from ..domain.delivery import DeliveryAttempt, DeliveryStatus, WebhookDelivery
from ..domain.errors import NotFound
from ..domain.period import format_instant
from ..domain.webhook import EventType, WebhookEndpoint
from ..ports.webhooks import DeliverySearch
from ..services.webhooks import EndpointDraft, EndpointState, Webhooks
from .alerts import Limit, Namespace
from .authentication import Authentication
from .bodies import json_response
from .openapi import described
from .periods import written

_ENDPOINTS = "/v1/webhook-endpoints"
_ENDPOINT = _ENDPOINTS + "/{endpoint:str}"
_DELIVERIES = "/v1/deliveries"
_DAY_S = 86_400
_MOST_DIGITS = 18


class NewWebhookEndpoint(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint: an https URL. It is told all types of events, or these."""

    url: str
    event_types: list[EventType] = []
    enabled: bool = True


class NewSecret(msgspec.Struct, forbid_unknown_fields=True):
    """For how long messages are signed with the secrets before it as well: a day when absent, at most seven."""

    overlap_seconds: int = _DAY_S


class SecretBody(msgspec.Struct):
    """A secret that messages are signed with; which one it is is told once, when it is made."""

    created_at: str
    expires_at: str | None


class WebhookEndpointBody(msgspec.Struct):
    """An endpoint. `failing_since` is when the first of its attempts failed, since one has succeeded; `switched_off`
    says why Meterhouse has switched it off. `secret` is there once: when it was made."""

    id: str
    namespace: str
    url: str
    event_types: list[str]
    enabled: bool
    failing_since: str | None
    switched_off: str | None
    secrets: list[SecretBody]
    secret: str | None
    created_at: str


class AttemptBody(msgspec.Struct):
    """An attempt: the status that was answered, and the beginning of the answer; `error` says why it failed."""

    number: int
    at: str
    status: int | None
    error: str | None
    answer: str
    milliseconds: int


class DeliveryBody(msgspec.Struct):
    """A message on its way to an endpoint. `message` is its `webhook-id`, the same on every attempt."""

    id: int
    message: str
    type: str
    organization: str | None
    status: DeliveryStatus
    created_at: str
    next_attempt_at: str | None
    attempts: list[AttemptBody]


class DeliveriesBody(msgspec.Struct):
    """Deliveries, the newest first; `next` is the `before` of the page after it, null where that is empty."""

    deliveries: list[DeliveryBody]
    next: int | None


_EXAMPLE = {"url": "https://example.com/hooks/meterhouse", "event_types": ["limit.threshold_reached"]}


def webhooks_router(webhooks: Webhooks, wake: Callable[[], None], authentication: Authentication) -> Router:
    """The routes, closed over what they need. `wake` is called when there is something to deliver."""

    @put(
        _ENDPOINT,
        operation_id="putWebhookEndpoint",
        tags=["Webhooks"],
        opt=described(answers={200: WebhookEndpointBody, 201: WebhookEndpointBody}, example=_EXAMPLE),
    )
    async def put_endpoint(
        endpoint: FromPath[str], namespace: Namespace, data: JSONBody[NewWebhookEndpoint]
    ) -> Response[bytes]:
        """Makes an endpoint, 201 with its secret, or changes it. One that is enabled again goes on with what waits."""
        draft = EndpointDraft(data.url, frozenset(data.event_types), data.enabled)
        state = await asyncio.to_thread(webhooks.put, namespace, endpoint, draft)
        wake()
        response = json_response(_endpoint(state))
        response.status_code = 201 if state.made else 200
        return response

    @get(
        _ENDPOINTS,
        operation_id="listWebhookEndpoints",
        tags=["Webhooks"],
        opt=described(answers={200: list[WebhookEndpointBody]}, problems=(404,)),
    )
    async def list_endpoints(namespace: Namespace) -> Response[bytes]:
        """The endpoints of a namespace, by id."""
        return json_response(
            [_endpoint(EndpointState(each)) for each in await asyncio.to_thread(webhooks.of, namespace)]
        )

    @get(
        _ENDPOINT,
        operation_id="getWebhookEndpoint",
        tags=["Webhooks"],
        opt=described(answers={200: WebhookEndpointBody}),
    )
    async def get_endpoint(endpoint: FromPath[str], namespace: Namespace) -> Response[bytes]:
        """One endpoint."""
        return json_response(_endpoint(EndpointState(await asyncio.to_thread(webhooks.get, namespace, endpoint))))

    @delete(_ENDPOINT, operation_id="deleteWebhookEndpoint", tags=["Webhooks"])
    async def delete_endpoint(endpoint: FromPath[str], namespace: Namespace) -> None:
        """Removes an endpoint with its deliveries. What waits for it is not sent."""
        await asyncio.to_thread(webhooks.delete, namespace, endpoint)

    @post(
        _ENDPOINT + "/rotate",
        status_code=200,
        operation_id="rotateWebhookSecret",
        tags=["Webhooks"],
        opt=described(answers={200: WebhookEndpointBody}, example={"overlap_seconds": _DAY_S}),
    )
    async def rotate(endpoint: FromPath[str], namespace: Namespace, data: JSONBody[NewSecret]) -> Response[bytes]:
        """Makes a new secret and answers it. Until the overlap is over, messages have a signature of each."""
        overlap = timedelta(seconds=min(max(data.overlap_seconds, -1), 365 * _DAY_S))
        return json_response(_endpoint(await asyncio.to_thread(webhooks.rotate, namespace, endpoint, overlap)))

    @post(
        _ENDPOINT + "/test",
        status_code=202,
        operation_id="testWebhookEndpoint",
        tags=["Webhooks"],
        opt=described(answers={202: DeliveryBody}),
    )
    async def test(endpoint: FromPath[str], namespace: Namespace) -> Response[bytes]:
        """Sends an event of the type `test`. What becomes of it is in the list of deliveries."""
        return accepted(await asyncio.to_thread(webhooks.test, namespace, endpoint))

    @get(
        _DELIVERIES,
        operation_id="listWebhookDeliveries",
        tags=["Webhooks"],
        opt=described(answers={200: DeliveriesBody}, problems=(404,)),
    )
    async def list_deliveries(
        namespace: Namespace,
        endpoint: Annotated[str, QueryParameter(description="The endpoint that they are for.")],
        *,
        organization: Annotated[str | None, QueryParameter(description="About this one only.")] = None,
        delivery_status: Annotated[
            DeliveryStatus | None, QueryParameter(name="status", description="Those that are so now.")
        ] = None,
        before: Annotated[
            int | None, QueryParameter(description="`next` of the page before.", ge=1, le=10**_MOST_DIGITS)
        ] = None,
        limit: Limit = 100,
    ) -> Response[bytes]:
        """Deliveries to an endpoint with their attempts, the newest first. Those that were made or given up are listed
        for 30 days."""
        search = DeliverySearch(namespace, endpoint, organization, delivery_status, before, limit)
        found = await asyncio.to_thread(webhooks.deliveries, search)
        last = found[-1][0].id if len(found) == limit else None
        return json_response(DeliveriesBody([_delivery(*each) for each in found], last))

    @post(
        _DELIVERIES + "/{delivery_id:str}/send-again",
        status_code=202,
        operation_id="sendWebhookAgain",
        tags=["Webhooks"],
        opt=described(answers={202: DeliveryBody}),
    )
    async def send_again(delivery_id: FromPath[str], namespace: Namespace) -> Response[bytes]:
        """Delivers a message once more, under the same `webhook-id`, after what waits for its organization."""
        return accepted(await asyncio.to_thread(webhooks.send_again, namespace, _number(delivery_id)))

    def accepted(delivery: WebhookDelivery) -> Response[bytes]:
        wake()
        response = json_response(_delivery(delivery, []))
        response.status_code = 202
        return response

    handlers = [put_endpoint, list_endpoints, get_endpoint, delete_endpoint, rotate, test, list_deliveries, send_again]
    return Router("/", route_handlers=handlers, guards=[authentication.operator_guard()])


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise NotFound(f"there is no delivery {text[:40]!r}: its id is a whole number")
    return int(text)


def _endpoint(state: EndpointState) -> WebhookEndpointBody:
    endpoint: WebhookEndpoint = state.endpoint
    return WebhookEndpointBody(
        id=endpoint.id,
        namespace=endpoint.namespace,
        url=endpoint.url,
        event_types=sorted(endpoint.event_types),
        enabled=endpoint.enabled,
        failing_since=written(endpoint.failing_since),
        switched_off=endpoint.switched_off,
        secrets=[SecretBody(format_instant(each.created_at), written(each.expires_at)) for each in endpoint.secrets],
        secret=state.secret,
        created_at=format_instant(endpoint.created_at),
    )


def _delivery(delivery: WebhookDelivery, attempts: list[DeliveryAttempt]) -> DeliveryBody:
    pending = delivery.status is DeliveryStatus.PENDING
    return DeliveryBody(
        id=delivery.id,
        message=delivery.message,
        type=delivery.type,
        organization=delivery.organization or None,
        status=delivery.status,
        created_at=format_instant(delivery.created_at),
        next_attempt_at=format_instant(delivery.next_attempt_at) if pending else None,
        attempts=[
            AttemptBody(each.number, format_instant(each.at), each.status, each.error, each.answer, each.milliseconds)
            for each in attempts
        ],
    )
