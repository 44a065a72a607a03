"""A server in front of another that does what servers do on their worst day."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import httpx

Fault = str
FAULTS: tuple[Fault, ...] = ("429", "500", "503", "reset", "reset after", "half", "hang", "hang after", "nothing")
HANGS_S = 0.6


class FaultyServer:
    """Hands requests on, with a fault where `choose` says one for the number of a request."""

    def __init__(self, behind: str, choose: Callable[[int], Fault | None]):
        numbers = count()
        self.requests = 0
        done = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: object) -> None:
                pass

            def do_POST(handler) -> None:  # noqa: N805 - as the base has it; `self` is the server
                self.requests += 1
                body = handler.rfile.read(int(handler.headers["content-length"]))
                fault = choose(next(numbers))
                if fault in ("429", "500", "503"):
                    handler.answer(int(fault), b'{"code":"x","detail":"told to"}')
                    return
                if fault == "reset":
                    handler.reset()
                    return
                if fault == "hang":
                    done.wait(HANGS_S)
                    handler.reset()
                    return
                headers = {n: t for n, t in handler.headers.items() if n.lower() not in ("host", "content-length")}
                answer = httpx.post(behind + handler.path, content=body, headers=headers, trust_env=False, timeout=30)
                if fault == "reset after":
                    handler.reset()
                elif fault == "hang after":
                    done.wait(HANGS_S)
                    handler.reset()
                elif fault == "half":
                    handler.send_response(answer.status_code)
                    handler.send_header("content-length", str(len(answer.content)))
                    handler.end_headers()
                    handler.wfile.write(answer.content[: len(answer.content) // 2])
                    handler.reset()
                elif fault == "nothing":
                    handler.answer(200, b"<html>a proxy that means well</html>")
                else:
                    handler.answer(answer.status_code, answer.content)

            def answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(content)

            def reset(self) -> None:
                self.wfile.flush()
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._done = done
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._done.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def faulty(behind: str, choose: Callable[[int], Fault | None]) -> Iterator[FaultyServer]:
    server = FaultyServer(behind, choose)
    try:
        yield server
    finally:
        server.close()
