"""The Python client in processes that are forked, and in event loops that end: nothing is shared that must not be."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from meterhouse_client import Meter
from support.server import ADMIN_KEY, Server

CLIENT = Path(__file__).parents[2] / "clients/python/src"
NOBODY = "http://127.0.0.1:9"


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(CLIENT)}
    return subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)


@pytest.fixture
def organization(server: Server) -> str:
    return server.organization("unsiloed")


def used(server: Server, organization: str) -> int:
    asked = {"organization": organization, "meter": "credits", "from": "2020-01-01", "to": "2100-01-01"}
    return int(server.admin("GET", "/v1/query", params=asked).json()["meters"][0]["total"])


FORKING = """
import json, os, sys
from meterhouse_client import Meter, SpoolError
url, key, organization, spool = sys.argv[1:5]
recording = Meter(url, key, namespace="unsiloed", linger_s=5)
spooling = Meter(url, key, namespace="unsiloed", spool=spool, linger_s=5)
ids = [recording.record("credit.used", organization, {"amount": 1}) for _ in range(3)]
read, write = os.pipe()
child = os.fork()
if not child:
    told = [recording.record("credit.used", organization, {"amount": 10}) for _ in range(2)]
    try:
        spooling.record("credit.used", organization, {"amount": 100})
    except SpoolError as wrong:
        told.append(str(wrong))
    assert recording.close()
    os.write(write, json.dumps(told).encode())
    os._exit(0)
os.close(write)
os.waitpid(child, 0)
ids += [recording.record("credit.used", organization, {"amount": 1})]
print(json.dumps([ids, json.loads(os.read(read, 10_000))]))
"""


def test_a_fork_sends_its_own_and_its_parent_the_rest_at_the_programs_end(
    server: Server, organization: str, tmp_path: Path
) -> None:
    done = run(FORKING, server.http.base_url, ADMIN_KEY, organization, tmp_path / "spool")
    assert done.returncode == 0, done.stderr
    ids, [*of_child, refused] = json.loads(done.stdout)
    assert "of the process that made this meter" in refused
    assert len({*ids, *of_child}) == 6
    assert used(server, organization) == 24


NAMING = """
import os, sys, time
time.time_ns = lambda: 10**18  # the same instant for both
from meterhouse_client import Meter
recording = Meter("http://127.0.0.1:9", "key", linger_s=60)
recording.record("credit.used", "acme")
read, write = os.pipe()
child = os.fork()
if not child:
    os.write(write, recording.record("credit.used", "acme").encode())
    os._exit(0)
os.waitpid(child, 0)
print(recording.record("credit.used", "acme"), os.read(read, 100).decode(), flush=True)
os._exit(0)
"""


def test_a_fork_gives_its_events_other_ids() -> None:
    done = run(NAMING)
    mine, of_child = done.stdout.decode().split()
    assert mine != of_child
    assert mine[:18] == of_child[:18]  # but for what is random


LEAVING = """
import os, signal, sys
from meterhouse_client import Meter
recording = Meter(sys.argv[1], "key", spool=sys.argv[2], linger_s=60)
for number in range(int(sys.argv[3])):
    recording.record("credit.used", "acme", {"amount": number})
child = os.fork()
if not child:
    sys.exit()
os.waitpid(child, 0)
recording.record("credit.used", "acme", {"amount": 99})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("before", [0, 3])
def test_a_fork_that_ends_leaves_its_parents_spool_alone(tmp_path: Path, before: int) -> None:
    """SQLite would take away the write-ahead log with the last connection that it knows of."""
    done = run(LEAVING, NOBODY, tmp_path / "spool", before)
    assert done.returncode == -9, done.stderr
    left = Meter(NOBODY, "key", spool=tmp_path / "spool", on_error=lambda _: None)
    assert left.waiting == before + 1
    left.close(0)


ASKING = """
import asyncio, json, os, sys
from meterhouse_client import AsyncClient, Client
url = sys.argv[1]
client, waiting = Client(url, "key"), AsyncClient(url, "key")
loop = asyncio.new_event_loop()

def ask():
    return [client.usage("acme")["port"], client.usage("acme")["port"],
            loop.run_until_complete(waiting.usage("acme"))["port"]]

asked = ask()
read, write = os.pipe()
child = os.fork()
if not child:
    os.write(write, json.dumps(ask()).encode())
    os._exit(0)
os.waitpid(child, 0)
print(json.dumps([asked, json.loads(os.read(read, 1000)), ask()]))
"""


@pytest.fixture
def telling_ports() -> Iterator[str]:
    """The URL of a server that tells from which port it was asked."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            content = json.dumps({"port": self.client_address[1]}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_fork_asks_over_connections_of_its_own(telling_ports: str) -> None:
    """On shared ones, each would read what the other has asked for."""
    done = run(ASKING, telling_ports)
    assert done.returncode == 0, done.stderr
    before, of_child, after = json.loads(done.stdout)
    assert before[0] == before[1]  # a connection is kept
    assert before == after
    assert set(of_child).isdisjoint(before)


def test_a_meter_sends_whatever_becomes_of_the_event_loop(server: Server, organization: str) -> None:
    meter = Meter(str(server.http.base_url), ADMIN_KEY, namespace="unsiloed", linger_s=0.02)

    async def recording(then: Any = None) -> None:
        meter.record("credit.used", organization, {"amount": 1})
        later.append(asyncio.create_task(asyncio.sleep(60)))
        if then is not None:
            raise then

    later: list[asyncio.Task[None]] = []
    asyncio.run(recording())  # the loop ends with a task that is left
    with pytest.raises(KeyError):
        asyncio.run(recording(KeyError()))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(recording())
    later[-1].cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert meter.close(10)
    assert used(server, organization) == 3
