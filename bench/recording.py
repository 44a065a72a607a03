"""What recording an event costs a program, and how fast events are stored that way and on OpenMeter's wire:
`python -m bench.recording EVENTS`.

Client and server share the machine. Each `record` is timed while the sender sends what came before; then the server is
waited for until it has answered for all. OpenMeter's wire gets the same events in batches over one connection.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from .servers import ADMIN, ADMIN_KEY, Running, meterhouse

sys.path.insert(0, str(Path(__file__).parents[1] / "clients/python/src"))

from meterhouse_client import Meter

NAMESPACE = "recorded"
_CATALOG = f"""
namespace = "{NAMESPACE}"

[[meters]]
slug = "tokens"
event_type = "llm.usage"
aggregation = "SUM"
value = "tokens"
"""
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What recording has cost."""

    p50_us: float
    p99_us: float
    per_s: float
    """Events that were stored, from the first `record` to the last answer."""


@contextmanager
def prepared(folder: Path) -> Iterator[tuple[Running, str]]:
    """A server with a namespace, and a key that speaks for it."""
    with meterhouse(folder / "data", cached=True) as server:
        toml = {**ADMIN, "content-type": "application/toml"}
        server.http.put(f"/v1/namespaces/{NAMESPACE}/catalog", headers=toml, content=_CATALOG).raise_for_status()
        wanted = {"name": "bench", "role": "namespace", "namespace": NAMESPACE}
        yield server, server.http.post("/v1/operator-keys", headers=ADMIN, json=wanted).raise_for_status().json()["key"]


def recorded(server: Running, events: int) -> Recording:
    """Records events with the client."""
    took: list[int] = []
    url = f"http://127.0.0.1:{server.port}"
    with Meter(url, ADMIN_KEY, namespace=NAMESPACE, max_events=events) as meter:
        began = time.perf_counter()
        for _ in range(events):
            before = time.perf_counter_ns()
            meter.record("llm.usage", "acme", {"tokens": 1, "model": "small"})
            took.append(time.perf_counter_ns() - before)
        if not meter.flush(600):
            raise SystemExit("the server has not answered for all events")
        per_s = events / (time.perf_counter() - began)
        if meter.counts.dropped or meter.counts.ingested != events:
            raise SystemExit(f"not all events were stored: {meter.counts}")
    took.sort()
    return Recording(took[events // 2] / 1000, took[events * 99 // 100] / 1000, per_s)


def sent_as_openmeter(server: Running, key: str, events: int) -> float:
    """Sends events to OpenMeter's wire; how many a second."""
    headers = {"authorization": f"Bearer {key}", "content-type": "application/cloudevents-batch+json"}
    batches = [
        msgspec.json.encode([_event(number) for number in range(begin, min(begin + _BATCH, events))])
        for begin in range(0, events, _BATCH)
    ]
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", headers=headers, trust_env=False) as http:
        began = time.perf_counter()
        for batch in batches:
            if http.post("/openmeter/api/v1/events", content=batch).status_code != 204:
                raise SystemExit("a batch was refused")
        return events / (time.perf_counter() - began)


def _event(number: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"openmeter-{number}",
        "source": "bench",
        "type": "llm.usage",
        "subject": "acme",
        "time": "2026-03-10T00:00:00Z",
        "data": {"tokens": 1, "model": "small"},
    }


def main() -> None:
    """Prints a line for each."""
    events = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as folder, prepared(Path(folder)) as (server, key):
        recording = recorded(server, events)
        print(
            f"record: p50 {recording.p50_us:.1f} µs, p99 {recording.p99_us:.1f} µs; "
            f"{recording.per_s:,.0f} events/s until all were stored"
        )
        print(f"OpenMeter's wire, batches of {_BATCH:,}: {sent_as_openmeter(server, key, events):,.0f} events/s")


if __name__ == "__main__":
    main()
