"""Token events from the answers of language models: those of OpenAI's and Anthropic's libraries, and of whatever has
their shape, as objects or as decoded JSON."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any, TypeVar

from .meter import Meter

T = TypeVar("T")
EVENT_TYPE = "llm.usage"


def tokens(answer: Any) -> dict[str, Any] | None:
    """What an answer says of tokens: `model`, `input_tokens`, `output_tokens`, `cached_tokens` (of the input, read from
    a cache) and `cache_write_tokens`. None for one that says nothing, as most pieces of a stream.

    OpenAI counts cached tokens among the input, Anthropic beside it: here `input_tokens` has them in either case.
    """
    answer = _get(answer, "response") or answer  # the last piece of a stream of OpenAI's Responses has it whole
    message = _get(answer, "message")  # and the first of Anthropic's its message
    usage = _get(answer, "usage") or _get(message, "usage")
    if usage is None:
        return None
    model = _get(answer, "model") or _get(message, "model")
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    read = _get(details, "cached_tokens") or _get(usage, "cache_read_input_tokens") or 0
    written = _get(details, "cache_write_tokens") or _get(usage, "cache_creation_input_tokens") or 0
    if _get(usage, "prompt_tokens") is not None:
        told = (_get(usage, "prompt_tokens"), _get(usage, "completion_tokens"), read, written)
    else:
        whole = _get(usage, "input_tokens")
        if details is None and whole is not None:
            whole += read + written
        told = (whole, _get(usage, "output_tokens"), read, written)
    names = ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens")
    found = {name: value or 0 for name, value in zip(names, told, strict=True)}
    return {**({"model": str(model)} if model else {}), **found}


def record_answer(meter: Meter, organization: str, answer: T, *, event_type: str = EVENT_TYPE, **more: Any) -> T:
    """Records what an answer says of tokens, together with `more`, and gives the answer back."""
    if (found := tokens(answer)) is not None:
        meter.record(event_type, organization, {**found, **more})
    return answer


def record_stream(
    meter: Meter, organization: str, pieces: Iterable[T], *, event_type: str = EVENT_TYPE, **more: Any
) -> Iterator[T]:
    """Hands on the pieces of a stream, and records at its end what they have said of tokens: also when its reader
    leaves it early. OpenAI says it in the last piece, and in chat completions only where
    `stream_options={"include_usage": True}` asks for it; Anthropic in the first and the last."""
    whole: dict[str, Any] = {}
    try:
        for piece in pieces:
            _add(whole, piece)
            yield piece
    finally:
        if whole:
            meter.record(event_type, organization, {**whole, **more})


async def record_async_stream(
    meter: Meter, organization: str, pieces: AsyncIterable[T], *, event_type: str = EVENT_TYPE, **more: Any
) -> AsyncIterator[T]:
    """See `record_stream`: `async for piece in record_async_stream(…)`."""
    whole: dict[str, Any] = {}
    try:
        async for piece in pieces:
            _add(whole, piece)
            yield piece
    finally:
        if whole:
            meter.record(event_type, organization, {**whole, **more})


def _add(whole: dict[str, Any], piece: Any) -> None:
    """A piece of a stream that tells of tokens tells of all until then, or of some kinds of them: numbers only grow."""
    for name, value in (tokens(piece) or {}).items():
        whole[name] = value if isinstance(value, str) else max(value, whole.get(name, 0))


def _get(value: Any, name: str) -> Any:
    """A field of an object, or of a dictionary."""
    if value is None:
        return None
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
