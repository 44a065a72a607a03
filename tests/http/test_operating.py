"""What an operator sees of a server: its log, its figures, and what signals do."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from support.server import ADMIN_KEY, Server, event, serve

SECRET = "postgres-password-of-the-operator"


def log_of(server: Server) -> list[dict[str, Any]]:
    """All lines of the log, once the server has ended."""
    assert server.stop() == 0
    return [json.loads(line) for line in server.printed().splitlines() if line.startswith("{")]


def test_start_stop_configuration_and_changes_are_logged(tmp_path: Path) -> None:
    environment = {
        "METERHOUSE_LOG_LEVEL": "info",
        "METERHOUSE_LEDGER_URL": f"sqlite:///{tmp_path / SECRET}",
        "METERHOUSE_ONEPIN_ISSUER": f"https://{SECRET}.example",
    }
    with serve(tmp_path / "data", environment=environment) as server:
        org = server.organization("unsiloed")
        server.subscribe(org, {"plan": "Free", "anchor": "2026-01-01", "interval": "P30D"})
        secret = server.key(org)
        server.send("unsiloed", [event("credit.used", org, {"amount": 1}, id="e", source="s")])
        void = {"actor": "a", "reason": "r", "void": [{"source": "s", "id": "e"}]}
        assert server.admin("POST", "/v1/corrections?namespace=unsiloed", void).status_code == 200
        erasure = {"id": "1", "organization": org, "property": "user", "value": "x", "actor": "a", "reason": "r"}
        assert server.admin("POST", "/v1/erasures", erasure).status_code == 200
        log = log_of(server)
    events = [line["event"] for line in log]
    assert [each for each in events if each != "request"] == ["starting", "listening", "stopping", "stopped"]
    starting = next(line for line in log if line["event"] == "starting")
    assert (starting["port"], starting["log_level"], starting["max_connections"]) == (str(server.port), "info", "8192")
    assert (starting["admin_key"], starting["ledger_url"]) == ("set", "set")
    assert starting["contract_options"] == "METERHOUSE_ONEPIN_ISSUER"
    assert starting["version"]
    changes = [line for line in log if line["event"] == "request" and line["method"] in ("POST", "PUT")]
    assert {line["address"] for line in changes} == {"127.0.0.1"}
    changed = {line["path"]: line.get("organization") for line in changes}
    assert changed == {
        "/v1/organizations": org,
        "/v1/organizations/{organization_id}/subscription": org,
        "/v1/organizations/{organization_id}/keys": org,
        "/v1/events": None,
        "/v1/corrections": org,
        "/v1/erasures": org,
    }
    text = json.dumps(log)
    assert not [each for each in (ADMIN_KEY, SECRET, secret) if each in text]


def test_a_hangup_ends_nothing(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        for _ in range(3):
            server.process.send_signal(signal.SIGHUP)
            assert server.http.get("/readyz").status_code == 200
        assert server.stop() == 0


def test_figures_of_the_process_the_disk_the_version_and_each_namespace(server: Server) -> None:
    org = server.organization("unsiloed")
    server.send("unsiloed", [event("credit.used", org, {"amount": 1})])
    text = server.http.get("/metrics").text
    figures = dict(re.findall(r"^(\S+) (\S+)$", text, re.MULTILINE))
    assert float(figures["process_resident_memory_bytes"]) > 10_000_000
    assert float(figures["process_open_fds"]) > 3
    assert 0 < float(figures["meterhouse_disk_free_bytes"]) <= float(figures["meterhouse_disk_size_bytes"])
    assert re.search(r'^meterhouse_build_info\{version="[0-9][^"]*"\} 1\.0$', text, re.MULTILINE)
    assert float(figures['meterhouse_events_total{namespace="unsiloed",outcome="ingested"}']) >= 1
    assert 'meterhouse_events_total{namespace="octolens",outcome="rejected"}' in figures
    assert "_created" not in text


def test_an_event_of_an_unknown_organization_is_unmatched(server: Server) -> None:
    server.send("unsiloed", [event("credit.used", "nobody-yet", {"amount": 1}, id="u", source="unknown")])
    story = server.admin("GET", "/v1/namespaces/unsiloed/events/unknown/u").json()
    assert (story["state"], story["known_organization"]) == ("unmatched", False)
    assert "there is no organization 'nobody-yet'" in story["because"]
    server.organization("unsiloed", id="nobody-yet")
    assert server.admin("GET", "/v1/namespaces/unsiloed/events/unknown/u").json()["state"] == "counted"


def test_a_client_that_breaks_off_is_no_failure_of_ours(tmp_path: Path) -> None:
    head = f"POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
    with serve(tmp_path / "data") as server:
        for length in (900, 90_000):  # by the short cut, and by the route
            with closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as connection:
                connection.sendall(f"{head}Content-Length: {length}\r\n\r\n[".encode())
                time.sleep(0.2)
        deadline = time.monotonic() + 10
        while 'path="/v1/events",status="400"} 2.0' not in (text := server.http.get("/metrics").text):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        assert 'status="500"' not in text
        log_of(server)
