"""The Python client against real servers: what was recorded counts once, whatever happens to either side."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from meterhouse_client import BufferFull, Closed, InvalidEvent, Meter, Problem, SpoolError, WhenFull
from meterhouse_client.events import Ids
from support.depth import by_depth
from support.faulty_server import FAULTS, faulty
from support.server import ADMIN_KEY, Server, free_port, serve

CLIENT = Path(__file__).parents[2] / "clients/python/src"
NOBODY = "http://127.0.0.1:9"
_numbers = count(1)


@pytest.fixture
def organization(server: Server) -> str:
    return server.organization("unsiloed")


@pytest.fixture
def quiet() -> dict[str, Any]:
    """Callbacks that hear everything and say nothing."""
    return {"on_error": lambda _: None, "on_problem": lambda _: None}


def meter(server: Server | str, **options: Any) -> Meter:
    url = server if isinstance(server, str) else str(server.http.base_url)
    return Meter(url, ADMIN_KEY, namespace="unsiloed", **{"linger_s": 0.02, **options})


def used(server: Server, organization: str) -> Decimal:
    """Of all time: what was recorded is of now, wherever the server's clock stands."""
    answer = server.admin(
        "GET",
        "/v1/query",
        params={"organization": organization, "meter": "credits", "from": "2020-01-01", "to": "2100-01-01"},
    )
    assert answer.status_code == 200, answer.text
    return Decimal(str(answer.json()["meters"][0]["total"]))


def test_what_is_recorded_is_used(server: Server, organization: str) -> None:
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    with meter(server) as recording:
        first = recording.record("credit.used", organization, {"amount": Decimal("0.1"), "who": "Zoë"}, at=at)
        recording.record("credit.used", organization, {"amount": "0.2"}, at=at)
        assert recording.record("credit.used", organization, {"amount": 1}, at=at, id="mine") == "mine"
        recording.record("credit.used", organization, {"amount": 1}, at=at, id="mine")
        assert recording.flush(10)
        assert recording.waiting == 0
    assert used(server, organization) == Decimal("1.3")
    counts = recording.counts
    assert (counts.recorded, counts.ingested, counts.duplicates, counts.dropped) == (4, 3, 1, 0)
    listed = server.admin("GET", f"/v1/organizations/{organization}/events", params={"meter": "credits"}).json()[
        "events"
    ]
    assert first in {each["id"] for each in listed}
    with pytest.raises(Closed):
        recording.record("credit.used", organization, {"amount": 1})


def test_events_of_an_organization_arrive_in_their_order(server: Server, organization: str) -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    with meter(server, batch_events=7) as recording:
        ids = [recording.record("credit.used", organization, {"amount": n}, at=at) for n in range(100)]
    listed = server.admin(
        "GET",
        f"/v1/organizations/{organization}/events",
        params={"meter": "credits", "from": "2026-03-01T00:00:00Z", "to": "2026-03-01T00:00:01Z", "limit": 100},
    ).json()["events"]
    assert [each["id"] for each in listed] == ids[::-1]  # the newest first: of one instant, that stored last


def test_what_the_server_does_not_take_is_told_and_counted(server: Server, organization: str) -> None:
    problems: list[Problem] = []
    with meter(server, on_problem=problems.append) as recording:
        recording.record("credit.used", organization, {"amount": 1}, id="same")
        recording.record("credit.used", organization, {"amount": 2}, id="same")
        recording.record("credit.used", organization, {"amount": "much"}, id="text")
    assert (recording.counts.ingested, recording.counts.conflicts, recording.counts.rejected) == (1, 1, 1)
    assert [(each.event_id, each.organization) for each in problems] == [("same", organization), ("text", organization)]
    assert "must be a number" in problems[1].message


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"data": {"amount": float("nan")}}, "data.amount is nan"),
        ({"data": {"a": [{"b": float("inf")}]}}, r"data.a\[0\].b is inf"),
        ({"data": {"amount": object()}}, "cannot be written in JSON"),
        ({"data": {"text": "x" * 70_000}}, "70011 bytes"),
        ({"at": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001 - it is what is refused
        ({"organization": ""}, "organization must have"),
        ({"id": "x" * 513}, "id must have"),
    ],
)
def test_what_no_server_would_take_is_refused_where_it_is_recorded(fields: dict[str, Any], told: str) -> None:
    recording = meter(NOBODY)
    with pytest.raises(InvalidEvent, match=told):
        recording.record(**{"event_type": "credit.used", "organization": "acme", **fields})
    assert recording.counts.recorded == 0
    assert recording.close()


