"""`/v1/rollups` and `meterhouse rebuild`: answers are the same before, during and after."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server, event, serve

NOW = "2026-03-15T12:00:00Z"
CATALOG = """
namespace = "acme"

[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"
{}
"""
ADDED = """
[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = "tokens"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("rollups") / "data", now=NOW) as server:
        yield server


def fill(server: Server, events: int = 3_000) -> dict[str, tuple[str, dict[str, str]]]:
    """Usage for two products: the paths to read, with their credentials."""
    rng = random.Random(5)
    reads = {}
    for namespace, path, header in (
        ("autoposting", "/usage/summary", "x-api-key"),
        ("octolens", "/api/v2/org/usage", "authorization"),
    ):
        organization = server.organization(namespace, {"plan": None, "anchor": "2026-02-10", "interval": "P1M"})
        key = server.key(organization)
        reads[namespace] = (path, {header: f"Bearer {key}" if header == "authorization" else key, "x-source": "sdk"})
        sent = []
        for number in range(events // 2):
            day, minute = f"2026-{rng.randrange(1, 4):02}-{rng.randrange(1, 15):02}", rng.randrange(60)
            at = f"{day}T{rng.randrange(24):02}:{minute:02}:00Z"
            state = {"post_id": f"p{number % 90}", "state": rng.choice(["scheduled", "published"]), "source": "api"}
            mention = {"mention_id": f"m{rng.randrange(events // 3)}"}
            data = ("post.state", state) if namespace == "autoposting" else ("mention.found", mention)
            sent.append(event(data[0], organization, data[1], at=at))
        assert server.send(namespace, sent)["ingested"] == len(sent)
    return reads


def answers(server: Server, reads: dict[str, tuple[str, dict[str, str]]]) -> list[Any]:
    return [server.http.get(path, headers=headers).raise_for_status().json() for path, headers in reads.values()]


def status(server: Server) -> dict[str, Any]:
    body: dict[str, Any] = server.admin("GET", "/v1/rollups").raise_for_status().json()
    return body


def wait_until_folded(server: Server) -> None:
    deadline = time.monotonic() + 60
    while (now := status(server))["watermark"] < now["latest_commit"]:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)


def test_answers_stay_the_same_while_everything_derived_is_made_again(server: Server) -> None:
    reads = fill(server)
    before = answers(server, reads)
    wait_until_folded(server)
    assert status(server)["lag_events"] == 0
    assert answers(server, reads) == before
    begun = server.admin("DELETE", "/v1/rollups")
    assert begun.status_code == 202
    assert begun.json() == {**status(server), **begun.json()}
    seen_unfolded = begun.json()["watermark"] == 0
    while (now := status(server))["watermark"] < now["latest_commit"]:
        assert answers(server, reads) == before
    assert seen_unfolded
    assert answers(server, reads) == before
    assert "meterhouse_rollup_lag_events 0.0" in server.http.get("/metrics").text


def test_only_the_operator_may_look_and_rebuild(server: Server) -> None:
    organization = server.organization("unsiloed")
    key = {"authorization": f"Bearer {server.key(organization)}"}
    for method in ("GET", "DELETE"):
        assert server.http.request(method, "/v1/rollups", headers=key).status_code == 403
        assert server.http.request(method, "/v1/rollups").status_code == 401


@pytest.mark.thorough
def test_the_command_rebuilds_a_folder_and_a_running_server(tmp_path: Path) -> None:
    def rebuild(*arguments: str) -> str:
        run = run_meterhouse("rebuild", *arguments, environment={**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY})
        assert run.returncode == 0, run.stderr
        return run.stdout.decode()

    data = tmp_path / "data"
    with serve(data, now=NOW) as server:
        reads = fill(server, 300)
        before = answers(server, reads)
        assert rebuild("--url", str(server.http.base_url)) == "rebuilt from 300 events\n"
        assert answers(server, reads) == before
    assert rebuild("--data", str(data)) == "rebuilt from 300 events\n"
    with serve(data, now=NOW) as server:
        assert status(server)["lag_events"] == 0
        assert answers(server, reads) == before


def test_a_meter_that_is_added_later_has_its_history_at_once(tmp_path: Path) -> None:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG.format(""))
    with serve(tmp_path / "data", arguments=("--catalog", str(catalog)), now=NOW) as server:
        organization = server.organization("acme", {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
        server.send("acme", [event("call", organization, {"tokens": "0.1"}, at=NOW) for _ in range(30)])
        wait_until_folded(server)
    catalog.write_text(CATALOG.format(ADDED))
    with serve(tmp_path / "data", arguments=("--catalog", str(catalog)), now=NOW) as server:
        meters = server.usage(organization)["meters"]
        assert (meters["calls"]["used"], meters["tokens"]["used"]) == (30, 3)
        wait_until_folded(server)
        assert server.usage(organization)["meters"] == meters
