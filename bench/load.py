"""The load client: requests made beforehand, sent over a few connections by raw asyncio, in a process of its own.

It shares the cores with what it measures, so that it does as little as it can and says how much of them it took.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

import msgspec

_PROCESS_CHARACTERS = 24
"""Of a request's id: the others count the requests of the process."""


class Plan(msgspec.Struct):
    """What to send. The requests are sent in turn, from the first again when there are fewer than `count`."""

    port: int
    connections: int
    requests: list[bytes]
    count: int
    seconds: float = 600.0
    """No new request is begun after that long."""
    rate: float | None = None
    """Requests a second to begin at most; as fast as answers come when absent."""
    process: str = ""
    """What the ids of requests begin with in the only process of the server that is to take them; any when empty."""


class Measured(msgspec.Struct):
    """What came of it; latencies in milliseconds, from sending to the whole answer."""

    answered: int
    seconds: float
    p50: float
    p99: float
    cpu_share: float
    """Of one core, taken by this client."""
    failures: int
    first_failure: str

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class Load:
    """A load under way, in a process of its own."""

    def __init__(self, plan: Plan, folder: Path):
        path = folder / f"plan-{time.monotonic_ns()}"
        path.write_bytes(msgspec.msgpack.encode(plan))
        self._deadline = plan.seconds + 60
        self._process = subprocess.Popen([sys.executable, "-m", "bench.load", str(path)], stdout=subprocess.PIPE)

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def stop(self) -> Measured:
        """Begins no further request, and waits for the last answer."""
        self._process.terminate()
        return self.finish()

    def finish(self) -> Measured:
        """Waits for the last answer. Whatever failed ends the benchmark: figures beside errors mean nothing."""
        try:
            answer, _ = self._process.communicate(timeout=self._deadline)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise SystemExit("the load did not end") from None
        measured = msgspec.json.decode(answer, type=Measured)
        if measured.failures or not measured.answered:
            raise SystemExit(f"{measured.failures} requests failed, the first with {measured.first_failure!r}")
        return measured


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {text}" for name, text in headers.items()), "", ""]).encode() + body


def process_of(connection: HTTPConnection) -> str:
    """What the ids of requests begin with in the process that took the connection."""
    connection.request("GET", "/healthz")
    with connection.getresponse() as response:
        response.read()
        return response.headers.get("x-request-id", "")[:_PROCESS_CHARACTERS]


def connected_to(port: int, process: str) -> socket.socket:
    """A connection that this process has taken. The system deals them out: others are closed until one is right."""
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.connect()
        if not process or process_of(connection) == process:
            assert connection.sock is not None  # it is connected
            connection.sock.settimeout(0)
            return connection.sock
        connection.close()


class _Run:
    def __init__(self, plan: Plan):
        self.plan = plan
        self.begun = 0
        self.began = self.ended = time.perf_counter()
        self.latencies: list[float] = []
        self.failures: list[str] = []

    async def run(self) -> Measured:
        loop = asyncio.get_running_loop()
        cpu = _cpu_seconds()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        wanted = min(self.plan.connections, self.plan.count)
        connected = [connected_to(self.plan.port, self.plan.process) for _ in range(wanted)]
        self.began = time.perf_counter()
        open_connections = []
        for each in connected:
            _, connection = await loop.create_connection(lambda: _Connection(self), sock=each)
            open_connections.append(connection.done)
        await asyncio.gather(*open_connections)
        seconds = self.ended - self.began
        return Measured(
            answered=len(self.latencies),
            seconds=seconds,
            p50=quantile(self.latencies, 0.5),
            p99=quantile(self.latencies, 0.99),
            cpu_share=(_cpu_seconds() - cpu) / max(seconds, 1e-9),
            failures=len(self.failures),
            first_failure=self.failures[0] if self.failures else "",
        )

    def _stop(self) -> None:
        self.begun = self.plan.count

    def take(self) -> tuple[bytes, float] | None:
        """The next request, and how long to wait with it."""
        passed = time.perf_counter() - self.began
        if self.begun >= self.plan.count or passed >= self.plan.seconds or self.failures:
            return None
        due = self.begun / self.plan.rate - passed if self.plan.rate else 0.0
        taken = self.plan.requests[self.begun % len(self.plan.requests)]
        self.begun += 1
        return taken, due


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run):
        loop = asyncio.get_running_loop()
        self._run, self._loop = run, loop
        self.done: asyncio.Future[None] = loop.create_future()
        self._transport: asyncio.Transport
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self._run.failures.append(f"the connection was closed: {exc}")
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        _, _, length = head.partition(b"content-length:")
        if len(self._buffer) < end + 4 + int(length.split(b"\r\n", 1)[0] or b"0"):
            return
        run = self._run
        run.ended = time.perf_counter()
        run.latencies.append((run.ended - self._sent) * 1000)
        # An ingest lists the events that it did not take.
        if head[9:10] != b"2" or b'"errors":[{' in self._buffer:
            run.failures.append(self._buffer[:600].decode(errors="replace"))
        self._buffer = b""
        self._next()

    def _next(self) -> None:
        if (taken := self._run.take()) is None:
            self.done.set_result(None)
            self._transport.close()
            return
        body, due = taken
        if due > 0:
            self._loop.call_later(due, self._send, body)
        else:
            self._send(body)

    def _send(self, body: bytes) -> None:
        self._sent = time.perf_counter()
        self._transport.write(body)


def quantile(latencies: Sequence[float], part: float) -> float:
    """The latency that this part of them does not exceed."""
    return sorted(latencies)[min(len(latencies) - 1, int(len(latencies) * part))] if latencies else 0.0


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    plan_file = Path(sys.argv[1])
    plan = msgspec.msgpack.decode(plan_file.read_bytes(), type=Plan)
    plan_file.unlink()
    print(msgspec.json.encode(asyncio.run(_Run(plan).run())).decode())
