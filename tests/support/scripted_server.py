"""A server that answers what a test says, one request after the other, and then takes all events."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What is answered to a request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    report: dict[str, Any] | None = None
    """None for a refusal, or for one that tells that all was taken."""
    text: str | None = None
    """What is answered instead of a report or a refusal."""


@dataclass
class Asked:
    """A request that came."""

    at_s: float
    path: str
    events: list[dict[str, Any]]


class ScriptedServer:
    """Has what came, in its order."""

    def __init__(self, answers: Sequence[Answer]):
        waiting = [*answers]
        self.asked: list[Asked] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(handler) -> None:  # noqa: N805 - as the base has it; `self` is the server
                body = handler.rfile.read(int(handler.headers["content-length"]))
                if handler.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                events = [json.loads(line) for line in body.splitlines()]
                self.asked.append(Asked(time.monotonic(), handler.requestline.split()[1], events))
                answer = waiting.pop(0) if waiting else Answer()
                if answer.status == 200:
                    taken = {"ingested": len(events), "duplicates": 0, "conflicts": 0, "rejected": 0, "errors": []}
                    content = json.dumps(answer.report or taken).encode()
                else:
                    content = json.dumps({"code": "told", "detail": "as the test says"}).encode()
                if answer.text is not None:
                    content = answer.text.encode()
                handler.send_response(answer.status)
                for name, text in answer.headers.items():
                    handler.send_header(name, text)
                handler.send_header("content-length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def scripted(*answers: Answer) -> Iterator[ScriptedServer]:
    server = ScriptedServer(answers)
    try:
        yield server
    finally:
        server.close()
