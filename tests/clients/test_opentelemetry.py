"""The span processor with OpenTelemetry's own SDK: spans of the GenAI conventions are events, counted once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.trace import Tracer

from meterhouse_client import InvalidEvent, Meter
from meterhouse_client.opentelemetry import MeterhouseSpanProcessor
from support.recorded import Recorded
from support.server import ADMIN_KEY, Server

CHAT = {
    gen_ai.GEN_AI_OPERATION_NAME: "chat",
    gen_ai.GEN_AI_PROVIDER_NAME: "anthropic",
    gen_ai.GEN_AI_REQUEST_MODEL: "claude-small",
    gen_ai.GEN_AI_RESPONSE_MODEL: "claude-small-2026",
    gen_ai.GEN_AI_USAGE_INPUT_TOKENS: 30,
    gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: 7,
    gen_ai.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS: 10,
    gen_ai.GEN_AI_USAGE_CACHE_CREATION_INPUT_TOKENS: 5,
}
COUNTED = {
    "model": "claude-small-2026",
    "provider": "anthropic",
    "operation": "chat",
    "input_tokens": 30,
    "output_tokens": 7,
    "cached_tokens": 10,
    "cache_write_tokens": 5,
}


@pytest.fixture
def meter() -> Recorded:
    return Recorded()


@pytest.fixture
def told() -> list[Exception]:
    return []


def tracer(meter: Meter, told: list[Exception], sampler: Any = None, **options: Any) -> Iterator[Tracer]:
    """Of a provider that is shut down at the end."""
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(MeterhouseSpanProcessor(meter, on_error=told.append, **options))
    yield provider.get_tracer("test")
    provider.shutdown()


@pytest.fixture
def tracing(meter: Recorded, told: list[Exception]) -> Iterator[Tracer]:
    yield from tracer(meter, told)


def test_a_span_that_asked_a_model_is_an_event(meter: Recorded, told: list[Exception], tracing: Tracer) -> None:
    with tracing.start_as_current_span("chat", attributes={**CHAT, "meterhouse.organization": "acme"}) as span:
        pass
    assert meter.events == [("llm.usage", "acme", COUNTED)]
    [(name, at)] = meter.identities
    spoken = span.get_span_context()
    assert name == f"{spoken.trace_id:032x}-{spoken.span_id:016x}"
    assert isinstance(span, ReadableSpan)
    assert span.end_time is not None
    assert at is not None
    assert at == datetime.fromtimestamp(span.end_time // 10**9, UTC).replace(microsecond=span.end_time // 1000 % 10**6)
    assert told == []


def test_the_names_of_earlier_conventions(meter: Recorded, tracing: Tracer) -> None:
    old = {
        gen_ai.GEN_AI_SYSTEM: "openai",
        gen_ai.GEN_AI_REQUEST_MODEL: "gpt-small",
        gen_ai.GEN_AI_USAGE_PROMPT_TOKENS: 12,
        gen_ai.GEN_AI_USAGE_COMPLETION_TOKENS: 0,
        "meterhouse.organization": "acme",
    }
    tracing.start_span("chat", attributes=old).end()
    [(_, _, data)] = meter.events
    assert data == {
        "model": "gpt-small",
        "provider": "openai",
        "input_tokens": 12,
        "output_tokens": 0,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
    }


def test_spans_that_add_up_others_or_are_nobodys_are_not_counted(meter: Recorded, tracing: Tracer) -> None:
    of_acme = {**CHAT, "meterhouse.organization": "acme"}
    with tracing.start_as_current_span("agent", attributes={**of_acme, gen_ai.GEN_AI_OPERATION_NAME: "invoke_agent"}):
        tracing.start_span("chat", attributes=of_acme).end()
    tracing.start_span("nobody", attributes=CHAT).end()
    tracing.start_span("request", attributes={"meterhouse.organization": "acme", "http.route": "/"}).end()
    assert len(meter.events) == 1


def test_whose_span_it_is(meter: Recorded, told: list[Exception], tracing: Tracer) -> None:
    token = context.attach(baggage.set_baggage("meterhouse.organization", "carried"))
    try:
        with tracing.start_as_current_span("request"):
            tracing.start_span("chat", attributes=CHAT).end()
    finally:
        context.detach(token)
    tracing.start_span(
        "chat", baggage.set_baggage("meterhouse.organization", "given"), attributes=CHAT
    ).end()  # a context that is not the current one
    for organization in ("tenant.id", lambda span: span.attributes["tenant.id"].lower()):
        for other in tracer(meter, told, organization=organization, event_type="tokens"):
            other.start_span("chat", attributes={**CHAT, "tenant.id": "ACME"}).end()
    assert [(kind, name) for kind, name, _ in meter.events] == [
        ("llm.usage", "carried"),
        ("llm.usage", "given"),
        ("tokens", "ACME"),
        ("tokens", "acme"),
    ]


def test_other_operations_where_they_are_asked_for(meter: Recorded, told: list[Exception]) -> None:
    for other in tracer(meter, told, operations={"invoke_agent"}):
        for operation in ("chat", "invoke_agent"):
            attributes = {**CHAT, gen_ai.GEN_AI_OPERATION_NAME: operation, "meterhouse.organization": "acme"}
            other.start_span(operation, attributes=attributes).end()
    assert [data["operation"] for _, _, data in meter.events] == ["invoke_agent"]


def test_what_prevents_an_event_is_told_and_what_is_not_sampled_is_not_seen(
    meter: Recorded, told: list[Exception], tracing: Tracer
) -> None:
    meter.fails = InvalidEvent("organization must have 1 to 512 characters")
    tracing.start_span("chat", attributes={**CHAT, "meterhouse.organization": "acme"}).end()
    assert told == [meter.fails]
    for other in tracer(meter, told, organization=lambda _: 1 / 0):
        other.start_span("chat", attributes=CHAT).end()
    assert isinstance(told[-1], ZeroDivisionError)
    meter.fails = None
    for unsampled in tracer(meter, told, ALWAYS_OFF):
        unsampled.start_span("chat", attributes={**CHAT, "meterhouse.organization": "acme"}).end()
    assert (meter.events, len(told)) == ([], 2)


def test_a_span_that_ends_twice_is_the_same_event_on_a_real_server(server: Server, told: list[Exception]) -> None:
    organization = server.organization("unsiloed")
    with Meter(str(server.http.base_url), ADMIN_KEY, namespace="unsiloed", linger_s=5) as meter:
        processor = MeterhouseSpanProcessor(meter, on_error=told.append)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(processor)
        provider.add_span_processor(MeterhouseSpanProcessor(meter, on_error=told.append))
        span = provider.get_tracer("test").start_span(
            "chat", attributes={**CHAT, "meterhouse.organization": organization}
        )
        span.end()
        assert provider.force_flush()
        assert (meter.waiting, meter.counts.ingested, meter.counts.duplicates) == (0, 1, 1)
        provider.shutdown()
        meter.record("credit.used", organization, {"amount": Decimal(1)})  # the meter is its owner's to close
    assert (meter.counts.ingested, told) == (2, [])
