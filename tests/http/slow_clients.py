"""Keeps unfinished connections open: `python slow_clients.py PORT ADMIN_KEY HEADERS BODIES SILENT`.

Headers and bodies get a byte each second. What the server closes is opened again. Prints `ready` when all are open for
the first time, and ends when standard input does.
"""

from __future__ import annotations

import itertools
import resource
import selectors
import socket
import sys
import time
from contextlib import suppress

ROUND_S = 0.02
ROUNDS = 50
"""In which every connection has its turn once: a second."""


def main() -> None:
    port, key = int(sys.argv[1]), sys.argv[2]
    head = f"POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
    begins = {
        "header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "body": f"{head}Content-Type: application/json\r\nContent-Length: 9000\r\n\r\n[".encode(),
        "silent": b"",
    }
    wanted = dict(zip(begins, map(int, sys.argv[3:6]), strict=True))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    held: dict[str, set[socket.socket]] = {kind: set() for kind in begins}
    said = False
    for number in itertools.count():
        began = time.monotonic()
        for kind, connections in held.items():
            turn = [each for each in connections if each.fileno() % ROUNDS == number % ROUNDS]
            for connection in turn if kind != "silent" else ():
                with suppress(OSError):  # closed by the server; found below
                    connection.send(b" ")
            while len(connections) < wanted[kind]:
                connection = socket.create_connection(("127.0.0.1", port), timeout=30)
                connection.sendall(begins[kind])
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_READ, kind)
                connections.add(connection)
        if not said:
            print("ready", flush=True)
            said = True
        while (left := began + ROUND_S - time.monotonic()) > 0:
            for found, _ in selector.select(left):
                if found.data is None:
                    return
                connection = found.fileobj
                assert isinstance(connection, socket.socket)
                try:
                    open_still = bool(connection.recv(65536))
                except OSError:
                    open_still = False
                if not open_still:
                    selector.unregister(connection)
                    held[found.data].discard(connection)
                    connection.close()


if __name__ == "__main__":
    main()
