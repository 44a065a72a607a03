"""Tokens of what OpenAI's and Anthropic's own libraries answer, whole and in pieces, to programs that wait or await."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from meterhouse_client.llm import record_answer, record_async_stream, record_stream
from support.models import models
from support.recorded import Recorded

ASKED = [{"role": "user", "content": "hello there"}]
COUNTED = {"input_tokens": 30, "output_tokens": 7, "cached_tokens": 10, "cache_write_tokens": 5}
OPENAI = [("llm.usage", "acme", {"model": "gpt-small-2026", **COUNTED})]
ANTHROPIC = [("llm.usage", "acme", {"model": "claude-small-2026", **COUNTED})]
CHAT: dict[str, Any] = {"model": "gpt-small", "messages": ASKED}
RESPONSE: dict[str, Any] = {"model": "gpt-small", "input": "hello there"}
MESSAGE: dict[str, Any] = {"model": "claude-small", "max_tokens": 10, "messages": ASKED}
INCLUDED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with models() as running:
        yield running


@pytest.fixture
def meter() -> Recorded:
    return Recorded()


def test_openai(url: str, meter: Recorded) -> None:
    with OpenAI(base_url=f"{url}/v1", api_key="key") as client:
        answer = record_answer(meter, "acme", client.chat.completions.create(**CHAT))
        assert answer.choices[0].message.content == "hi you"
        assert record_answer(meter, "acme", client.responses.create(**RESPONSE)).output_text == "hi you"
        pieces = [*record_stream(meter, "acme", client.chat.completions.create(**CHAT, **INCLUDED))]
        assert "".join(each.choices[0].delta.content or "" for each in pieces if each.choices) == "hi you"
        assert len([*record_stream(meter, "acme", client.responses.create(**RESPONSE, stream=True))]) == 3
        assert meter.events == OPENAI * 4
        [*record_stream(meter, "acme", client.chat.completions.create(**CHAT, stream=True))]
        assert meter.events == OPENAI * 4  # nobody has asked for the usage


def test_anthropic(url: str, meter: Recorded) -> None:
    with Anthropic(base_url=url, api_key="key") as client:
        answer = record_answer(meter, "acme", client.messages.create(**MESSAGE))
        assert answer.content[0].text == "hi you"
        assert len([*record_stream(meter, "acme", client.messages.create(**MESSAGE, stream=True))]) == 6
        with client.messages.stream(**MESSAGE) as stream:
            [*record_stream(meter, "acme", stream)]
        assert meter.events == ANTHROPIC * 3
        left = record_stream(meter, "acme", client.messages.create(**MESSAGE, stream=True))
        next(left)
        left.close()  # type: ignore[attr-defined]
        assert meter.events[-1][2] == {"model": "claude-small-2026", **COUNTED, "output_tokens": 1}


def test_those_that_await(url: str, meter: Recorded) -> None:
    async def asked() -> None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="key") as openai:
            record_answer(meter, "acme", await openai.chat.completions.create(**CHAT))
            stream = await openai.chat.completions.create(**CHAT, **INCLUDED)
            assert len([each async for each in record_async_stream(meter, "acme", stream)]) == 3
            stream = await openai.responses.create(**RESPONSE, stream=True)
            assert len([each async for each in record_async_stream(meter, "acme", stream)]) == 3
        assert meter.events == OPENAI * 3
        meter.events.clear()
        async with AsyncAnthropic(base_url=url, api_key="key") as anthropic:
            record_answer(meter, "acme", await anthropic.messages.create(**MESSAGE))
            stream = await anthropic.messages.create(**MESSAGE, stream=True)
            async for _ in record_async_stream(meter, "acme", stream, team="blue"):
                pass
            stream = await anthropic.messages.create(**MESSAGE, stream=True)
            left = record_async_stream(meter, "acme", stream)
            await anext(left)
            await left.aclose()  # type: ignore[attr-defined]
        [whole, streamed, early] = [data for _, _, data in meter.events]
        assert whole == ANTHROPIC[0][2]
        assert streamed == {**whole, "team": "blue"}
        assert early == {**whole, "output_tokens": 1}

    asyncio.run(asked())
