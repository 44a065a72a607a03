"""The callback with LiteLLM itself, which has an environment of its own: calls are events, counted once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from support.server import ADMIN_KEY, Server

pytestmark = pytest.mark.thorough  # LiteLLM takes many seconds to import, where it has not been imported yet
ROOT = Path(__file__).parents[2]
LITELLM = Path(sys.prefix) / "clients/litellm"
CALLS = """
import asyncio, json, sys, time, types
sys.modules["soundfile"] = types.ModuleType("soundfile")  # LiteLLM's cache looks for what only its speech needs
import litellm
from litellm.caching.caching import Cache
from meterhouse_client import Meter
from meterhouse_client.litellm import MeterhouseLogger, organization_of

class Told(Meter):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.told = []

    def record(self, event_type, organization, data=None, **identity):
        self.told.append((event_type, organization, data, {name: str(value) for name, value in identity.items()}))
        if organization == "broken":
            raise RuntimeError("the meter is broken")
        return super().record(event_type, organization, data, **identity)

class Again(MeterhouseLogger):
    '''Is called back twice for everything, the second time later.'''
    def log_success_event(self, **told):
        super().log_success_event(**told)
        super().log_success_event(**told)

    async def async_log_success_event(self, **told):
        await super().async_log_success_event(**told)
        await super().async_log_success_event(**told)

url, key, organization = sys.argv[1:4]
meter = Told(url, key, namespace="unsiloed", linger_s=5)
failures = []
def whose(call):
    name = organization_of(call)
    return None if name == "hidden" else name

litellm.callbacks = [Again(meter, organization=whose, on_error=failures.append)]
hello = {"model": "openai/gpt-4o", "messages": [{"role": "user", "content": "hello there"}], "mock_response": "hi you"}

def settled(count):
    until = time.monotonic() + 20
    while len(meter.told) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert len(meter.told) == count, meter.told

assert litellm.completion(**hello, user=organization).choices[0].message.content == "hi you"
assert len([*litellm.completion(**hello, metadata={"organization": organization}, user="someone", stream=True)]) > 1
litellm.embedding(model="openai/text-embedding-3-small", input=["hi"], mock_response=[0.1], user=organization)
settled(6)

async def awaiting():
    await litellm.acompletion(**hello, user=organization)
    async for _ in await litellm.acompletion(**hello, user=organization, stream=True):
        pass
asyncio.run(awaiting())  # the loop ends at once
settled(10)

litellm.completion(**hello)
litellm.completion(**hello, user="hidden")
assert litellm.completion(**hello, user="broken").choices
settled(12)
try:
    refused = litellm.RateLimitError("no", "openai", "gpt-4o")
    litellm.completion(**{**hello, "mock_response": refused}, user=organization)
except litellm.RateLimitError:
    pass
litellm.cache = Cache()
assert not litellm.completion(**hello, user=organization, caching=True)._hidden_params.get("cache_hit")
settled(14)
assert litellm.completion(**hello, user=organization, caching=True)._hidden_params["cache_hit"]
time.sleep(0.5)
settled(14)
assert meter.close(20)
print(json.dumps({"told": meter.told, "failures": [str(each) for each in failures], "counts": vars(meter.counts)}))
"""


@pytest.fixture(scope="module")
def called(server: Server) -> tuple[str, dict[str, Any]]:
    """What was recorded of many calls."""
    organization = server.organization("unsiloed")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(LITELLM), str(ROOT / "clients/python/src")]),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [sys.executable, "-c", CALLS, str(server.http.base_url), ADMIN_KEY, organization]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return organization, json.loads(done.stdout.splitlines()[-1])


def test_calls_are_events_once_however_often_litellm_calls_back(called: tuple[str, dict[str, Any]]) -> None:
    organization, told = called
    counts = told["counts"]
    assert (counts["ingested"], counts["duplicates"]) == (6, 6)
    assert (counts["conflicts"], counts["rejected"], counts["dropped"]) == (0, 0, 0)
    assert {name for _, name, _, _ in told["told"]} == {organization, "broken"}
    first, again = told["told"][::2], told["told"][1::2]
    assert [each[3] for each in first] == [each[3] for each in again]  # the id, and the time: when the call began
    assert all(each[3]["id"] and each[3]["at"].startswith("20") for each in first)
    assert len({each[3]["id"] for each in first}) == len(first)


def test_what_an_event_says(called: tuple[str, dict[str, Any]]) -> None:
    _, told = called
    whole, stream, embedding, awaited, awaited_stream = told["told"][0:10:2]
    for kind, _, data, _ in (whole, stream, awaited, awaited_stream):
        assert (kind, data["model"], data["provider"]) == ("llm.usage", "gpt-4o", "openai")
        assert Decimal(data["input_tokens"]) > 0
        assert Decimal(data["output_tokens"]) > 0
        assert (data["cached_tokens"], data["cache_write_tokens"]) == (0, 0)
    assert (embedding[2]["model"], embedding[2]["output_tokens"]) == ("text-embedding-3-small", 0)


def test_a_meter_that_fails_does_not_fail_the_call(called: tuple[str, dict[str, Any]]) -> None:
    assert called[1]["failures"] == ["the meter is broken"] * 2
