"""Killed at any moment, the server has what it acknowledged, once. `make crash ROUNDS=300` for longer."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from crash.harness import Crashes
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.meter import Aggregation, Meter, MeterQuery
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import EngineError
from support.depth import by_depth
from support.reference import ReferenceStore
from support.server import ADMIN_KEY, event, serve
from support.stores import crash, failing_disk, open_on, stored_only_when_asked

ROUNDS = int(os.environ.get("CRASH_ROUNDS", by_depth(4, 16, 300)))
INSERTS = by_depth(24, 80, 400)
SEED = int(os.environ.get("CRASH_SEED", "1"))


@pytest.mark.parametrize("shards", [1, pytest.param(3, marks=pytest.mark.thorough)])
def test_killed_again_and_again_under_load_it_answers_for_what_it_acknowledged_and_nothing_else(
    tmp_path: Path, shards: int
) -> None:
    crashes = Crashes(tmp_path / "data", SEED, shards)
    try:
        crashes.play(ROUNDS)
    except BaseException as failure:
        if crashes.tally.kills:
            crashes.take_inventory()
        failure.add_note(f"{crashes.tally}\nagain: CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS} pytest tests/crash")
        raise
    crashes.take_inventory()
    print(f"\nCRASH_SEED={SEED}: {crashes.tally}")
    assert crashes.tally.faultless, str(crashes.tally)
    assert crashes.tally.kills == ROUNDS


class FailingEngine(ChdbEngine):
    """Every third insert fails on its way to the disk, and every third when it is there."""

    random: Random

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        fate = self.random.randrange(3)
        if fate == 0:
            raise EngineError("no space left on device")
        super().insert(table, block, token)
        if fate == 1:
            raise EngineError("fsync failed")


def test_what_fails_in_the_journal_or_on_the_way_to_the_engine_is_counted_once_when_it_is_repeated(
    tmp_path: Path,
) -> None:
    """With restarts and crashes between, against the reference, which is told only what was taken."""
    random = FailingEngine.random = Random(SEED)
    now = datetime(2026, 6, 15, tzinfo=UTC)
    count = Meter("count", "thing", Aggregation.COUNT)
    amount = Meter("sum", "thing", Aggregation.SUM, values=("n",))
    (store, _), reference = open_on(tmp_path, FailingEngine), ReferenceStore()
    failures = {"journal": 0, "engine": 0}

    def some_event() -> Event:
        number = random.randrange(400)
        content = number if random.random() < 0.9 else -number  # sometimes not what was sent before under this id
        at = (now - timedelta(days=random.randrange(150))).isoformat()
        raw = f'{{"specversion": "1.0", "id": "{number}", "source": "s", "type": "thing", "subject": "acme",'
        return parse_event(f'{raw} "time": "{at}", "data": {{"n": {content}}}}}'.encode(), "ns", {}, now)

    def patiently(asked: Callable[[], Any]) -> Any:
        while True:
            try:
                return asked()
            except EngineError:
                failures["engine"] += 1

    def hold() -> None:
        def told() -> list[Decimal]:
            query = MeterQuery("ns", "acme", (count, amount), (None, None), store.latest_commit())
            return [measure.value for measure in store.measure(query)]

        query = MeterQuery("ns", "acme", (count, amount), (None, None), reference.latest_commit())
        assert patiently(told) == [measure.value for measure in reference.measure(query)], f"CRASH_SEED={SEED}"

    with stored_only_when_asked():
        for _ in range(INSERTS):
            batch = [some_event() for _ in range(random.randint(1, 12))]
            if random.random() < 0.4:
                known = reference.count()
                with failing_disk(), suppress(EngineError):
                    store.append(batch, now)  # of which there may be nothing to write
                failures["journal"] += 1
                if random.random() < 0.5:
                    crash(store) if random.random() < 0.7 else store.close()
                    store, _ = patiently(lambda: open_on(tmp_path, FailingEngine))
                    if patiently(store.count) != known:
                        reference.append(batch, now)  # it was there all the same, and whole
                hold()
            assert store.append(batch, now) == reference.append(batch, now), f"CRASH_SEED={SEED}"
            if random.random() < 0.7:
                hold()
        assert patiently(store.count) == reference.count()
        store.close()
    assert min(failures.values()) > INSERTS // 10


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
