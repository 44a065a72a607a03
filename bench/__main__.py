"""`make bench ARGS="--events 1000000"`: ingest and the five summaries, beside what bounds them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from cyclopts import App
from rich.console import Console
from rich.table import Table

from meterhouse.domain.event import parse_event
from meterhouse.storage.clickhouse.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.event_store import ClickHouseEventStore

from .workload import NOW, PRODUCTS, batches

ADMIN = {"authorization": "Bearer bench-admin-key-0123456789"}
BATCH_EVENTS = 1_000
CONNECTIONS = 4
SUBSCRIPTION = {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}

app = App(name="bench", result_action="return_value")


@app.default
def bench(*, events: int = 1_000_000, requests: int = 200, port: int = 8123, output: Path | None = None) -> None:
    """Measures a server with that many events in it.

    Parameters
    ----------
    events
        Events of the whole workload.
    requests
        Reads of each endpoint.
    port
        A free port on loopback.
    output
        Where to write the figures as JSON; bench/results/latest.json when absent.
    """
    figures: dict[str, Any] = {"events": events, "python": platform.python_version(), "cpus": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        figures["engine_events_per_s"] = engine_ceiling(Path(folder) / "ceiling", min(events, 100_000))
        with running_server(Path(folder) / "data", port) as (server, http):
            figures["idle_mib"] = resident_mib(server.pid)
            figures["http_requests_per_s"] = requests_per_s(lambda: http.get("/healthz"), requests)
            keys = set_up(http)
            figures["ingest_events_per_s"], figures["ingest_batch_ms"] = ingest(http, events)
            figures["loaded_mib"] = resident_mib(server.pid)
            figures["summary_ms"] = {
                product.namespace: quantiles(
                    lambda product=product: read(http, product.path, {product.header: keys[product.namespace]}),
                    requests,
                )
                for product in PRODUCTS
            }
        began = time.perf_counter()
        with running_server(Path(folder) / "data", port):
            figures["restart_s"] = round(time.perf_counter() - began, 2)
        # After the restart: parts that were merged into others are gone by then.
        figures["bytes_per_event"] = round(bytes_on_disk(Path(folder) / "data" / "events") / events, 1)
    figures["ingest_to_engine"] = round(figures["ingest_events_per_s"] / figures["engine_events_per_s"], 3)
    path = output or Path("bench/results/latest.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    show(figures)


def engine_ceiling(folder: Path, events: int) -> int:
    """Events a second that the store takes without HTTP, validated already, in commits of 10,000: events a second."""
    lines = [line for body in batches(PRODUCTS[1], events, 10_000) for line in body.split(b"\n")]
    parsed = [parse_event(line, "aitronos", {}, NOW) for line in lines]
    store = ClickHouseEventStore(ChdbEngine(folder))
    began = time.perf_counter()
    for begin in range(0, len(parsed), 10_000):
        store.append(parsed[begin : begin + 10_000], NOW)
    seconds = time.perf_counter() - began
    store.close()
    return round(len(parsed) / seconds)


@contextmanager
def running_server(data: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """The real server in a process of its own, ready to serve."""
    command = [sys.executable, "-m", "meterhouse", "serve", "--data", str(data), "--port", str(port)]
    environment = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN["authorization"].removeprefix("Bearer ")}
    with (
        subprocess.Popen([*command, "--now", NOW.isoformat()], env=environment, stdout=subprocess.DEVNULL) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http,
    ):
        try:
            while True:
                try:
                    if http.get("/readyz").is_success:
                        break
                except httpx.TransportError:
                    if server.poll() is not None:
                        raise SystemExit("the server did not start") from None
                    time.sleep(0.02)
            yield server, http
        finally:
            server.terminate()
            server.wait()


def set_up(http: httpx.Client) -> dict[str, str]:
    """The largest organization of each product, subscribed, and the credential for its summary."""
    keys = {}
    for product in PRODUCTS:
        body = {"id": product.organization(0), "name": product.namespace, "namespace": product.namespace}
        http.post("/v1/organizations", json=body, headers=ADMIN).raise_for_status()
        path = f"/v1/organizations/{product.organization(0)}"
        http.put(f"{path}/subscription", json=SUBSCRIPTION, headers=ADMIN).raise_for_status()
        made = http.post(f"{path}/keys", json={"user_id": "user-1"}, headers=ADMIN).raise_for_status().json()
        keys[product.namespace] = f"Bearer {made['key']}" if product.header == "authorization" else made["key"]
    return keys


def ingest(http: httpx.Client, events: int) -> tuple[int, dict[str, float]]:
    """Sends the workload in batches over several connections: events a second, and how long a batch takes."""
    share = events // len(PRODUCTS)
    latencies: list[float] = []
    sending = threading.Semaphore(CONNECTIONS * 2)  # bounds what is made ahead of the server
    headers = {**ADMIN, "content-type": "application/x-ndjson"}

    def send(namespace: str, body: bytes) -> None:
        began = time.perf_counter()
        answer = http.post("/v1/events", params={"namespace": namespace}, content=body, headers=headers)
        latencies.append((time.perf_counter() - began) * 1000)
        sending.release()
        report = answer.raise_for_status().json()
        assert not report["errors"], report["errors"][:2]

    # Made before the clock starts, a product at a time: the client shares the cores with the server.
    seconds = 0.0
    for product in PRODUCTS:
        bodies = list(batches(product, share, BATCH_EVENTS))
        began = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            sent = []
            for body in bodies:
                sending.acquire()
                sent.append(pool.submit(send, product.namespace, body))
            for each in sent:
                each.result()
        seconds += time.perf_counter() - began
    return round(share * len(PRODUCTS) / seconds), spread(latencies)


def read(http: httpx.Client, path: str, headers: dict[str, str]) -> None:
    answer = http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text


def quantiles(call: Callable[[], object], count: int) -> dict[str, float]:
    """Median and 99th percentile of a call, in milliseconds."""
    call()
    latencies = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        latencies.append((time.perf_counter() - began) * 1000)
    return spread(latencies)


def spread(latencies: list[float]) -> dict[str, float]:
    ordered = sorted(latencies)
    return {
        "p50": round(ordered[len(ordered) // 2], 2),
        "p99": round(ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)], 2),
    }


def requests_per_s(call: Callable[[], object], count: int) -> int:
    """How many calls a second one connection gets."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return round(count / (time.perf_counter() - began))