class TestFull:
    def test_it_says_so(self, quiet: dict[str, Any]) -> None:
        recording = meter(NOBODY, max_events=3, **quiet)
        for _ in range(3):
            recording.record("credit.used", "acme", {"amount": 1})
        with pytest.raises(BufferFull, match="3 events wait"):
            recording.record("credit.used", "acme", {"amount": 1})
        assert not recording.close(0.05)
        assert (recording.counts.recorded, recording.counts.dropped) == (3, 3)

    def test_it_drops_the_newest_and_counts_them(self, quiet: dict[str, Any]) -> None:
        recording = meter(NOBODY, max_bytes=1_000, when_full="drop", **quiet)
        for _ in range(50):
            recording.record("credit.used", "acme", {"amount": 1})
        waiting = recording.waiting
        assert recording.counts.dropped == 50 - waiting
        recording.close(0.05)
        assert recording.counts.dropped == 50

    def test_it_waits_for_room(self, server: Server, organization: str) -> None:
        started = threading.Event()
        with faulty(str(server.http.base_url).rstrip("/"), lambda n: "hang" if n < 2 else None) as front:
            recording = meter(front.url, max_events=2, when_full=WhenFull.BLOCK, on_error=lambda _: started.set())
            for _ in range(12):
                recording.record("credit.used", organization, {"amount": 1})
            assert started.is_set()
            assert recording.close()
        assert used(server, organization) == 12


def test_whatever_the_server_does_each_event_counts_once(server: Server, organization: str) -> None:
    rng = random.Random(5)
    errors: list[Exception] = []
    total = by_depth(200, 1_000, 20_000)

    def choose(_number: int) -> str | None:
        return rng.choice(FAULTS) if rng.random() < 0.5 else None

    with faulty(str(server.http.base_url).rstrip("/"), choose) as front:
        recording = meter(front.url, batch_events=20, timeout_s=0.4, on_error=errors.append)
        for _ in range(total):
            recording.record("credit.used", organization, {"amount": "0.1"})
        assert recording.close(300)
    assert used(server, organization) == total / Decimal(10)
    counts = recording.counts
    assert counts.ingested + counts.duplicates == total
    assert (counts.dropped, counts.rejected, counts.conflicts) == (0, 0, 0)
    assert counts.duplicates > 0  # an answer was lost, and the batch sent again
    assert len(errors) == counts.retries > 0


def test_a_batch_that_is_too_large_is_divided(tmp_path: Path) -> None:
    with serve(tmp_path / "data", environment={"METERHOUSE_MAX_BODY_BYTES": "20000"}) as server:
        organization = server.organization("unsiloed")
        with meter(server) as recording:
            for _ in range(200):
                recording.record("credit.used", organization, {"amount": 1, "note": "x" * 500})
            recording.record("credit.used", organization, {"amount": 1, "note": "x" * 30_000}, id="large")
        assert (recording.counts.ingested, recording.counts.rejected) == (200, 1)
        assert used(server, organization) == 200


def test_a_clock_that_jumps_makes_no_id_twice() -> None:
    now_ns = 1_700_000_000_000 * 10**6
    steps = iter([0, 0, 1, -86_400_000, -86_400_000, 5, *([5] * 5_000), 86_400_000, 0, 10])
    ids = Ids(lambda: now_ns + next(steps) * 10**6)
    made = [ids.new() for _ in range(5_008)]
    assert len({*made}) == len(made)
    assert made == sorted(made)
    assert {each[14] for each in made} == {"7"}
    assert {each[19] for each in made} <= {*"89ab"}


RECORDER = """
import sys
from meterhouse_client import Meter
url, key, organization, spool = sys.argv[1:5]
recording = Meter(url, key, namespace="unsiloed", spool=spool, linger_s=0.02, batch_events=50, timeout_s=1,
                  on_error=lambda _: None)
print("ready", flush=True)
while True:
    recording.record("credit.used", organization, {"amount": 1})
    sys.stdout.write(".")
    sys.stdout.flush()
"""


