"""The kinds of usage that are told, and where events have them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_WHO = ("project_id", "user_id", "api_key_id")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of usage."""

    summary: str
    result: str
    """The `object` of a result, which decides its type in clients."""
    sums: Mapping[str, str]
    """The numbers of a result, each with the property of events that it adds up."""
    count: str | None = "num_model_requests"
    """The number of a result that counts events, if there is one."""
    groups: tuple[str, ...] = (*_WHO, "model")
    filters: tuple[str, ...] = (*_WHO, "model")
    event_type: str | None = None
    """The type of its events; None: those that tell of tokens."""
    embeddings: bool | None = None
    """Of those: whether embeddings are meant, or all others."""


KINDS: Mapping[str, Kind] = {
    "completions": Kind(
        "Tokens of completions",
        "organization.usage.completions.result",
        {
            "input_tokens": "input_tokens",
            "output_tokens": "output_tokens",
            "input_cached_tokens": "cached_tokens",
            "input_cache_write_tokens": "cache_write_tokens",
            "input_audio_tokens": "input_audio_tokens",
            "output_audio_tokens": "output_audio_tokens",
        },
        groups=(*_WHO, "model", "batch", "service_tier"),
        filters=(*_WHO, "model", "batch"),
        embeddings=False,
    ),
    "embeddings": Kind(
        "Tokens of embeddings",
        "organization.usage.embeddings.result",
        {"input_tokens": "input_tokens"},
        embeddings=True,
    ),
    "moderations": Kind(
        "Tokens of moderations",
        "organization.usage.moderations.result",
        {"input_tokens": "input_tokens"},
        event_type="llm.moderation",
    ),
    "images": Kind(
        "Images",
        "organization.usage.images.result",
        {"images": "images"},
        groups=(*_WHO, "model", "size", "source"),
        filters=(*_WHO, "model", "size", "source"),
        event_type="llm.image",
    ),
    "audio_speeches": Kind(
        "Characters that were spoken",
        "organization.usage.audio_speeches.result",
        {"characters": "characters"},
        event_type="llm.speech",
    ),
    "audio_transcriptions": Kind(
        "Seconds that were transcribed",
        "organization.usage.audio_transcriptions.result",
        {"seconds": "seconds"},
        event_type="llm.transcription",
    ),
    "vector_stores": Kind(
        "Bytes of vector stores",
        "organization.usage.vector_stores.result",
        {"usage_bytes": "usage_bytes"},
        count=None,
        groups=("project_id",),
        filters=("project_id",),
        event_type="llm.vector_store",
    ),
    "code_interpreter_sessions": Kind(
        "Sessions of the code interpreter",
        "organization.usage.code_interpreter_sessions.result",
        {},
        count="num_sessions",
        groups=("project_id",),
        filters=("project_id",),
        event_type="llm.code_interpreter",
    ),
    "file_search_calls": Kind(
        "Searches of files",
        "organization.usage.file_searches.result",
        {},
        count="num_requests",
        groups=(*_WHO, "vector_store_id"),
        filters=(*_WHO, "vector_store_id"),
        event_type="llm.file_search",
    ),
    "web_search_calls": Kind(
        "Searches of the web",
        "organization.usage.web_searches.result",
        {"num_model_requests": "model_requests"},
        count="num_requests",
        groups=(*_WHO, "model", "context_level"),
        filters=(*_WHO, "model", "context_level"),
        event_type="llm.web_search",
    ),
}
"""By the last part of the path."""
