"""Killed at any moment, the server has what it acknowledged, once. `make crash ROUNDS=300` for longer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from crash.harness import Crashes
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.meter import Aggregation, Meter, MeterQuery
from meterhouse.storage.clickhouse.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine import EngineError
from meterhouse.storage.clickhouse.event_store import ClickHouseEventStore
from reference import ReferenceStore
from server import ADMIN_KEY, event, serve

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "30"))
SEED = int(os.environ.get("CRASH_SEED", "1"))


def test_killed_again_and_again_under_load_it_answers_for_what_it_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    crashes = Crashes(tmp_path / "data", SEED)
    try:
        crashes.play(ROUNDS)
    except BaseException as failure:
        if crashes.tally.kills:
            crashes.take_inventory()
        failure.add_note(f"{crashes.tally}\nagain: CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS} pytest tests/crash")
        raise
    crashes.take_inventory()
    print(f"\nCRASH_SEED={SEED}: {crashes.tally}")
    assert (crashes.tally.lost, crashes.tally.doubled, crashes.tally.foreign) == (0, 0, 0), str(crashes.tally)
    assert crashes.tally.kills == ROUNDS


class FailingEngine(ChdbEngine):
    """Every third insert fails on its way to the disk, and every third when it is there."""

    def __init__(self, folder: Path, random: Random):
        super().__init__(folder)
        self._random = random
        self.reached = False
        """Whether the latest insert is on the disk."""

    def insert(self, table: str, block: bytes) -> None:
        self.reached = False
        fate = self._random.randrange(3)
        if fate == 0:
            raise EngineError("no space left on device")
        super().insert(table, block)
        self.reached = True
        if fate == 1:
            raise EngineError("fsync failed")


def test_inserts_that_fail_before_or_after_the_disk_are_counted_once_when_they_are_repeated(tmp_path: Path) -> None:
    """With restarts between, against the reference, which is told only what reached the disk."""
    random = Random(SEED)
    now = datetime(2026, 6, 15, tzinfo=UTC)
    count = Meter("count", "thing", Aggregation.COUNT)
    amount = Meter("sum", "thing", Aggregation.SUM, values=("n",))
    reference, failures = ReferenceStore(), {True: 0, False: 0}
    engine = FailingEngine(tmp_path / "events", random)
    store = ClickHouseEventStore(engine)

    def some_event() -> Event:
        number = random.randrange(400)
        content = number if random.random() < 0.9 else -number  # sometimes not what was sent before under this id
        at = (now - timedelta(days=random.randrange(150))).isoformat()
        raw = f'{{"specversion": "1.0", "id": "{number}", "source": "s", "type": "thing", "subject": "acme",'
        return parse_event(f'{raw} "time": "{at}", "data": {{"n": {content}}}}}'.encode(), "ns", {}, now)

    def hold() -> None:
        edges = (None, None)
        told = store.measure(MeterQuery("ns", "acme", (count, amount), edges, store.latest_commit()))
        asked = reference.measure(MeterQuery("ns", "acme", (count, amount), edges, reference.latest_commit()))
        assert [measure.value for measure in told] == [measure.value for measure in asked], f"CRASH_SEED={SEED}"

    try:
        for _ in range(50):
            batch = [some_event() for _ in range(random.randint(1, 12))]
            while True:
                try:
                    outcomes = store.append(batch, now)
                except EngineError:
                    failures[engine.reached] += 1
                    if engine.reached:
                        reference.append(batch, now)
                    hold()
                    if random.random() < 0.2:
                        store.close()
                        engine = FailingEngine(tmp_path / "events", random)
                        store = ClickHouseEventStore(engine)
                else:
                    assert outcomes == reference.append(batch, now), f"CRASH_SEED={SEED}"
                    hold()
                    break
        assert store.count() == reference.count()
        assert min(failures.values()) > 10
    finally:
        store.close()


def test_every_request_that_a_stopping_server_has_taken_is_answered(tmp_path: Path) -> None:
    with serve(tmp_path, now="2026-06-15T12:00:00Z") as server:
        org = server.organization("unsiloed")
        bodies = [json.dumps([event("credit.used", org, {"amount": 1}) for _ in range(200)]) for _ in range(4)]
        taken = []
        for body in bodies:
            connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
            head = (
                "POST /v1/events?namespace=unsiloed HTTP/1.1",
                "host: localhost",
                f"authorization: Bearer {ADMIN_KEY}",
                "content-type: application/json",
                f"content-length: {len(body)}",
                "expect: 100-continue",
            )
            connection.sendall("\r\n".join([*head, "", ""]).encode())
            assert connection.recv(1_000).startswith(b"HTTP/1.1 100")  # now somebody waits for the body
            taken.append(connection)
        server.process.send_signal(signal.SIGTERM)
        for connection, body in zip(taken, bodies, strict=True):
            connection.sendall(body.encode())
        for connection in taken:
            with connection:
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                assert (answer.status, json.load(answer)["ingested"]) == (200, 200)
        assert server.process.wait(timeout=30) == 0
    with serve(tmp_path, now="2026-06-15T12:00:00Z") as server:
        assert server.usage(org)["meters"]["credits"]["used"] == 800
