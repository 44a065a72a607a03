"""Telemetry in, from OpenTelemetry's own exporters and as plain requests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from support.server import ADMIN_KEY, Server, serve

_numbers = count(1)
NO_SPAN = {"traceId": "zz", "spanId": ""}
TRACES, METRICS = "/v1/otlp/v1/traces", "/v1/otlp/v1/metrics"
CATALOG = """
namespace = "{}"

[[meters]]
slug = "tokens"
event_type = "llm.usage"
aggregation = "SUM"
value = "input_tokens"
group_by = ["model"]

[[meters]]
slug = "milliseconds"
event_type = "llm.usage"
aggregation = "SUM"
value = "ms"

[[meters]]
slug = "bytes"
event_type = "egress"
aggregation = "SUM"
value = "bytes"

[[telemetry]]
slug = "llm"
event_type = "llm.usage"
organization = "tenant"
where = {{ "gen_ai.operation.name" = ["chat", "embeddings"] }}
data = {{ input_tokens = "gen_ai.usage.input_tokens", model = "gen_ai.request.model", ms = "span.duration_ms" }}

[[telemetry]]
slug = "egress"
signal = "sum"
metric = "http.egress"
event_type = "egress"
organization = "tenant"
value = "bytes"
data = {{ route = "http.route" }}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("otlp")) as running:
        yield running


class Wire:
    """A namespace with rules, and a key that ingests into it."""

    def __init__(self, server: Server):
        self.server, self.namespace = server, f"otlp{next(_numbers)}"
        made = server.admin(
            "PUT",
            f"/v1/namespaces/{self.namespace}/catalog",
            content=CATALOG.format(self.namespace).encode(),
            headers={"content-type": "application/toml"},
        )
        assert made.status_code == 200, made.text
        wanted = {"name": "otlp", "role": "ingest", "namespace": self.namespace}
        self.key: str = server.admin("POST", "/v1/operator-keys", wanted).json()["key"]

    def __call__(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self.key}", "content-type": "application/json", **headers}
        return self.server.http.post(path, content=content, headers=sent)

    def total(self, meter: str, **asked: Any) -> Any:
        parameters = {"namespace": self.namespace, "meter": meter, "range": "24h", **asked}
        answer = self.server.admin("GET", "/v1/query", params=parameters)
        assert answer.status_code == 200, answer.text
        [told] = json.loads(answer.text, parse_float=Decimal)["meters"]
        return told

    def exporter(self, kind: Any, path: str, **more: Any) -> Any:
        endpoint = f"http://127.0.0.1:{self.server.port}{path}"
        return kind(endpoint=endpoint, headers={"authorization": f"Bearer {self.key}"}, **more)


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server)


def span(number: int, /, tokens: object = 10, tenant: str | None = "acme", **attributes: Any) -> dict[str, Any]:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": tokens,
        "gen_ai.request.model": "small",
        **({"tenant": tenant} if tenant else {}),
        **attributes,
    }
    return {
        "traceId": f"{number:032x}",
        "spanId": f"{number:016x}",
        "name": "chat small",
        "startTimeUnixNano": str(NOW_NS - 1_500_000),
        "endTimeUnixNano": str(NOW_NS),
        "attributes": [{"key": name, "value": any_value(value)} for name, value in told.items()],
    }


NOW_NS = 0


@pytest.fixture(autouse=True)
def _now() -> None:
    import time

    global NOW_NS  # noqa: PLW0603 - spans end when the test begins
    NOW_NS = time.time_ns()


def any_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [any_value(each) for each in value]}}
    return {"stringValue": value}


