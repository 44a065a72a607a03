"""Receivers of webhooks on loopback, which do what tests want them to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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
