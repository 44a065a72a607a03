"""The servers that are measured, each in a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from meterhouse.settings import from_environment

from .postgres_comparator import KEY
from .workload import CATALOGS, NOW, PRODUCTS, Product

ADMIN_KEY = "bench-admin-key-0123456789"
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
COMPARATOR = {"authorization": f"Bearer {KEY}"}
UNLIMITED = {"METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR": "0", "METERHOUSE_AUTOPOSTING_REQUESTS_PER_HOUR": "0"}
NO_CACHE = {"METERHOUSE_ANSWER_CACHE_MIB": "0"}
_LOOKS_EVERY_S = 0.5
_QUIET_SHARE = 0.1
"""Of a core: a server that takes less is quiet,"""
_QUIET_LOOKS = 3
"""when it is so at this many looks, one after the other."""
SUBSCRIPTION = {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is ready. What is read of its process is read of all processes that it has started, together."""

    port: int
    process: subprocess.Popen[bytes]
    http: httpx.Client
    ready_after: float
    """Seconds from starting the process."""

    def cpu_seconds(self) -> float:
        """Processor time that was taken, all threads together."""
        ticks = 0
        for pid in self._pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def wait_until_quiet(self, seconds: float = 600) -> None:
        """Waits until the server does next to nothing of its own accord: until its merges have ended, for instance."""
        began = time.perf_counter()
        quiet, before = 0, self.cpu_seconds()
        while quiet < _QUIET_LOOKS:
            if time.perf_counter() - began > seconds:
                raise SystemExit(f"the server was not quiet after {seconds} s")
            time.sleep(_LOOKS_EVERY_S)
            now = self.cpu_seconds()
            quiet = quiet + 1 if now - before <= _QUIET_SHARE * _LOOKS_EVERY_S else 0
            before = now

    def memory_mib(self, which: str = "VmRSS") -> int:
        """Resident memory now, or with VmHWM the most there has been. Linux only, as the engine's wheels mostly are."""
        statuses = [Path(f"/proc/{pid}/status").read_text() for pid in self._pids()]
        return sum(int(status.split(f"{which}:")[1].split()[0]) for status in statuses) // 1024

    def _pids(self) -> list[int]:
        own = self.process.pid
        return [own, *map(int, Path(f"/proc/{own}/task/{own}/children").read_text().split())]


@contextmanager
def running(command: list[str], port: int, probe: str, environment: Mapping[str, str]) -> Iterator[Running]:
    """A process that answers on the port; stopped at the end."""
    began = time.perf_counter()
    with (
        subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False) as http,
    ):
        try:
            while True:
                try:
                    if http.get(probe).status_code < 500:
                        break
                except httpx.TransportError:
                    pass
                if process.poll() is not None or time.perf_counter() - began > 600:
                    raise SystemExit(f"did not start: {' '.join(command)}")
                time.sleep(0.02)
            yield Running(port, process, http, time.perf_counter() - began)
        finally:
            process.terminate()
            try:
                if (code := process.wait(120)) not in (0, -signal.SIGTERM):  # uvicorn ends by the signal it was sent
                    print(f"ended with {code} when told to stop: {' '.join(command[1:4])}", file=sys.stderr)
            except subprocess.TimeoutExpired:
                process.kill()
                print(f"did not stop within two minutes: {' '.join(command[1:4])}", file=sys.stderr)


@contextmanager
def meterhouse(
    data: Path, *, cached: bool, shards: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Meterhouse on a folder, without rate limits, with or without its cache of answers; `environment` is added."""
    port = free_port()
    command = [sys.executable, "-m", "meterhouse", "serve", "--data", str(data), "--port", str(port)]
    command += ["--shards", str(shards)] if shards > 1 else []
    for catalog in CATALOGS:
        command += ["--catalog", str(catalog)]
    # A version without such a cache refuses the variable as that of an unknown contract.
    without = {} if from_environment(NO_CACHE).contract_options else NO_CACHE
    variables = {"METERHOUSE_ADMIN_KEY": ADMIN_KEY, **UNLIMITED, **({} if cached else without), **(environment or {})}
    with running([*command, "--now", NOW.isoformat()], port, "/readyz", variables) as server:
        yield server


@contextmanager
def comparator(uri: str) -> Iterator[Running]:
    """FastAPI on PostgreSQL."""
    port = free_port()
    with running([sys.executable, "-m", "bench.postgres_comparator", uri, str(port)], port, "/", {}) as server:
        yield server


@contextmanager
def constant(*, observed: bool) -> Iterator[Running]:
    """The HTTP ceiling."""
    port = free_port()
    command = [sys.executable, "-m", "bench.http_ceiling", str(port), "observed" if observed else "bare"]
    with running(command, port, "/constant", {}) as server:
        yield server


def set_up(http: httpx.Client) -> dict[str, str]:
    """The largest organization of each product, subscribed, and what its summary is asked with, by namespace."""
    keys = {}
    for product in PRODUCTS:
        path = f"/v1/organizations/{product.organization(0)}"
        body = {"id": product.organization(0), "name": product.namespace, "namespace": product.namespace}
        http.post("/v1/organizations", json=body, headers=ADMIN).raise_for_status()
        http.put(f"{path}/subscription", json=SUBSCRIPTION, headers=ADMIN).raise_for_status()
        made = http.post(f"{path}/keys", json=user_of(product), headers=ADMIN).raise_for_status().json()
        keys[product.namespace] = f"Bearer {made['key']}" if product.header == "authorization" else made["key"]
    return keys


def user_of(product: Product) -> dict[str, str]:
    """OnePin's summary tells a user's own credits; elsewhere a key stands for nobody in particular."""
    return {"user_id": "user-1"} if product.namespace == "onepin" else {}


def wait_until_folded(http: httpx.Client, seconds: float = 5_400) -> float:
    """Waits until all events are in the rollups; how many seconds. At once where there are no rollups."""
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        lines = http.get("/metrics").text.splitlines()
        unfolded = [float(line.split()[-1]) for line in lines if line.startswith("meterhouse_rollup_lag_events")]
        if not sum(unfolded):
            return time.perf_counter() - began
        time.sleep(0.5)
    raise SystemExit(f"not all events were folded after {seconds} s")


def settle(server: Running) -> None:
    """Waits until nothing that was begun before is still going on."""
    wait_until_folded(server.http)
    server.wait_until_quiet()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
