"""LiteLLM's own callbacks for OpenMeter and for Lago, with another address and key."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.openmeter_clients import namespace_key
from support.server import Server

pytestmark = pytest.mark.thorough  # LiteLLM takes many seconds to import, where it has not been imported yet
CALLS = """
import sys, types
sys.modules["soundfile"] = types.ModuleType("soundfile")  # LiteLLM's cache looks for what only its speech needs
import litellm

litellm.callbacks = ["openmeter", "lago"]
for _ in range(3):
    litellm.completion(
        model="gpt-4o",
        messages=[{"role": "user", "content": "How much?"}],
        mock_response="So much.",
        user="acme",
        metadata={"user_api_key_user_id": "acme"},
    )
from litellm.litellm_core_utils.thread_pool_executor import executor
executor.shutdown(wait=True)
"""


def test_what_litellm_sends_counts_on_both_wires(server: Server, tmp_path: Path) -> None:
    key = namespace_key(server, "litellm")
    headers = {"authorization": f"Bearer {key}"}
    meter = {
        "slug": "tokens",
        "aggregation": "SUM",
        "eventType": "litellm_tokens",
        "valueProperty": "$.total_tokens",
        "groupBy": {"model": "$.model"},
    }
    assert server.http.post("/openmeter/api/v1/meters", json=meter, headers=headers).status_code == 201
    address = f"http://127.0.0.1:{server.port}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(sys.prefix) / "clients/litellm"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENMETER_API_ENDPOINT": f"{address}/openmeter",
        "OPENMETER_API_KEY": key,
        "LAGO_API_BASE": f"{address}/lago/",
        "LAGO_API_KEY": key,
        "LAGO_API_EVENT_CODE": "completion",
        "LAGO_API_CHARGE_BY": "user_id",
    }
    command = [sys.executable, "-c", CALLS]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    asked = {"groupBy": ["subject", "model"]}
    rows = server.http.get("/openmeter/api/v1/meters/tokens/query", params=asked, headers=headers).json()["data"]
    assert [(row["subject"], row["groupBy"]) for row in rows] == [("acme", {"model": "gpt-4o"})]
    assert rows[0]["value"] > 0
    events = server.http.get("/lago/api/v1/events", params={"code": "completion"}, headers=headers).json()
    assert [each["external_subscription_id"] for each in events["events"]] == ["acme"] * 3
