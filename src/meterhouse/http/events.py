"""`POST /v1/events`: CloudEvents in."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal, Protocol, cast

import msgspec
from litestar import Response, Router, post
from litestar.params import Parameter
from prometheus_client import Counter

from ..domain.errors import Overloaded, Unavailable
from ..services.ingest import Body, Done, Report
from .binary_mode import is_binary_mode, structured
from .bodies import SMALL_BODY_BYTES, Bodies
from .observability import OUTCOMES, Metrics
from .openapi import described
from .problems import UnsupportedEncoding
from .request import HttpRequest
from .senders import Senders

# Whether a media type holds one JSON value or one on each line.
MEDIA_TYPES = {
    "application/cloudevents+json": False,
    "application/cloudevents-batch+json": False,
    "application/json": False,
    "application/x-ndjson": True,
}


class EventBody(msgspec.Struct, omit_defaults=True):
    """A CloudEvent. `subject` is the organization; `time` is now when it is absent."""

    id: str
    source: str
    type: str
    subject: str
    specversion: Literal["1.0"]
    time: str | None = None
    data: dict[str, Any] | None = None


_EXAMPLE = {
    "specversion": "1.0",
    "id": "call-17",
    "source": "api",
    "type": "ai.request",
    "subject": "acme",
    "time": "2026-03-15T12:00:00Z",
    "data": {"model": "small", "neurons": 120, "synapses": 3, "cost": "0.0125"},
}
RETRY_AFTER_S = str(Unavailable.retry_after_s)
_DECODING_THREADS = 2
"""More would only take turns, and let the thread that commits wait for its own."""


class CompletionBridge:
    """Hands what the writer has finished to the event loop: all of one commit with one wake-up, however much it is."""

    def __init__(self) -> None:
        self._finished: deque[tuple[asyncio.Future[Report], Report | BaseException]] = deque()
        self._awake = False

    def expect(self) -> tuple[asyncio.Future[Report], Done]:
        """A report to wait for on the event loop, and what any thread calls with it, or with what was raised."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Report] = loop.create_future()

        def done(result: Report | BaseException) -> None:
            self._finished.append((waiter, result))
            if not self._awake:
                self._awake = True
                loop.call_soon_threadsafe(self._deliver)

        return waiter, done

    def _deliver(self) -> None:
        self._awake = False  # first: what is finished from here on is found below, or wakes the loop again
        while self._finished:
            waiter, result = self._finished.popleft()
            if waiter.done():
                continue  # the client has hung up
            if isinstance(result, BaseException):
                waiter.set_exception(result)
            else:
                waiter.set_result(result)


class BodyTaker(Protocol):
    """Takes in the events of requests: this process's own shard alone, or together with others."""

    def submit_body(self, body: Body, done: Done) -> None:
        """See `Ingest.submit_body`."""
        ...


