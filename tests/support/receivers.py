"""Receivers of webhooks on loopback, which do what tests want them to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)  # type: ignore[no-any-return]


Answer = Callable[[BaseHTTPRequestHandler, Received], None]


def answering(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _received: Received) -> None:
        handler.send_response(status)
        for name, text in headers.items():
            handler.send_header(name, text)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


OK = answering(200, b"thanks")


@dataclass
class Receiver:
    """`answer` may be exchanged while it runs."""

    port: int = 0
    answer: Answer = OK
    received: list[Received] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def wait_for(self, count: int, seconds: int = 60) -> list[Received]:
        """The first so many requests, as soon as they are there."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, seconds), self.received
            return self.received[:count]

    def types(self) -> list[str]:
        return [each.event["type"] for each in self.received]


@contextmanager
def receiving(answer: Answer = OK, port: int = 0, host: str = "127.0.0.1") -> Iterator[Receiver]:
    receiver = Receiver(answer=answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received = Received(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
            with receiver.changed:
                receiver.received.append(received)
                receiver.changed.notify_all()
            receiver.answer(self, received)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Senders hang up when they have seen enough."""

    with Listening((host, port), Handler) as listening:
        receiver.port = listening.server_port
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            listening.shutdown()


def eventually(ask: Callable[[], Any], seconds: int = 60) -> Any:
    """What is asked for, as soon as it is true."""
    until = time.monotonic() + seconds
    while not (found := ask()):
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.05)
    return found


def _log_to(file: Path) -> Answer:
    """Answers when what it has received is on the disk, as a receiver does that must not lose anything."""

    def answer(handler: BaseHTTPRequestHandler, received: Received) -> None:
        with file.open("ab") as log:
            log.write(json.dumps([received.id, received.event]).encode() + b"\n")
            log.flush()
            os.fsync(log.fileno())
        OK(handler, received)

    return answer


class ReceiverProcess:
    """A receiver in a process of its own, which can be killed and started again on its port."""

    def __init__(self, file: Path):
        self._file = file
        self.port = 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.receivers", str(self._file), str(self.port)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def received(self) -> list[tuple[str, dict[str, Any]]]:
        """The id of each message and what it says, in the order in which they came. A line may be torn by a kill."""
        lines = self._file.read_bytes().split(b"\n") if self._file.exists() else []
        return [tuple(json.loads(line)) for line in lines if line.endswith(b"]")]

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    with receiving(_log_to(Path(sys.argv[1])), int(sys.argv[2])) as running:
        print(running.port, flush=True)
        threading.Event().wait()
