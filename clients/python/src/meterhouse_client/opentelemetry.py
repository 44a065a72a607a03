"""A span processor for OpenTelemetry: spans of the GenAI semantic conventions are token events. Needs
`opentelemetry-sdk`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta, timezone
from typing import Any

from opentelemetry import baggage  # type: ignore[import-not-found, unused-ignore]
from opentelemetry.context import Context  # type: ignore[import-not-found, unused-ignore]
from opentelemetry.sdk.trace import (  # type: ignore[import-not-found, unused-ignore]
    ReadableSpan,
    Span,
    SpanProcessor,
)

from .llm import EVENT_TYPE
from .meter import Meter
from .telling import tell

ORGANIZATION = "meterhouse.organization"
INFERENCE = frozenset({"chat", "text_completion", "generate_content", "embeddings"})
"""Operations that ask a model. An agent's or a workflow's span adds up those within it: both would count twice."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# What an event has, and where a span may have it: the newest name first, then those of earlier conventions.
_TOKENS = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cached_tokens": ("gen_ai.usage.cache_read.input_tokens",),
    "cache_write_tokens": ("gen_ai.usage.cache_creation.input_tokens",),
}
_TEXTS = {
    "model": ("gen_ai.response.model", "gen_ai.request.model"),
    "provider": ("gen_ai.provider.name", "gen_ai.system"),
    "operation": ("gen_ai.operation.name",),
}


class MeterhouseSpanProcessor(SpanProcessor):  # type: ignore[misc, unused-ignore]
    """Records an event for each span that has asked a model and tells of tokens: `model`, `provider`, `operation`,
    `input_tokens`, `output_tokens`, `cached_tokens` and `cache_write_tokens`, at the end of the span.

    The event's id is made of the trace's and the span's: it counts once, whoever sends it again. What prevents it is
    told to `on_error`, or logged. A span that the sampler drops is never seen here: count with one that records all.
    """

    def __init__(
        self,
        meter: Meter,
        *,
        organization: str | Callable[[ReadableSpan], str | None] = ORGANIZATION,
        operations: Collection[str] = INFERENCE,
        event_type: str = EVENT_TYPE,
        on_error: Callable[[Exception], None] | None = None,
    ):
        """`organization` names the attribute that tells whose span it is, which a span that begins under a baggage with
        an entry of that name is given; or it is called with the span. A span of nobody is not counted, nor one of
        another operation than `operations`; one that names none is."""
        self._meter = meter
        self._organization = organization
        self._operations = operations
        self._event_type = event_type
        self._on_error = on_error

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Gives a span the organization of the baggage that it begins under."""
        if isinstance(self._organization, str):
            carried = baggage.get_baggage(self._organization, parent_context)
            if isinstance(carried, str) and carried:
                span.set_attribute(self._organization, carried)

    def on_end(self, span: ReadableSpan) -> None:
        """Records what it has used."""
        try:
            self._record(span)
        except Exception as failure:  # noqa: BLE001 - what is wrong here is not the program's that is traced
            tell(failure, self._on_error)

    def _record(self, span: ReadableSpan) -> None:
        attributes = span.attributes or {}
        counted = {name: _first(attributes, places) for name, places in _TOKENS.items()}
        texts = {name: _first(attributes, places) for name, places in _TEXTS.items()}
        used = counted["input_tokens"] is not None or counted["output_tokens"] is not None
        if not used or texts["operation"] not in (None, *self._operations):
            return
        whose = self._organization
        organization = attributes.get(whose) if isinstance(whose, str) else whose(span)
        if not organization:
            return
        told = {name: str(text) for name, text in texts.items() if text is not None}
        data = {**told, **{name: count or 0 for name, count in counted.items()}}
        at = _EPOCH + timedelta(microseconds=span.end_time // 1000) if span.end_time is not None else None
        name = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
        self._meter.record(self._event_type, str(organization), data, at=at, id=name)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Has everything sent that was recorded; answers whether that was done in time."""
        return self._meter.flush(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Leaves the meter open: whoever made it closes it, or the end of the program does."""


def _first(attributes: Any, places: tuple[str, ...]) -> Any:
    return next((attributes[place] for place in places if place in attributes), None)
