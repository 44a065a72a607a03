"""What was answered survives, and nothing is answered that did not."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from server import ADMIN_KEY, Server, event, serve

NOW = "2026-03-15T12:00:00Z"


def test_killed_and_restarted_it_answers_the_same_bytes(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW) as server:
        org = server.organization("aitronos")
        key = server.key(org)
        data = {"model": "m", "neurons": 10, "synapses": 3, "cost": "0.1"}
        events = [event("ai.request", org, data, at="2026-03-10T00:00:00Z") for _ in range(500)]
        assert server.send("aitronos", events)["ingested"] == 500
        path = f"/v1/analytics/usage/summary/{org}"
        before = server.http.get(path, headers={"x-api-key": key})
        server.kill()
    with serve(tmp_path, now=NOW) as server:
        assert server.http.get(path, headers={"x-api-key": key}).content == before.content
        assert server.send("aitronos", events) == {
            "ingested": 0,
            "duplicates": 500,
            "conflicts": 0,
            "rejected": 0,
            "errors": [],
        }
        assert server.http.get(path, headers={"x-api-key": key}).content == before.content


def test_killed_under_load_it_has_everything_that_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    attempted: list[dict[str, object]] = []
    with serve(tmp_path, now=NOW) as server:
        org = server.organization("unsiloed")

        def send(number: int) -> None:
            batch = [event("credit.used", org, {"amount": 1}, id=f"{number}-{n}") for n in range(20)]
            attempted.extend(batch)
            try:
                server.send("unsiloed", batch)
            except httpx.TransportError:
                return
            acknowledged.extend(str(each["id"]) for each in batch)
            if len(acknowledged) >= 400:
                server.process.kill()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(200)))
        server.process.wait()
    with serve(tmp_path, now=NOW) as server:
        stored = server.usage(org)["meters"]["credits"]["used"]
        assert len(acknowledged) <= stored <= len(attempted)
        report = server.send("unsiloed", [each for each in attempted if each["id"] in set(acknowledged)])
        assert (report["ingested"], report["duplicates"]) == (0, len(acknowledged))
        server.send("unsiloed", attempted)
        assert server.usage(org)["meters"]["credits"]["used"] == len(attempted)


def test_a_stop_answers_what_is_under_way(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW) as server:
        org = server.organization("unsiloed")
        batches = [[event("credit.used", org, {"amount": 1}) for _ in range(2_000)] for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(server.send, "unsiloed", batch) for batch in batches]
            while not any(each.running() for each in sent):
                pass
            server.http.get("/healthz")
            assert server.stop() == 0
            ingested = sum(each.result()["ingested"] for each in sent if each.exception() is None)
        assert ingested > 0
    with serve(tmp_path, now=NOW) as server:
        assert server.usage(org)["meters"]["credits"]["used"] >= ingested


def test_a_second_process_on_the_folder_gets_a_clear_message(server: Server) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "meterhouse", "usage", "acme", "--data", str(server.data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"in use by process {server.process.pid}" in second.stderr
    assert "--url" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_generated_admin_key_is_printed_once(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW) as server:
        assert server.stop() == 0
        assert server.process.stdout is not None
        printed = server.process.stdout.read().decode()
    assert "listens on" in printed
    assert ADMIN_KEY not in printed
