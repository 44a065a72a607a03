"""Who sends more than can be stored is told so, and the operator sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meterhouse.domain.errors import Overloaded
from meterhouse.services.ingest.group_commit import GroupCommit
from meterhouse.settings import Settings
from meterhouse.wiring import open_meterhouse
from support.asgi import client_of

ADMIN = {"authorization": "Bearer an-admin-key-of-some-length"}


def event(number: int) -> dict[str, object]:
    attributes = {"specversion": "1.0", "id": str(number), "source": "s", "type": "credit.used", "subject": "acme"}
    return {**attributes, "data": {"amount": 1}}


@pytest.mark.parametrize("count", [1, 500])  # decoded on the spot, and on another thread
def test_a_refused_request_may_be_sent_again_and_shows_in_the_metrics(tmp_path: Path, count: int) -> None:
    body = json.dumps([event(number) for number in range(count)])
    settings = Settings(data=tmp_path / "data", admin_key="an-admin-key-of-some-length")
    with open_meterhouse(settings) as meterhouse, client_of(meterhouse.app) as client:

        def post() -> tuple[int, str | None, dict[str, object]]:
            headers = {**ADMIN, "content-type": "application/json"}
            answer = client.post("/v1/events?namespace=unsiloed", content=body, headers=headers)
            return answer.status_code, answer.headers.get("retry-after"), answer.json()

        def refuse(*_arguments: object) -> None:
            raise Overloaded("too much is waiting")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GroupCommit, "refuse_overload", refuse)
            status, retry_after, problem = post()
        assert (status, retry_after, problem["code"]) == (429, "1", "overloaded")
        assert post()[2]["ingested"] == count
        figures = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    assert figures["meterhouse_ingest_refused_total"] == "1.0"
    assert figures["meterhouse_commit_events_count"] == "1.0"
    assert figures["meterhouse_commit_events_sum"] == f"{count}.0"
    assert float(figures["meterhouse_commit_duration_seconds_sum"]) > 0
    assert figures["meterhouse_ingest_waiting_requests"] == figures["meterhouse_ingest_waiting_events"] == "0.0"
    assert figures['meterhouse_events_total{namespace="unsiloed",outcome="ingested"}'] == f"{count}.0"
