"""`POST /v1/events`: CloudEvents in."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Annotated

from litestar import Response, Router, post
from litestar.params import Parameter

from ..domain.errors import Invalid
from ..services.accounts import EVENTS_WRITE
from ..services.ingest import Ingest, Report, split_events
from .authentication import Authentication
from .bodies import UnsupportedEncoding, read_body
from .observability import Metrics
from .problems import Forbidden
from .request import HttpRequest

# Whether a media type holds one JSON value or one on each line.
_MEDIA_TYPES = {
    "application/cloudevents+json": False,
    "application/cloudevents-batch+json": False,
    "application/json": False,
    "application/x-ndjson": True,
}


def events_router(ingest: Ingest, authentication: Authentication, metrics: Metrics, max_body_bytes: int) -> Router:
    """The route, closed over what it needs."""

    @post("/v1/events", status_code=200, operation_id="sendEvents", tags=["Events"])
    async def send_events(
        request: HttpRequest,
        namespace: Annotated[str | None, Parameter(description="Needed with the admin key.")] = None,
    ) -> Response[Report]:
        """Ingests events; when it answers, they are durable and counted.

        Takes one CloudEvent, an array, or one a line (`application/x-ndjson`). Bad events are listed and leave the
        others alone. A key needs the scope `events:write` and sends for its own organization only.
        """
        caller = await asyncio.to_thread(authentication.caller, request)
        organization = None
        if caller is not None:
            if EVENTS_WRITE not in caller.scopes:
                raise Forbidden(f"this key lacks the scope {EVENTS_WRITE}")
            if namespace not in (None, caller.organization.namespace):
                raise Forbidden("this key belongs to another namespace")
            namespace, organization = caller.organization.namespace, caller.organization.id
        if namespace is None:
            raise Invalid("name the namespace of the events: POST /v1/events?namespace=…")
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type not in _MEDIA_TYPES:
            raise UnsupportedEncoding(f"content-type {media_type[:60]!r}; send one of {', '.join(_MEDIA_TYPES)}")
        body = await read_body(request, max_body_bytes)

        def submit(namespace: str) -> Future[Report]:
            return ingest.submit(namespace, split_events(body, lines=_MEDIA_TYPES[media_type]), organization)

        report = await asyncio.wrap_future(await asyncio.to_thread(submit, namespace))
        for outcome in ("ingested", "duplicates", "conflicts", "rejected"):
            metrics.events.labels(outcome).inc(getattr(report, outcome))
        return Response(report)

    return Router("/", route_handlers=[send_events])
