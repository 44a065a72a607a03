"""Holds a running Meterhouse to the numbers in `cases.json`, digit by digit.

`METERHOUSE_ADMIN_KEY=… python docs/numbers/check.py http://127.0.0.1:8000`. The server has the five built-in catalogs.
Every case has an organization of its own, which stays. The exit code is 1 when any number is another.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

ENDPOINTS = {
    "aitronos": ("/v1/analytics/usage/summary/{org}", "x-api-key", "{}"),
    "autoposting": ("/usage/summary", "x-api-key", "{}"),
    "octolens": ("/api/v2/org/usage", "authorization", "Bearer {}"),
    "onepin": ("/api/v1/usage/summary", "authorization", "Bearer {}"),
    "unsiloed": ("/api/v1/org/get_usage", "api-key", "{}"),
}


def check(case: dict[str, Any], http: httpx.Client, admin: dict[str, str]) -> list[str]:
    """Runs a case; what is not as expected, a text each."""
    namespace, org = case["namespace"], f"numbers-{uuid4()}"

    def api(method: str, path: str, body: object = None) -> Any:
        answer = http.request(method, path, json=body, headers=admin)
        return answer.json() if answer.status_code == 422 else answer.raise_for_status().json()

    api("POST", "/v1/organizations", {"id": org, "name": case["name"], "namespace": namespace})
    subscription = {"plan": None, "anchor": "2026-01-01", "interval": "P1M", "limits": case.get("limits", {})}
    api("PUT", f"/v1/organizations/{org}/subscription", subscription | {"flex": case.get("flex")})
    events = [(kind, data) for kind, data, *times in case["events"] for _ in range(*times or [1])]
    sent = [
        {
            "specversion": "1.0",
            "id": f"{org}/{n}",
            "source": "numbers",
            "subject": org,
            "type": kind,
            "data": unique(data),
        }
        for n, (kind, data) in enumerate(events)
    ]
    report = api("POST", f"/v1/events?namespace={namespace}", sent)
    if report["ingested"] != len(sent):
        return [f"{case['name']}: not all events were taken: {report['errors'][:1]}"]
    path, header, credential = ENDPOINTS[namespace]
    key = api("POST", f"/v1/organizations/{org}/keys", {})["key"]
    told = read(http.get(path.format(org=org), headers={header: credential.format(key)}))
    usage = read(http.get(f"/v1/organizations/{org}/usage", headers=admin))
    wrong = []
    for name, expected in case["expect"].items():
        place = name.removeprefix("usage ")
        value = usage if place != name else told
        for part in place.split("."):
            value = value[int(part)] if isinstance(value, list) else value[part]
        if value != expected:
            wrong.append(f"{case['name']}: {name} is {value}, not {expected}")
    return wrong


def unique(data: dict[str, Any]) -> dict[str, Any]:
    """The data, with an id of its own where mentions are told apart by it."""
    return {**data, "mention_id": str(uuid4())} if "keyword_id" in data else data


def read(answer: httpx.Response) -> Any:
    """An answer whose numbers are the texts that were sent."""
    return json.loads(answer.raise_for_status().text, parse_float=str, parse_int=str)


def main() -> int:
    """Checks every case against the server that the command line names."""
    cases = json.loads(Path(__file__).with_name("cases.json").read_text("utf-8"))
    admin = {"authorization": f"Bearer {os.environ['METERHOUSE_ADMIN_KEY']}"}
    with httpx.Client(base_url=sys.argv[1], timeout=60, trust_env=False) as http:
        wrong = [line for case in cases for line in check(case, http, admin)]
    print("\n".join([*wrong, f"cases: {len(cases)}, numbers that are wrong: {len(wrong)}"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
