"""`meterhouse alert` and `meterhouse webhook` against a server: each command does what it says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from support.processes import run_meterhouse
from support.receivers import Receiver, eventually, receiving
from support.server import ADMIN_KEY, Server, serve

SPACE = "unsiloed"


def ran(server: Server, *arguments: str, code: int = 0) -> str:
    """What a command prints."""
    environment = {**os.environ, "COLUMNS": "300", "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    environment["METERHOUSE_URL"] = str(server.http.base_url)
    done: subprocess.CompletedProcess[bytes] = run_meterhouse(*arguments, environment=environment)
    assert done.returncode == code, done.stderr
    return (done.stdout or done.stderr).decode()


def test_rules_are_made_listed_and_removed(server: Server) -> None:
    options = ("--tell-resolved", "--json")
    [made] = json.loads(ran(server, "alert", "add", SPACE, "cli", "credits", "percent", "80.5", *options))
    assert (made["threshold"], made["tell_resolved"], made["organization"]) == (80.5, True, None)
    assert "limit.threshold_reached" in ran(server, "alert", "rules", SPACE)
    assert "Alerts of unsiloed" in ran(server, "alert", "list", SPACE, "--state", "raised", "--limit", "1")
    assert ran(server, "alert", "remove", SPACE, "cli") == "removed cli\n"
    assert "has no alert rule 'cli'" in ran(server, "alert", "remove", SPACE, "cli", code=1)
    assert "threshold: " in ran(server, "alert", "add", SPACE, "cli", "credits", "used", "9" * 39, code=1)
    ran(server, "alert", "add", SPACE, "cli", "credits", "mood", "1", code=2)


def test_an_endpoint_is_made_tested_switched_and_removed(tmp_path: Path) -> None:
    with serve(tmp_path, environment={"METERHOUSE_WEBHOOK_ADDRESSES": "any"}) as server, receiving() as receiver:
        _go_through(server, receiver)


def _go_through(server: Server, receiver: Receiver) -> None:
    said = ran(server, "webhook", "add", SPACE, "e", receiver.url, "--event-type", "period.closed")
    assert said.startswith("secret (shown once): whsec_")
    assert ran(server, "webhook", "add", SPACE, "e", receiver.url) == "changed e\n"
    assert "whsec_" in ran(server, "webhook", "rotate", SPACE, "e", "--overlap-seconds", "60")
    assert receiver.url in ran(server, "webhook", "list", SPACE)
    [sent] = json.loads(ran(server, "webhook", "test", SPACE, "e", "--json"))
    receiver.wait_for(1)
    eventually(lambda: "delivered" in ran(server, "webhook", "deliveries", SPACE, "e"))
    assert "Sent again" in ran(server, "webhook", "send-again", SPACE, str(sent["id"]))
    assert [each.id for each in receiver.wait_for(2)] == [sent["message"]] * 2
    eventually(
        lambda: json.loads(ran(server, "webhook", "deliveries", SPACE, "e", "--status", "pending", "--json")) == []
    )
    assert "has no delivery 999999" in ran(server, "webhook", "send-again", SPACE, "999999", code=1)
    assert ran(server, "webhook", "disable", SPACE, "e") == "switched e off\n"
    assert "is switched off" in ran(server, "webhook", "test", SPACE, "e", code=1)
    assert ran(server, "webhook", "enable", SPACE, "e") == "switched e on\n"
    assert json.loads(ran(server, "webhook", "list", SPACE, "--json"))[0]["enabled"] is True
    assert ran(server, "webhook", "remove", SPACE, "e") == "removed e\n"
    assert "has no webhook endpoint 'e'" in ran(server, "webhook", "deliveries", SPACE, "e", code=1)
    assert "url: must begin with https://" in ran(server, "webhook", "add", SPACE, "e", "file:///etc/passwd", code=1)