class IngestEndpoint:
    """Takes the events of a request in, and tells what became of them."""

    def __init__(self, ingest: BodyTaker, metrics: Metrics):
        self._ingest = ingest
        self._bridge = CompletionBridge()
        self._events, self._unmatched, self._arrivals = metrics.events, metrics.unmatched, metrics.arrivals
        self._counters: dict[str, list[tuple[str, Counter]]] = {}
        self._decoding = ThreadPoolExecutor(_DECODING_THREADS, "meterhouse-decoding")

    async def submit(self, body: Body) -> asyncio.Future[Report]:
        """Submits the events; what becomes of them is in the future. Large bodies are read in another thread. See
        `Ingest.submit_body`."""
        waiter, done = self._bridge.expect()
        if len(body.content) <= SMALL_BODY_BYTES:
            self._ingest.submit_body(body, done)
        else:
            await asyncio.get_running_loop().run_in_executor(self._decoding, self._ingest.submit_body, body, done)
        return waiter

    async def report(self, namespace: str, pending: asyncio.Future[Report]) -> tuple[int, bytes]:
        """The status and the report as JSON, counted, when it is there; raises what the commit raised."""
        report = await self.counted(namespace, pending)
        return status_of(report), msgspec.json.encode(report)

    async def counted(self, namespace: str, pending: asyncio.Future[Report]) -> Report:
        """The report, counted, when it is there; raises what the commit raised."""
        report = await pending
        self._arrivals.count(namespace, report)
        for outcome, counter in self._counters_of(namespace):
            if count := getattr(report, outcome):
                counter.inc(count)
        if report.unmatched:
            self._unmatched.inc(report.unmatched)
        return report

    async def stored(self, namespace: str, pending: Iterable[asyncio.Future[Report]]) -> list[Report]:
        """The reports of all parts of a request, counted. Raises what a commit raised, and `Unavailable` where some
        events were not taken and have to be sent again."""
        reports = [await self.counted(namespace, each) for each in pending]
        if any(status_of(report) == 503 for report in reports):
            raise Unavailable("a part of the server did not answer: send all of it again, what is stored counts once")
        return reports

    def _counters_of(self, namespace: str) -> list[tuple[str, Counter]]:
        if (counters := self._counters.get(namespace)) is None:
            counters = [(outcome, self._events.labels(namespace, outcome)) for outcome in OUTCOMES]
            self._counters[namespace] = counters
        return counters


def status_of(report: Report) -> int:
    """200; 422 where all events were refused; 503 where some were not taken and have to be sent again."""
    if any(failure.code == Unavailable.code for failure in report.errors):
        return 503
    return 422 if report.refused_whole else 200


def events_router(endpoint: IngestEndpoint, senders: Senders, metrics: Metrics, bodies: Bodies) -> Router:
    """The route, closed over what it needs."""

    async def submitted(
        request: HttpRequest, namespace: str, media_type: str, organization: str | None, *, enforced: bool
    ) -> asyncio.Future[Report]:
        """What will become of a request's events."""
        headers = request.scope["headers"]
        try:
            async with bodies.reading(request) as content:
                text = structured(headers, media_type, content) if is_binary_mode(headers, media_type) else content
                return await endpoint.submit(Body(namespace, text, MEDIA_TYPES[media_type], organization, enforced))
        except Overloaded:
            metrics.refused.inc()
            raise

    @post(
        "/v1/events",
        status_code=200,
        operation_id="sendEvents",
        tags=["Events"],
        opt=described(
            answers={200: Report, 422: Report, 503: Report},
            body=EventBody | list[EventBody],
            body_media=tuple(media for media, lines in MEDIA_TYPES.items() if not lines),
            body_lines=tuple(media for media, lines in MEDIA_TYPES.items() if lines),
            example=_EXAMPLE,
            problems=(404,),
        ),
    )
    async def send_events(
        request: HttpRequest,
        namespace: Annotated[str | None, Parameter(description="Needed with the admin key.")] = None,
        enforce: Annotated[bool, Parameter(description="Refuses events that a hard limit has no room for.")] = False,
    ) -> Response[Report]:
        """Ingests events; when it answers, they are durable and counted.

        Takes one CloudEvent, an array, or one a line (`application/x-ndjson`). Bad events are listed and leave the
        others alone; a request in which every event was refused is a 422 with the same report. Where a part of the
        server does not answer, it is a 503 with the same report: send all of it again, what is stored counts once. In
        binary mode the attributes are headers (`ce-id` …) and the body is the data. With `enforce=true` each event that
        a hard limit of its organization has no room for is refused as `quota_exceeded`; the others count. A key needs
        the scope `events:write` and sends for its own organization only.
        """
        namespace, organization = await senders.namespace_of(request, namespace)
        media_type = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            raise UnsupportedEncoding(f"content-type {media_type[:60]!r}; send one of {', '.join(MEDIA_TYPES)}")
        pending = await submitted(request, namespace, media_type, organization, enforced=enforce)
        status, report = await endpoint.report(namespace, pending)
        headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else {}
        return Response(cast("Report", report), status_code=status, media_type="application/json", headers=headers)

    return Router("/", route_handlers=[send_events])
