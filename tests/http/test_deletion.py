"""A deleted organization can be taken back for a while; then nothing of it is left."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.server import Server, event, serve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
USED = {"amount": 3}


def sent(server: Server, organization: str, number: int) -> None:
    at = "2026-03-01T00:00:00Z"
    server.send("unsiloed", [event("credit.used", organization, USED, at=at, id=f"{organization}-{number}")])


def credits(server: Server, organization: str) -> int:
    return int(server.usage(organization)["meters"]["credits"]["used"])


def story_status(server: Server, organization: str) -> int:
    return server.admin("GET", f"/v1/namespaces/unsiloed/events/tests/{organization}-1").status_code


@pytest.mark.thorough
def test_a_deletion_can_be_taken_back_for_thirty_days(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW) as server:
        keep, gone = server.organization("unsiloed"), server.organization("unsiloed")
        sent(server, keep, 1)
        sent(server, gone, 1)
        assert server.admin("POST", f"/v1/organizations/{gone}/restore").status_code == 404, "it is not deleted"
        for _ in range(2):
            assert server.admin("DELETE", f"/v1/organizations/{gone}").status_code == 204
            assert server.admin("GET", f"/v1/organizations/{gone}/usage").status_code == 404
            assert server.admin("POST", f"/v1/organizations/{gone}/restore").json()["id"] == gone
            assert credits(server, gone) == 3
        assert server.admin("DELETE", f"/v1/organizations/{gone}").status_code == 204
        assert server.admin("POST", "/v1/organizations/nobody/restore").status_code == 404
        commit = server.admin("GET", "/v1/rollups").json()["latest_commit"]
        server.stop()
    with serve(tmp_path, now=NOW + timedelta(days=30, microseconds=-1)) as server:
        time.sleep(0.5)
        assert story_status(server, gone) == 200
        server.stop()
    with serve(tmp_path, now=NOW + timedelta(days=60), environment={"METERHOUSE_PURGE_AFTER_DAYS": "0"}) as server:
        time.sleep(0.5)
        assert story_status(server, gone) == 200
        server.stop()
    with serve(tmp_path, now=NOW + timedelta(days=30)) as server:
        for _ in range(100):
            if story_status(server, gone) == 404:
                break
            time.sleep(0.1)
        assert story_status(server, gone) == 404
        assert server.admin("POST", f"/v1/organizations/{gone}/restore").status_code == 404
        assert credits(server, keep) == 3
        assert (
            server.admin("POST", "/v1/organizations", {"id": gone, "name": "x", "namespace": "unsiloed"}).status_code
            == 409
        )
        server.kill()
    with serve(tmp_path, now=NOW + timedelta(days=31)) as server:
        assert server.admin("GET", "/v1/rollups").json()["latest_commit"] > commit, "numbers go on"
        assert server.admin("POST", f"/v1/organizations/{gone}/restore").status_code == 404
        server.folded()
        assert credits(server, keep) == 3
        sent(server, keep, 2)
        assert credits(server, keep) == 6