def traces(*spans: dict[str, Any], **resource: Any) -> dict[str, Any]:
    attributes = [{"key": name, "value": any_value(value)} for name, value in resource.items()]
    return {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": [*spans]}]}]}


def sums(value: object, *, temporality: object = 1, name: str = "http.egress", **more: Any) -> dict[str, Any]:
    point = {
        "attributes": [{"key": "tenant", "value": {"stringValue": "acme"}}],
        "startTimeUnixNano": str(NOW_NS - 10**9),
        "timeUnixNano": str(NOW_NS),
        "asInt": value,
        **more,
    }
    metric = {"name": name, "sum": {"dataPoints": [point], "aggregationTemporality": temporality, "isMonotonic": True}}
    return {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}


class TestOpenTelemetry:
    def test_spans_of_its_exporter(self, wire: Wire) -> None:
        provider = TracerProvider(resource=Resource.create({"service.name": "gateway", "tenant": "of the resource"}))
        provider.add_span_processor(SimpleSpanProcessor(wire.exporter(OTLPSpanExporter, TRACES)))
        tracer = provider.get_tracer("tests")
        for tenant, tokens, operation in (("acme", 5, "chat"), (None, 7, "chat"), ("acme", 100, "invoke_agent")):
            with tracer.start_as_current_span("call") as each:
                each.set_attribute("gen_ai.operation.name", operation)
                each.set_attribute("gen_ai.usage.input_tokens", tokens)
                if tenant:
                    each.set_attribute("tenant", tenant)
        provider.shutdown()
        told = wire.total("tokens", group_by="organization")
        assert [(each["group"]["organization"], each["total"]) for each in told["groups"]] == [
            ("of the resource", 7),
            ("acme", 5),
        ]

    def test_sums_of_its_exporter(self, wire: Wire) -> None:
        deltas = {Counter: AggregationTemporality.DELTA}
        exporter = wire.exporter(OTLPMetricExporter, METRICS, preferred_temporality=deltas)
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, export_interval_millis=60_000)])
        counter = provider.get_meter("tests").create_counter("http.egress")
        for amount in (1, 2):
            counter.add(amount, {"tenant": "acme", "http.route": "/a"})
        provider.force_flush()
        counter.add(4, {"tenant": "acme", "http.route": "/a"})
        provider.shutdown()
        assert wire.total("bytes")["total"] == 7


class TestSpans:
    def test_a_span_counts_once(self, wire: Wire) -> None:
        body = traces(span(1), span(2, tokens=0.5))
        for _ in range(3):
            answer = wire(TRACES, body)
            assert (answer.status_code, answer.json()) == (200, {})
        assert wire.total("tokens")["total"] == Decimal("10.5")
        assert wire.total("milliseconds")["total"] == 3

    def test_one_that_says_something_else_is_told(self, wire: Wire) -> None:
        assert wire(TRACES, traces(span(1))).json() == {}
        told = wire(TRACES, traces(span(1, tokens=11), span(2))).json()["partialSuccess"]
        assert told["rejectedSpans"] == "1"
        assert wire.total("tokens")["total"] == 20

    def test_it_counts_when_it_ends(self, wire: Wire) -> None:
        assert wire(TRACES, traces({**span(1), "startTimeUnixNano": str(NOW_NS - 48 * 3600 * 10**9)})).json() == {}
        assert wire.total("tokens")["total"] == 10

    def test_what_no_rule_is_about_is_passed_over(self, wire: Wire) -> None:
        others = traces(
            span(1, tenant=None), span(2, **{"gen_ai.operation.name": "other"}), span(3, tenant="acme", odd=[1, "a"])
        )
        assert wire(TRACES, others).json() == {}
        assert wire.total("tokens")["total"] == 10

    def test_what_cannot_be_stored_is_told(self, wire: Wire) -> None:
        bad = span(1)
        bad["attributes"] = [each for each in bad["attributes"] if each["key"] != "gen_ai.usage.input_tokens"]
        told = wire(TRACES, traces(bad, span(2))).json()["partialSuccess"]
        assert told["rejectedSpans"] == "1"
        assert "input_tokens" in told["errorMessage"]
        assert wire.total("tokens")["total"] == 10

    @pytest.mark.parametrize("number", [{"doubleValue": "NaN"}, {"doubleValue": "-Infinity"}, {"doubleValue": "1e400"}])
    def test_a_number_that_is_none_takes_no_other_span_with_it(self, wire: Wire, number: dict[str, Any]) -> None:
        bad = span(1)
        bad["attributes"][1]["value"] = number
        told = wire(TRACES, traces(bad, span(2))).json()["partialSuccess"]
        assert told["rejectedSpans"] == "1"
        assert told["errorMessage"].startswith("data.input_tokens")
        assert wire.total("tokens")["total"] == 10

    @pytest.mark.parametrize(
        "change",
        [
            {"startTimeUnixNano": "soon"},
            {"endTimeUnixNano": "9" * 5_000},
            {"endTimeUnixNano": "1e9"},
            {"attributes": [{"key": "n", "value": {"intValue": "many"}}]},
            {"attributes": [{"key": "n", "value": {"intValue": "9" * 5_000}}]},
        ],
    )
    def test_what_is_no_span(self, wire: Wire, change: dict[str, Any]) -> None:
        refused = wire(TRACES, traces({**span(1), **change}))
        assert (refused.status_code, "64 bits" in refused.json()["detail"]) == (400, True)

    def test_more_than_one_request_may_have_of_events(self, wire: Wire) -> None:
        spans = [span(n, tokens=1) for n in range(10_500)]
        packed = gzip.compress(json.dumps(traces(*spans)).encode())
        assert wire(TRACES, packed, **{"content-encoding": "gzip"}).json() == {}
        assert wire.total("tokens")["total"] == 10_500

    @pytest.mark.parametrize(
        ("body", "media", "status"),
        [
            (b"{", "application/json", 400),
            (b"[]", "application/json", 400),
            (b"\xff\xff\xff", "application/x-protobuf", 400),
            (b"{}", "text/plain", 415),
            (
                b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz", "spanId": ""}]}]}]}',
                "application/json",
                400,
            ),
            (b"x" * 50_000_000, "application/x-protobuf", 413),
        ],
    )
    def test_bodies_that_are_none(self, wire: Wire, body: bytes, media: str, status: int) -> None:
        refused = wire(TRACES, body, **{"content-type": media})
        assert refused.status_code == status, refused.text

    def test_an_organizations_own_key(self, wire: Wire) -> None:
        organization = wire.server.organization(wire.namespace)
        key = wire.server.key(organization, scopes=["events:write", "usage:read"])
        headers = {"authorization": f"Bearer {key}"}
        assert wire(TRACES, traces(span(1, tenant="somebody else")), **headers).json() == {}
        told = wire.total("tokens", group_by="organization")
        assert [each["group"]["organization"] for each in told["groups"]] == [organization]
        assert wire(f"{TRACES}?namespace=unsiloed", traces(span(2)), **headers).status_code == 403
        reader = wire.server.key(organization, scopes=["usage:read"])
        assert wire(TRACES, traces(span(2)), authorization=f"Bearer {reader}").status_code == 403

    def test_keys_and_namespaces(self, wire: Wire) -> None:
        admin = {"authorization": f"Bearer {ADMIN_KEY}"}
        assert wire(TRACES, traces(span(1)), **admin).status_code == 400
        assert wire(f"{TRACES}?namespace={wire.namespace}", traces(span(1)), **admin).status_code == 200
        assert wire(f"{TRACES}?namespace=unsiloed", traces(span(1))).status_code == 403
        assert wire(TRACES, traces(span(1)), authorization="Bearer wrong").status_code == 401


