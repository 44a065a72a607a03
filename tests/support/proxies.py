"""A network between two addresses of this machine that a test can cut."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes on what comes to an address, until it is cut."""

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]):
        self._listen, self._target = listen, target
        self._open: set[socket.socket] = set()
        self._server: socket.socket | None = None
        self.heal()

    def heal(self) -> None:
        self._server = socket.create_server(self._listen)
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def cut(self) -> None:
        """Ends all connections, and takes no new ones."""
        server, self._server = self._server, None
        if server is not None:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            server.close()
        for each in [*self._open]:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            try:
                target = socket.create_connection(self._target)
            except OSError:  # nobody is there
                client.close()
                continue
            self._open |= {client, target}
            for source, sink in ((client, target), (target, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._open.discard(source)
        source.close()


@contextmanager
def proxies(listen: str, target: str, ports: range) -> Iterator[list[Proxy]]:
    """One for each of some ports, between two addresses."""
    made = [Proxy((listen, port), (target, port)) for port in ports]
    try:
        yield made
    finally:
        for each in made:
            each.cut()
