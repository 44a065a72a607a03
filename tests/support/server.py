"""The real server, in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import httpx
import msgspec

from support.documents import documents_of
from support.own_document import OWN_DOCUMENT
from support.processes import Process

CANNOT = "cannot run here: "
"""What the reason of a skip begins with that no set-up of this machine could change."""
ADMIN_KEY = "test-admin-key-0123456789"
_numbers = count(1)
_decoder = msgspec.json.Decoder(float_hook=Decimal)


def altered(key: str) -> str:
    """Another key, which was never minted: its last character is another one."""
    return key[:-1] + ("0" if key[-1] != "0" else "1")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A server on loopback, with what tests do to one."""

    data: Path
    port: int
    process: Process | subprocess.Popen[bytes]
    http: httpx.Client
    log: Path

    def printed(self) -> str:
        """What it has said so far."""
        return self.log.read_text()

    def admin(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {ADMIN_KEY}", **options.pop("headers", {})}
        return self.http.request(method, path, json=body, headers=headers, **options)

    def organization(self, namespace: str, subscription: dict[str, Any] | None = None, **fields: Any) -> str:
        """A new organization with an id of its own."""
        body = {"id": f"org-{next(_numbers)}", "name": "Acme", "namespace": namespace, **fields}
        made = self.admin("POST", "/v1/organizations", body)
        assert made.status_code == 201, made.text
        if subscription is not None:
            self.subscribe(body["id"], subscription)
        return str(body["id"])

    def subscribe(self, organization: str, subscription: dict[str, Any]) -> None:
        put = self.admin("PUT", f"/v1/organizations/{organization}/subscription", subscription)
        assert put.status_code == 200, put.text

    def key(self, organization: str, **fields: Any) -> str:
        made = self.admin("POST", f"/v1/organizations/{organization}/keys", fields)
        assert made.status_code == 201, made.text
        return str(made.json()["key"])

    def expired_key(self, organization: str, **fields: Any) -> dict[str, Any]:
        """A new key as it is after its time: it expires at the instant at which it was made, where the clock stands."""
        made: dict[str, Any] = self.admin("POST", f"/v1/organizations/{organization}/keys", fields).json()
        with closing(sqlite3.connect(self.data / "ledger.sqlite")) as ledger, ledger:
            ledger.execute("UPDATE keys SET expires_at = created_at WHERE id = ?", (made["id"],))
        return made

    def send(self, namespace: str, events: list[dict[str, Any]]) -> dict[str, Any]:
        sent = self.admin("POST", "/v1/events", events, params={"namespace": namespace})
        report: dict[str, Any] = sent.json()
        refused = (report["conflicts"] or report["rejected"]) and not (report["ingested"] or report["duplicates"])
        assert sent.status_code == (422 if refused else 200), sent.text
        return report

    def usage(self, organization: str) -> dict[str, Any]:
        """Meterhouse's own answer, numbers exact."""
        answer = self.admin("GET", f"/v1/organizations/{organization}/usage")
        assert answer.status_code == 200, answer.text
        return _decoder.decode(answer.content)  # type: ignore[no-any-return]

    def position(self) -> str:
        """Of the newest commit."""
        return f"0-{self.admin('GET', '/v1/rollups').json()['latest_commit']}"

    def folded(self) -> None:
        """Waits until everything that is stored is in rollups."""
        while (status := self.admin("GET", "/v1/rollups").json())["watermark"] < status["latest_commit"]:
            time.sleep(0.05)

    def kill(self) -> None:
        """All of its processes at once."""
        for process in [self.process.pid, *self.shards()]:
            os.kill(process or 0, signal.SIGKILL)
        self.process.wait()

    def shards(self) -> list[int]:
        """The processes of its shards, where it has several."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [
            int(child) for child in children if b"meterhouse.cli.shard" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def event(kind: str, organization: str, data: dict[str, Any], *, at: str | None = None, **more: Any) -> dict[str, Any]:
    """A CloudEvent with an id of its own."""
    made = {"specversion": "1.0", "id": f"e-{next(_numbers)}", "source": "tests", "type": kind, "subject": organization}
    return {**made, **({"time": at} if at else {}), "data": data, **more}


@contextmanager
def serve(
    data: Path,
    *,
    now: datetime | str | None = None,
    arguments: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
    within: tuple[str, ...] = (),
) -> Iterator[Server]:
    """Starts a server on a folder; ends it, if the test has not. What its contracts answer is held to their documents.

    `environment` is added to that of this process; `within` is a command that becomes the one it is given.
    """
    port = free_port()
    command = ["serve", "--data", str(data), "--port", str(port), *arguments]
    if now is not None:
        command += ["--now", now if isinstance(now, str) else now.isoformat()]
    variables = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY, **(environment or {})}
    hooks = {"response": [documents_of(environment).hook, OWN_DOCUMENT.hook]}
    with (
        NamedTemporaryFile(prefix="meterhouse-") as log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False, event_hooks=hooks) as http,
    ):
        process: Process | subprocess.Popen[bytes]
        if within:
            whole = [*within, sys.executable, "-m", "meterhouse", *command]
            process = subprocess.Popen(whole, stdout=log, stderr=subprocess.STDOUT, env=variables)
        else:
            process = Process(command, variables, printed=Path(log.name))
        server = Server(data, port, process, http, Path(log.name))
        try:
            for _ in range(600):
                try:
                    if http.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    if process.poll() is not None:
                        raise AssertionError(server.printed()) from None
                    time.sleep(0.05)
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
