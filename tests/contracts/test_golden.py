"""Golden cases: events in, and the very bytes that the contract's clients get out.

A case is `tests/contracts/<contract>/<case>.json`: an organization, its subscription, events as [type, time, data],
and requests with the status and the text they are answered with. `{key}` stands for a valid key, `{request_id}` for
the id of the answer. The server's clock stands at 2026-03-15T12:00:00Z. Expected texts were worked out by hand.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from server import Server, event

FOLDER = Path(__file__).parent
CASES = sorted(FOLDER.glob("*/*.json"))


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_golden(server: Server, path: Path) -> None:
    case, contract = json.loads(path.read_text()), path.parent.name
    organization = server.organization(contract, case.get("subscription"), **case["organization"])
    key = server.key(organization, **case.get("key", {}))
    events = [
        event(kind, organization, data, at=at, id=f"{path.stem}-{number}", source=str(path.relative_to(FOLDER)))
        for number, (kind, at, data) in enumerate(case["events"])
    ]
    assert server.send(contract, events)["ingested"] == len(events)
    for request in case["requests"]:
        headers = {name: value.replace("{key}", key) for name, value in request.get("headers", {}).items()}
        answer = server.http.get(request["path"], headers=headers)
        expected = request["answer"]
        if not isinstance(expected, str):
            expected = json.dumps(expected, separators=(",", ":"), ensure_ascii=False)
        request_id = answer.headers["x-request-id"]
        assert answer.text == expected.replace("{request_id}", request_id), request["path"]
        assert answer.status_code == request["status"]
        assert answer.headers["content-type"] == "application/json"


def test_every_contract_has_golden_cases() -> None:
    from meterhouse.contracts import installed

    assert {path.parent.name for path in CASES} == set(installed())
