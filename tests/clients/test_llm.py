"""Tokens of what models answer, in the shapes that the pages of their APIs show."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meterhouse_client.llm import record_answer, record_stream, tokens
from support.recorded import Recorded

CHAT = {
    "model": "gpt-small",
    "usage": {"prompt_tokens": 30, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 10}},
}
RESPONSE = {
    "model": "gpt-small",
    "usage": {"input_tokens": 30, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 10}},
}
MESSAGE = {
    "model": "claude-small",
    "usage": {
        "input_tokens": 15,
        "output_tokens": 7,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 5,
    },
}
COUNTED = {"input_tokens": 30, "output_tokens": 7, "cached_tokens": 10, "cache_write_tokens": 0}


def as_object(value: Any) -> Any:
    return SimpleNamespace(**{k: as_object(v) for k, v in value.items()}) if isinstance(value, dict) else value


@pytest.mark.parametrize("shape", [dict, as_object])
def test_tokens_of_an_answer(shape: Any) -> None:
    meter = Recorded()
    answer = shape(CHAT)
    assert record_answer(meter, "acme", answer, team="blue") is answer
    assert meter.events == [("llm.usage", "acme", {"model": "gpt-small", **COUNTED, "team": "blue"})]
    assert tokens(shape(RESPONSE)) == {"model": "gpt-small", **COUNTED}
    assert tokens(shape(MESSAGE)) == {"model": "claude-small", **COUNTED, "cache_write_tokens": 5}
    assert tokens(shape({"choices": []})) is None
    record_answer(meter, "acme", shape({"choices": []}))
    assert len(meter.events) == 1


def test_tokens_of_streams() -> None:
    meter = Recorded()
    chat = [{"choices": [1], "usage": None, "model": "gpt-small"}, {"choices": []} | CHAT]
    assert [*record_stream(meter, "acme", chat)] == chat
    responses = [{"type": "response.output_text.delta"}, {"type": "response.completed", "response": RESPONSE}]
    [*record_stream(meter, "acme", responses)]
    started = {"usage": {**MESSAGE["usage"], "output_tokens": 1}, "model": "claude-small"}  # type: ignore[dict-item]
    messages = [
        {"type": "message_start", "message": started},
        {"type": "content_block_delta"},
        {"type": "message_delta", "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    assert [*record_stream(meter, "acme", messages)] == messages
    assert [data for _, _, data in meter.events] == [
        {"model": "gpt-small", **COUNTED},
        {"model": "gpt-small", **COUNTED},
        {"model": "claude-small", **COUNTED, "cache_write_tokens": 5},
    ]
    left = record_stream(meter, "acme", messages)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert meter.events[-1][2]["output_tokens"] == 1
