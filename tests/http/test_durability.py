"""What was answered survives, and nothing is answered that did not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from support.processes import run_meterhouse
from support.server import ADMIN_KEY, CANNOT, Server, event, serve

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
            "unmatched": 0,
            "errors": [],
            "errors_omitted": 0,
            "position": server.position(),
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
            while not any(each.running() or each.done() for each in sent):
                pass
            server.http.get("/healthz")
            assert server.stop() == 0
            ingested = sum(each.result()["ingested"] for each in sent if each.exception() is None)
        assert ingested > 0
    with serve(tmp_path, now=NOW) as server:
        assert server.usage(org)["meters"]["credits"]["used"] >= ingested


def test_a_second_process_on_the_folder_gets_a_clear_message(server: Server) -> None:
    second = run_meterhouse("usage", "acme", "--data", str(server.data), environment=os.environ)
    assert second.returncode == 1
    told = second.stderr.decode()
    assert f"in use by process {server.process.pid}" in told
    assert "--url" in told
    assert "Traceback" not in told


def test_the_generated_admin_key_is_printed_once(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW) as server:
        assert server.stop() == 0
        printed = server.printed()
    assert "listens on" in printed
    assert ADMIN_KEY not in printed


# A disk of its own: nobody else sees it, and it is gone with the process.
SMALL_DISK = 'mount -t tmpfs -o size=64m tmpfs "$0" && exec "$@"'


def test_on_a_full_disk_what_is_acknowledged_is_counted_and_everything_is_answered(tmp_path: Path) -> None:
    within = ("unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(tmp_path))
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{CANNOT}this machine does not let a process mount a disk of its own")
    with serve(tmp_path / "data", now=NOW, within=within) as server:
        org = server.organization("unsiloed")
        events = [event("credit.used", org, {"amount": 1}, at="2026-03-10T00:00:00Z") for _ in range(3)]
        assert server.send("unsiloed", events[:1])["ingested"] == 1
        key = server.admin("POST", f"/v1/organizations/{org}/keys", {}).json()
        # Seen from here, the server's disk is below its root.
        filler = Path(f"/proc/{server.process.pid}/root{tmp_path}/filler")
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(1 << 27))
        # What was acknowledged may not be in the engine yet; some more may find room in a block that is begun.
        stored, refusals = 1, 0
        while refusals < 2:
            more = event("credit.used", org, {"amount": 1}, at="2026-03-10T00:00:00Z")
            answer = server.admin("POST", "/v1/events", [more], params={"namespace": "unsiloed"})
            if answer.status_code == 200:
                stored += answer.json()["ingested"]
            else:
                assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
                assert answer.headers["retry-after"] == "30"
                refusals += 1
            assert server.usage(org)["meters"]["credits"]["used"] == stored
        ready = server.http.get("/readyz")
        assert (ready.status_code, ready.json()["disk"]) == (503, "failing")
        assert server.admin("DELETE", f"/v1/organizations/{org}/keys/{key['id']}").status_code == 204
        filler.unlink()
        for _ in range(50):  # what was given free may take the engine a moment to find
            sent = server.admin("POST", "/v1/events", events, params={"namespace": "unsiloed"})
            if sent.status_code == 200:
                break
            time.sleep(0.1)
        report = sent.json()
        assert (report["ingested"], report["duplicates"]) == (2, 1)
        assert server.http.get("/readyz").status_code == 200
        refused = server.http.get(f"/v1/organizations/{org}/usage", headers={"authorization": f"Bearer {key['key']}"})
        assert refused.status_code == 401
        assert server.usage(org)["meters"]["credits"]["used"] == stored + 2
        assert server.stop() == 0


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    read_only = 'mount -t tmpfs -o ro tmpfs "$0" && exec "$@"'
    within = ["unshare", "--map-root-user", "--mount", "sh", "-c", read_only, str(tmp_path)]
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip(f"{CANNOT}this machine does not let a process mount a disk of its own")
    command = [*within, sys.executable, "-m", "meterhouse", "serve", "--data", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert str(tmp_path / "data") in ended.stderr
    assert "Read-only file system" in ended.stderr
    assert "Traceback" not in ended.stderr
