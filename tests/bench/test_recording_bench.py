"""What recording costs is measured, and all that was recorded is stored."""

from __future__ import annotations

from pathlib import Path

from bench.recording import NAMESPACE, prepared, recorded, sent_as_openmeter
from bench.servers import ADMIN


def test_all_that_is_recorded_is_stored(tmp_path: Path) -> None:
    with prepared(tmp_path) as (server, key):
        recording = recorded(server, 300)
        assert 0 < recording.p50_us <= recording.p99_us
        assert recording.per_s > 0
        assert sent_as_openmeter(server, key, 1_200) > 0
        asked = {"namespace": NAMESPACE, "meter": "tokens", "from": "2020-01-01", "to": "2030-01-01"}
        told = server.http.get("/v1/query", params=asked, headers=ADMIN).raise_for_status().json()
        assert told["meters"][0]["total"] == 1_500
