"""What OTLP/HTTP carries, in JSON; protobuf's own classes have the same attributes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import msgspec

from ..domain.errors import Invalid
from ..domain.period import EPOCH
from ..domain.quantity import parse_quantity, plain
from ..domain.telemetry import AttributeValue, Observation, Signal

_DELTA = (1, "AGGREGATION_TEMPORALITY_DELTA")
_SERVICE = "service.name"
_NANOSECONDS = 1000
_WHOLE = re.compile(r"-?[0-9]{1,20}", re.ASCII)


class AnyValue(msgspec.Struct, rename="camel"):
    """The value of an attribute. Lists, tables and bytes are passed over."""

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: str | int | None = None
    double_value: Decimal | None = None


class KeyValue(msgspec.Struct, rename="camel"):
    """An attribute."""

    key: str
    value: AnyValue = msgspec.field(default_factory=AnyValue)


class Resource(msgspec.Struct, rename="camel"):
    """What has sent it."""

    attributes: list[KeyValue] = []


class Span(msgspec.Struct, rename="camel"):
    """A span, as far as it is read."""

    trace_id: str
    span_id: str
    name: str = ""
    start_time_unix_nano: str | int = 0
    end_time_unix_nano: str | int = 0
    attributes: list[KeyValue] = []


class ScopeSpans(msgspec.Struct, rename="camel"):
    """The spans of a library."""

    spans: list[Span] = []


class ResourceSpans(msgspec.Struct, rename="camel"):
    """The spans of a resource."""

    resource: Resource = msgspec.field(default_factory=Resource)
    scope_spans: list[ScopeSpans] = []


class TracesRequest(msgspec.Struct, rename="camel"):
    """The body of a request with spans."""

    resource_spans: list[ResourceSpans] = []


class DataPoint(msgspec.Struct, rename="camel"):
    """A data point of a sum."""

    attributes: list[KeyValue] = []
    start_time_unix_nano: str | int = 0
    time_unix_nano: str | int = 0
    as_int: str | int | None = None
    as_double: Decimal | None = None


class Sum(msgspec.Struct, rename="camel"):
    """What was added up."""

    data_points: list[DataPoint] = []
    aggregation_temporality: int | str = 0


class Metric(msgspec.Struct, rename="camel"):
    """A metric; all but sums are passed over."""

    name: str
    sum: Sum | None = None


class ScopeMetrics(msgspec.Struct, rename="camel"):
    """The metrics of a library."""

    metrics: list[Metric] = []


class ResourceMetrics(msgspec.Struct, rename="camel"):
    """The metrics of a resource."""

    resource: Resource = msgspec.field(default_factory=Resource)
    scope_metrics: list[ScopeMetrics] = []


class MetricsRequest(msgspec.Struct, rename="camel"):
    """The body of a request with metrics."""

    resource_metrics: list[ResourceMetrics] = []


def spans_of(request: Any) -> Iterator[Observation]:
    """The spans of a request, as `TracesRequest` or as protobuf's class. A span has the attributes `span.name` and
    `span.duration_ms`, too. Raises `Invalid`."""
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                start = _whole("startTimeUnixNano", span.start_time_unix_nano)
                end = _whole("endTimeUnixNano", span.end_time_unix_nano)
                trace_id, span_id = _hex("traceId", span.trace_id, 16), _hex("spanId", span.span_id, 8)
                own = {
                    "span.name": span.name,
                    "span.duration_ms": Decimal(max(0, end - start)).scaleb(-6),
                    **_attributes(span.attributes),
                }
                yield Observation(
                    Signal.SPAN,
                    span.name,
                    {**resource, **own},
                    f"{trace_id}-{span_id}",
                    str(resource.get(_SERVICE) or "otlp"),
                    _instant(end or start),
                )


def sums_of(request: Any) -> Iterator[Observation]:
    """The data points of all sums of a request, as `MetricsRequest` or as protobuf's class; one of a sum that is not
    told in deltas has no value. Raises `Invalid`."""
    for of_resource in request.resource_metrics:
        resource = _attributes(of_resource.resource.attributes)
        source = str(resource.get(_SERVICE) or "otlp")
        for of_scope in of_resource.scope_metrics:
            for metric in of_scope.metrics:
                if not _is_sum(metric):
                    continue
                delta = metric.sum.aggregation_temporality in _DELTA
                for point in metric.sum.data_points:
                    own = _attributes(point.attributes)
                    start = _whole("startTimeUnixNano", point.start_time_unix_nano)
                    time = _whole("timeUnixNano", point.time_unix_nano)
                    told = msgspec.json.encode([metric.name, sorted(_texts({**resource, **own})), start, time])
                    yield Observation(
                        Signal.SUM,
                        metric.name,
                        {**resource, **own},
                        blake2b(told, digest_size=16).hexdigest(),
                        source,
                        _instant(time),
                        _number(point) if delta else None,
                    )


def _is_sum(metric: Any) -> bool:
    return metric.sum is not None if isinstance(metric, Metric) else metric.WhichOneof("data") == "sum"


def _number(point: Any) -> str:
    """The value of a data point. One that is no quantity is as it was written: whoever reads its event says so."""
    if isinstance(point, DataPoint):
        value = point.as_int if point.as_int is not None else point.as_double
    else:
        kind = point.WhichOneof("value")
        value = getattr(point, kind) if kind is not None else 0
    text = str(value or 0)
    try:
        return str(plain(parse_quantity(text)))
    except Invalid:
        return text


def _whole(name: str, given: str | int) -> int:
    """A number of 64 bits, which JSON has as a text. Raises `Invalid`."""
    text = str(given)
    if _WHOLE.fullmatch(text) is None:
        raise Invalid(f"{name}: {text[:40]!r} is not a whole number of 64 bits")
    return int(text)


def _attributes(pairs: Any) -> dict[str, AttributeValue]:
    found = {}
    for pair in pairs:
        value = _value(pair.value)
        if value is not None:
            found[pair.key] = value
    return found


def _value(given: Any) -> AttributeValue | None:
    """A number is read from its digits; a double has those of its shortest form, and one that is not finite is a text,
    since JSON has no such numbers."""
    if isinstance(given, AnyValue):
        if given.int_value is not None:
            return _whole("intValue", given.int_value)
        if given.double_value is not None:
            return _finite(given.double_value)
        return given.string_value if given.string_value is not None else given.bool_value
    kind = given.WhichOneof("value")
    if kind == "double_value":
        return _finite(Decimal(str(given.double_value)))
    return getattr(given, kind) if kind in ("string_value", "bool_value", "int_value") else None


def _finite(number: Decimal) -> Decimal | str:
    return number if number.is_finite() else str(number)


def _texts(attributes: dict[str, AttributeValue]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in attributes.items()]


def _hex(name: str, given: str | bytes, size: int) -> str:
    try:
        content = bytes.fromhex(given) if isinstance(given, str) else given
    except ValueError:
        content = b""
    if len(content) != size:
        raise Invalid(f"{name}: must be {size} bytes, in JSON as {2 * size} hexadecimal digits")
    return content.hex()


def _instant(nanoseconds: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // _NANOSECONDS)
    except OverflowError:
        raise Invalid("a time is beyond all that there are") from None