def resident_mib(pid: int) -> int:
    """Resident memory of a process; Linux only, like the engine's wheels are mostly."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def bytes_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def show(figures: dict[str, Any]) -> None:
    """The table at the end."""
    table = Table(
        "what", "figure", title=f"{figures['events']:,} events, {figures['cpus']} cores", title_justify="left"
    )
    batch = figures["ingest_batch_ms"]
    table.add_row("ingest over HTTP, batches of 1,000, 4 connections", f"{figures['ingest_events_per_s']:,} events/s")
    table.add_row("  one batch, p50 / p99", f"{batch['p50']} / {batch['p99']} ms")
    table.add_row("the store alone, commits of 10,000", f"{figures['engine_events_per_s']:,} events/s")
    table.add_row("  ratio", f"{figures['ingest_to_engine']}")
    for namespace, each in figures["summary_ms"].items():
        table.add_row(
            f"summary of the largest organization, {namespace}, p50 / p99", f"{each['p50']} / {each['p99']} ms"
        )
    table.add_row("/healthz, one connection", f"{figures['http_requests_per_s']:,} requests/s")
    table.add_row("resident memory, idle / loaded", f"{figures['idle_mib']} / {figures['loaded_mib']} MiB")
    table.add_row("on disk", f"{figures['bytes_per_event']} bytes an event")
    table.add_row("restart to ready", f"{figures['restart_s']} s")
    Console(width=110).print(table)


if __name__ == "__main__":
    app()