class TestSpool:
    @pytest.mark.thorough
    def test_killed_again_and_again_on_both_sides_what_was_recorded_counts_once(self, tmp_path: Path) -> None:
        """Each point that a recorder prints is an event that was recorded; one more may be in the spool."""
        rng, port = random.Random(9), free_port()
        recorded = kills = 0
        rounds = by_depth(4, 10, 100)
        spool = tmp_path / "spool.sqlite"
        environment = {**os.environ, "PYTHONPATH": str(CLIENT)}
        data = tmp_path / "data"
        with serve(data) as first:
            organization = first.organization("unsiloed")
            first.stop()
        running: Any = None
        try:
            for _ in range(rounds):
                command = [
                    sys.executable,
                    "-c",
                    RECORDER,
                    f"http://127.0.0.1:{port}",
                    ADMIN_KEY,
                    organization,
                    str(spool),
                ]
                with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as recorder:
                    assert recorder.stdout is not None
                    assert recorder.stdout.readline() == b"ready\n"
                    time.sleep(rng.uniform(0.05, 0.2))
                    if rng.random() < 0.5 or running is None:
                        if running is not None:
                            running.kill()
                            running.wait()
                        running = started(data, port)
                    time.sleep(rng.uniform(0.05, 0.4))
                    recorder.kill()
                    recorded += len(recorder.stdout.read())
                kills += 1
            with Meter(
                f"http://127.0.0.1:{port}", ADMIN_KEY, namespace="unsiloed", spool=spool, on_error=lambda _: None
            ) as last:
                assert last.flush(60)
        finally:
            if running is not None:
                running.kill()
                running.wait()
        with serve(data) as server:
            total = used(server, organization)
        assert recorded <= total <= recorded + kills
        assert total > 0

    def test_what_is_left_is_sent_by_the_next(
        self, server: Server, organization: str, tmp_path: Path, quiet: Any
    ) -> None:
        spool = tmp_path / "spool"
        first = meter(NOBODY, spool=spool, **quiet)
        for _ in range(5):
            first.record("credit.used", organization, {"amount": 1})
        assert not first.close(0.1)
        assert first.counts.dropped == 0
        with meter(server, spool=spool) as second:
            assert second.flush(10)
        assert used(server, organization) == 5
        with sqlite3.connect(spool) as file:
            assert file.execute("SELECT count(*) FROM events").fetchone() == (0,)

    def test_one_process_has_it(self, tmp_path: Path) -> None:
        first = meter(NOBODY, spool=tmp_path / "spool")
        with pytest.raises(SpoolError, match="another process has the spool"):
            meter(NOBODY, spool=tmp_path / "spool")
        first.close()
        meter(NOBODY, spool=tmp_path / "spool").close()

    def test_one_process_has_it_until_it_ends(self, server: Server, organization: str, tmp_path: Path) -> None:
        command = [sys.executable, "-c", RECORDER, NOBODY, ADMIN_KEY, organization, str(tmp_path / "spool")]
        environment = {**os.environ, "PYTHONPATH": str(CLIENT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as recorder:
            assert recorder.stdout is not None
            assert recorder.stdout.read(8) == b"ready\n.."
            with pytest.raises(SpoolError, match="another process has the spool"):
                meter(NOBODY, spool=tmp_path / "spool")
            recorder.kill()
            recorded = 2 + len(recorder.stdout.read())
        with meter(server, spool=tmp_path / "spool") as next_one:
            assert next_one.flush(30)
        assert recorded <= used(server, organization) <= recorded + 1

    def test_one_of_another_version_and_what_is_none(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "newer") as file:
            file.execute("CREATE TABLE events (what TEXT)")
            file.execute("INSERT INTO events VALUES ('of another version')")
            file.execute("PRAGMA user_version=7")
        with pytest.raises(SpoolError, match=r"another version of meterhouse-client \(7, this one has 1\)"):
            meter(NOBODY, spool=tmp_path / "newer")
        with sqlite3.connect(tmp_path / "newer") as file:  # which that one can still send
            assert file.execute("SELECT * FROM events").fetchall() == [("of another version",)]
        with pytest.raises(SpoolError, match="cannot be opened"):
            meter(NOBODY, spool=tmp_path / "no folder" / "spool")
        (tmp_path / "text").write_text("no database, but a text that is long enough to be looked at" * 50)
        with pytest.raises(SpoolError, match="is no spool"):
            meter(NOBODY, spool=tmp_path / "text")


def started(data: Path, port: int) -> subprocess.Popen[bytes]:
    """A server on a port that stays."""
    command = [sys.executable, "-m", "meterhouse", "serve", "--data", str(data), "--port", str(port)]
    environment = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def test_the_sending_thread_makes_nothing_that_a_fork_may_find_half_made(
    server: Server, organization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with meter(server) as recording:
        monkeypatch.setattr("ssl.SSLContext", None)
        monkeypatch.setattr("ssl.create_default_context", None)
        recording.record("credit.used", organization, {"amount": 1})
        assert recording.flush(10)


def test_many_threads_record_at_once(server: Server, organization: str) -> None:
    with meter(server, batch_events=200) as recording:

        def record() -> None:
            for _ in range(100):
                recording.record("credit.used", organization, {"amount": 1})

        threads = [threading.Thread(target=record) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert recording.counts.ingested == 800
    assert used(server, organization) == 800