class TestSums:
    def test_a_data_point_counts_once(self, wire: Wire) -> None:
        for _ in range(2):
            assert wire(METRICS, sums("12345678901234567")).json() == {}
        assert (
            wire(METRICS, sums("1", temporality="AGGREGATION_TEMPORALITY_DELTA", timeUnixNano=str(NOW_NS + 1))).json()
            == {}
        )
        assert wire.total("bytes")["total"] == 12345678901234568

    def test_doubles(self, wire: Wire) -> None:
        body = sums(None, asDouble=0.1)
        assert wire(METRICS, body).json() == {}
        assert wire.total("bytes")["total"] == Decimal("0.1")

    @pytest.mark.parametrize("value", ["NaN", "Infinity", 1e-40, 1e300])
    def test_a_value_that_is_none_takes_no_other_with_it(self, wire: Wire, value: object) -> None:
        body = sums(None, asDouble=value)
        body["resourceMetrics"] += sums("5", timeUnixNano=str(NOW_NS + 1))["resourceMetrics"]
        told = wire(METRICS, body).json()["partialSuccess"]
        assert told["rejectedDataPoints"] == "1"
        assert told["errorMessage"].startswith("data.bytes")
        assert wire(METRICS, sums(None, asDouble=value, name="other")).json() == {}
        assert wire.total("bytes")["total"] == 5

    def test_a_time_that_is_none(self, wire: Wire) -> None:
        assert wire(METRICS, sums("5", timeUnixNano="soon")).status_code == 400

    def test_running_totals_are_refused(self, wire: Wire) -> None:
        told = wire(METRICS, sums("5", temporality=2)).json()["partialSuccess"]
        assert told["rejectedDataPoints"] == "1"
        assert "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta" in told["errorMessage"]
        assert wire(METRICS, sums("5", temporality=2, name="other")).json() == {}
        assert wire.total("bytes")["total"] == 0

    def test_gauges_are_passed_over(self, wire: Wire) -> None:
        gauge = {"name": "http.egress", "gauge": {"dataPoints": [{"asInt": "5"}]}}
        assert wire(METRICS, {"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]}).json() == {}


def test_protobuf_without_its_package_is_told(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('opentelemetry')")
    with serve(tmp_path / "data", within=("env", f"PYTHONPATH={hidden.parent}")) as server:
        wire = Wire(server)
        refused = wire(TRACES, b"", **{"content-type": "application/x-protobuf"})
        assert refused.status_code == 415
        assert "pip install 'meterhouse[otlp]'" in refused.json()["detail"]
        assert wire(TRACES, traces(span(1))).status_code == 200
