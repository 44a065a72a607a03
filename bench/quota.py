"""Checks and reservations beside a PostgreSQL and a Redis that count, in turn: `python -m bench.quota REQUESTS`.

PostgreSQL gets `UPDATE … SET used = used + 1 WHERE used + 1 <= limit` over as many connections, without HTTP in front:
what a product would do that keeps a counter of its own. Redis, where there is a `redis-server`, gets a script that
checks, and one that holds an amount: with each answer on the disk before it is given, as reservations are, and without.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg

from .load import Load, Measured, Plan
from .postgres import running_postgres
from .redis import CHECK, RESERVE, SERVER, Connection, running_redis
from .servers import ADMIN, Running, meterhouse
from .workload import PRODUCTS, request

_CONNECTIONS = 32
_LIMIT = 10**9
_KEYS = (b"used", b"ends", b"amounts")


def prepared(server: Running) -> str:
    """An organization with a limit that is never reached; its id."""
    namespace = PRODUCTS[0].namespace
    made = server.http.post(
        "/v1/organizations", headers=ADMIN, json={"id": "quota", "name": "quota", "namespace": namespace}
    )
    made.raise_for_status()
    [*meters] = server.http.get("/v1/organizations/quota/usage", headers=ADMIN).json()["meters"]
    subscription = {"plan": None, "anchor": "2026-01-01", "interval": "P1M", "limits": dict.fromkeys(meters, _LIMIT)}
    server.http.put("/v1/organizations/quota/subscription", headers=ADMIN, json=subscription).raise_for_status()
    for meter in meters:
        asked = {"meter": meter, "amount": 1}
        if server.http.post("/v1/organizations/quota/check", headers=ADMIN, json=asked).status_code == 200:
            return str(meter)
    raise SystemExit("no meter of the workload can be held to a limit")


def measured(folder: Path, requests: int) -> tuple[Measured, Measured]:
    """Checks, and then reservations, of one organization."""
    with meterhouse(folder / "data", cached=False) as server:
        meter = prepared(server)
        headers = {**ADMIN, "content-type": "application/json"}
        path = "/v1/organizations/quota"
        question = msgspec.json.encode({"meter": meter, "amount": 1})
        checks = [request("POST", f"{path}/check", headers, question)]
        wanted = [request("POST", f"{path}/reservations", headers, msgspec.json.encode({"meter": meter, "amount": 1}))]
        return (
            Load(Plan(server.port, _CONNECTIONS, checks, requests), folder).finish(),
            Load(Plan(server.port, _CONNECTIONS, wanted, requests), folder).finish(),
        )


def updates_a_second(requests: int) -> float:
    """A counter in PostgreSQL, of one row."""
    with running_postgres() as uri:
        with psycopg.connect(uri, autocommit=True) as admin:
            admin.execute("CREATE TABLE quotas (id text PRIMARY KEY, used numeric, most numeric)")
            admin.execute(f"INSERT INTO quotas VALUES ('quota', 0, {_LIMIT})".encode())

        def count(share: int) -> None:
            with psycopg.connect(uri, autocommit=True) as connection:
                for _ in range(share):
                    connection.execute("UPDATE quotas SET used = used + 1 WHERE id = 'quota' AND used + 1 <= most")

        began = time.perf_counter()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            [*pool.map(count, [requests // _CONNECTIONS] * _CONNECTIONS)]
        return requests // _CONNECTIONS * _CONNECTIONS / (time.perf_counter() - began)


def scripts_a_second(requests: int, script: bytes, *, durable: bool) -> float:
    """A script of Redis, about one organization."""
    with running_redis(durable=durable) as path:

        def ask(client: int) -> None:
            with Connection(path) as redis:
                digest = redis.ask(b"SCRIPT", b"LOAD", script)
                for number in range(requests // _CONNECTIONS):
                    more = (b"%d-%d" % (client, number), b"%d" % time.time())
                    answer = redis.ask(b"EVALSHA", digest, b"3", *_KEYS, b"1", b"%d" % _LIMIT, *more)
                    if answer != b"1":
                        raise SystemExit(f"Redis answered {answer!r} though there is room")

        began = time.perf_counter()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            [*pool.map(ask, range(_CONNECTIONS))]
        return requests // _CONNECTIONS * _CONNECTIONS / (time.perf_counter() - began)


def main() -> None:
    """Prints a line for each."""
    requests = int(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as data:
        checks, reservations = measured(Path(data), requests)
    updates = updates_a_second(requests)
    for name, load in (("checks", checks), ("reservations", reservations)):
        print(
            f"{name}: {load.per_s:,.0f}/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, "
            f"{load.per_s / updates:.1f} × the updates; {load.failures} failed; "
            f"the client took {load.cpu_share:.0%} of a core"
        )
    print(f"updates of a row in PostgreSQL: {updates:,.0f}/s")
    if SERVER is None:
        print("scripts in Redis: not measured, there is no redis-server")
        return
    for name, script, durable in (
        ("checks", CHECK, True),
        ("reservations, durable", RESERVE, True),
        ("reservations, in memory only", RESERVE, False),
    ):
        print(f"scripts in Redis, {name}: {scripts_a_second(requests, script, durable=durable):,.0f}/s")


if __name__ == "__main__":
    main()
