"""What was never synced is taken away, as a loss of power may do: what was answered is there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from powerloss.test_powerloss import forget_merged_parts_at_once
from powerloss.traced import Recorded, kill, tracing
from support.server import CANNOT, event, serve

REQUESTS = 60
EVENTS = 20


@pytest.mark.thorough
def test_what_was_answered_is_in_what_was_synced(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log, data = tmp_path / "log", tmp_path / "data"
    tried = subprocess.run([*tracing(log), sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"{CANNOT}{tried.stderr.strip()[:200]}")
    forget_merged_parts_at_once(data)
    with serve(data, within=tracing(log)) as server:
        organization = server.organization("unsiloed")
        for _ in range(REQUESTS):
            server.send("unsiloed", [event("credit.used", organization, {"amount": 1}) for _ in range(EVENTS)])
            assert server.admin("GET", "/metrics").status_code == 200  # stores what waits, as a part of its own
        server.folded()
        kill(server)
    with serve(data, within=tracing(log)) as server:  # which removes at once what was merged
        kill(server)
    recorded = Recorded(log, data)
    assert recorded.lose_the_rest() > 0, "the engine does not sync its indexes, so that something must have been cut"
    with serve(data) as server:
        assert server.usage(organization)["meters"]["credits"]["used"] == REQUESTS * EVENTS
        assert server.admin("DELETE", "/v1/rollups").is_success
        assert server.usage(organization)["meters"]["credits"]["used"] == REQUESTS * EVENTS
        assert server.stop() == 0
