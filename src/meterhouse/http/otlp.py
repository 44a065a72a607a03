"""`POST /v1/otlp/v1/traces` and `…/metrics`: telemetry of OpenTelemetry in, as the rules of a catalog have it."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from litestar import Response, Router, post
from litestar.params import Parameter

from ..domain.catalog import Catalog
from ..domain.errors import Invalid
from ..domain.period import format_instant
from ..domain.telemetry import Observation, event_of
from ..services.catalogs import Catalogs
from ..services.ingest import Body
from .bodies import Bodies
from .events import IngestEndpoint
from .openapi import described
from .otlp_messages import MetricsRequest, TracesRequest, spans_of, sums_of
from .problems import UnsupportedEncoding
from .request import HttpRequest
from .senders import Senders

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_NOT_DELTA = (
    "sums must be told in deltas: set OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta where they are made"
)
_EVENTS_AT_ONCE = 10_000
_MEDIA = {PROTOBUF: "The same in protobuf, to a request in protobuf."}
_encode = msgspec.json.Encoder(decimal_format="number").encode


class PartialSuccess(msgspec.Struct, rename="camel", omit_defaults=True):
    """What was not taken; the rest was, and a repetition would not help."""

    rejected_spans: str = "0"
    rejected_data_points: str = "0"
    error_message: str = ""


class OtlpAnswer(msgspec.Struct, rename="camel", omit_defaults=True):
    """What became of a request. Spans and data points that no rule is about are passed over, and not rejected."""

    partial_success: PartialSuccess | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One of the two kinds of requests."""

    decoder: msgspec.json.Decoder[Any]
    read: Callable[[Any], Iterator[Observation]]
    rejected: str
    """The field of `PartialSuccess` that counts what was not taken."""
    module: str
    """Where protobuf's classes are."""
    name: str


_TRACES = _Kind(
    msgspec.json.Decoder(TracesRequest),
    spans_of,
    "rejected_spans",
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
    "ExportTraceService",
)
_METRICS = _Kind(
    msgspec.json.Decoder(MetricsRequest),
    sums_of,
    "rejected_data_points",
    "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2",
    "ExportMetricsService",
)


@dataclass(slots=True)
class _Made:
    """The events of a request, and what was not taken."""

    events: list[bytes]
    rejected: int = 0
    reason: str = ""


def otlp_router(endpoint: IngestEndpoint, catalogs: Catalogs, senders: Senders, bodies: Bodies) -> Router:
    """The routes, closed over what they need."""

    async def take(request: HttpRequest, kind: _Kind, namespace: str | None) -> Response[bytes]:
        namespace, organization = await senders.namespace_of(request, namespace)
        media_type = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
        if media_type not in (PROTOBUF, JSON):
            raise UnsupportedEncoding(f"content-type {media_type[:60]!r}; send {PROTOBUF} or {JSON}")
        async with bodies.reading(request) as content:
            catalog = catalogs.get(namespace)
            made = await asyncio.to_thread(_made, kind, catalog, media_type, content, organization)
            pending = []
            for begin in range(0, len(made.events), _EVENTS_AT_ONCE):
                events = b"[" + b",".join(made.events[begin : begin + _EVENTS_AT_ONCE]) + b"]"
                body = Body(namespace, events, lines=False, organization=organization)
                pending.append(await endpoint.submit(body))
            reports = await endpoint.stored(namespace, pending)
        rejected = made.rejected + sum(report.rejected + report.conflicts for report in reports)
        reasons = [made.reason, *(error.message for report in reports for error in report.errors)]
        reason = next(filter(None, reasons), "")
        return Response(_answer(kind, media_type, rejected, reason), media_type=media_type)

    @post(
        "/v1/otlp/v1/traces",
        status_code=200,
        operation_id="sendSpans",
        tags=["Telemetry"],
        opt=described(answers={200: OtlpAnswer}, media=_MEDIA, body=TracesRequest, body_media=(JSON,), problems=(404,)),
    )
    async def send_spans(
        request: HttpRequest,
        namespace: Annotated[str | None, Parameter(description="Needed with the admin key.")] = None,
    ) -> Response[bytes]:
        """Ingests spans, in OTLP's JSON or protobuf: a span that a `[[telemetry]]` of the catalog is about becomes an
        event. A span that is sent again counts once."""
        return await take(request, _TRACES, namespace)

    @post(
        "/v1/otlp/v1/metrics",
        status_code=200,
        operation_id="sendSums",
        tags=["Telemetry"],
        opt=described(
            answers={200: OtlpAnswer}, media=_MEDIA, body=MetricsRequest, body_media=(JSON,), problems=(404,)
        ),
    )
    async def send_sums(
        request: HttpRequest,
        namespace: Annotated[str | None, Parameter(description="Needed with the admin key.")] = None,
    ) -> Response[bytes]:
        """Ingests sums, in OTLP's JSON or protobuf: a data point that a `[[telemetry]]` of the catalog is about becomes
        an event. Sums must be told in deltas; gauges and histograms are passed over."""
        return await take(request, _METRICS, namespace)

    return Router("/", route_handlers=[send_spans, send_sums])


def _made(kind: _Kind, catalog: Catalog, media_type: str, content: bytes, organization: str | None) -> _Made:
    """The events that the rules of a catalog make of a request."""
    made = _Made([])
    for seen in kind.read(_decoded(kind, media_type, content)):
        for rule in catalog.telemetry:
            event = event_of(rule, seen, organization)
            if event is None:
                continue
            if rule.value and seen.value is None:
                made.rejected += 1
                made.reason = f"{seen.name[:100]}: {_NOT_DELTA}"
            else:
                made.events.append(_encode({**event, "time": format_instant(event["time"])}))
    return made


def _decoded(kind: _Kind, media_type: str, content: bytes) -> Any:
    """The request. Raises `Invalid`."""
    if media_type == PROTOBUF:
        request = _protobuf(kind, "Request")()
        try:
            request.ParseFromString(content)
        except importlib.import_module("google.protobuf.message").DecodeError:
            raise Invalid("the body is not OTLP in protobuf") from None
        return request
    try:
        return kind.decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as wrong:
        raise Invalid(f"the body is not OTLP in JSON: {wrong}") from None


def _answer(kind: _Kind, media_type: str, rejected: int, reason: str) -> bytes:
    if media_type == JSON:
        told = None
        if rejected:
            told = PartialSuccess(error_message=reason)
            setattr(told, kind.rejected, str(rejected))
        return msgspec.json.encode(OtlpAnswer(told))
    answer = _protobuf(kind, "Response")()
    if rejected:
        setattr(answer.partial_success, kind.rejected, rejected)
        answer.partial_success.error_message = reason
    content: bytes = answer.SerializeToString()
    return content


def _protobuf(kind: _Kind, suffix: str) -> Any:
    """One of protobuf's classes. Raises `UnsupportedEncoding` where the package is not installed."""
    try:
        return getattr(importlib.import_module(kind.module), kind.name + suffix)
    except ModuleNotFoundError:
        raise UnsupportedEncoding(f"protobuf needs pip install 'meterhouse[otlp]'; {JSON} works without it") from None
