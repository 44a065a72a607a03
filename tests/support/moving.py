"""A server with usage of all five products, and whether another one answers the same."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from random import Random
from typing import Any

from support.books import ANCHOR, ENDPOINTS, ENVIRONMENT, NOW, PAIRS, Batch, some_event
from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server, event, serve

EVENTS = 1_000
CORRECTED = {"actor": "ada", "reason": "a test", "id": "moved"}
STRANGE = [
    event("credit.used", "unsiloed-1", {"amount": "0.1"}, id='"\\/ ü\u2028\U0001f600', source="' {x} \u3000\u200d"),
    event("credit.used", "unsiloed-1", {"amount": 1}, at="1900-01-01T00:00:00.000001Z"),
    event("credit.used", "unsiloed-1", {"amount": 1}, at="2026-12-31T23:59:59.999999Z"),
    event("of.no/meter", "nobody ‘yet’", {"a": [None, {"b": "\n\t\\"}]}),
]
_OF_ONE_SERVER = re.compile(r'"forecast":(?:null|\{[^}]*\}),?|"position":"[^"]*"')
"""The past of a forecast is read once an hour, by each server; commits are numbered anew when an export is ingested."""
SPACED = b'{"specversion":"1.0","id":"spaced","source":"s","type":"credit.used","subject":"unsiloed-1","data":%s}'
SPACED_DATA = b'{\r\n\t"amount" :\n 1.50,  "note":"a\\nb\\u00fc/\\/"\n}'


def meterhouse(*arguments: str, stdin: bytes = b"", code: int = 0, **env: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "COLUMNS": "200", "METERHOUSE_ADMIN_KEY": ADMIN_KEY, **env}
    done = run_meterhouse(*arguments, environment=environment, stdin=stdin)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


def running(data: Path) -> Any:
    return serve(data, now=NOW, environment=ENVIRONMENT)


def open_accounts(server: Server, secrets: dict[str, str]) -> None:
    for namespace, organization in PAIRS:
        server.organization(namespace, id=organization, created_at=f"{ANCHOR}T00:00:00Z")
        server.subscribe(organization, {"plan": None, "anchor": ANCHOR, "interval": "P1M", "limits": {}})
        secrets[organization] = server.key(organization)


def events_of(namespace: str) -> Batch:
    random = Random(f"moving {namespace}")
    return [some_event(random, namespace, f"{namespace}-{number}") for number in range(EVENTS)]


def send(server: Server, namespace: str, *, known: bool = False) -> None:
    batch = events_of(namespace)
    body = f"[{','.join(each.json() for each in batch)}]"
    sent = server.admin(
        "POST", f"/v1/events?namespace={namespace}", content=body, headers={"content-type": "application/json"}
    )
    assert sent.json()["duplicates" if known else "ingested"] == EVENTS, sent.text


def answers(server: Server, secrets: dict[str, str]) -> dict[str, str]:
    """What the five endpoints and our own say of every organization, without what is another every time."""
    told = {}
    for namespace, organization in PAIRS:
        path, header, credential = ENDPOINTS[namespace]
        path = path.replace("aitronos-1", organization)
        answer = server.http.get(path, headers={header: credential.format(secrets[organization])})
        assert answer.status_code == 200, answer.text
        told[f"{organization} contract"] = answer.text.replace(answer.headers["x-request-id"], "")
        usage = server.admin("GET", f"/v1/organizations/{organization}/usage").text
        told[organization] = _OF_ONE_SERVER.sub("", usage)
    return told


class Filled:
    """A server with usage of all five products, and what it answers."""

    def __init__(self, server: Server):
        self.server = server
        self.secrets: dict[str, str] = {}
        open_accounts(server, self.secrets)
        for namespace in ENDPOINTS:
            send(server, namespace)
        assert server.send("unsiloed", STRANGE)["ingested"] == len(STRANGE)
        body = SPACED % SPACED_DATA
        server.admin(
            "POST", "/v1/events?namespace=unsiloed", content=body, headers={"content-type": "application/json"}
        )
        # Corrections and a contradiction go along, and what was erased stays erased.
        void = [{"source": each["source"], "id": each["id"]} for each in STRANGE[:1]]
        assert server.admin("POST", "/v1/corrections?namespace=unsiloed", {**CORRECTED, "void": void}).is_success
        erased = {"organization": "onepin-1", "property": "user_id", "value": "ada", "actor": "a", "reason": "r"}
        assert server.admin("POST", "/v1/erasures", {**erased, "id": "moved"}).json()["events"] == EVENTS
        self.url = ("--url", str(server.http.base_url))
        self.answers = answers(server, self.secrets)

    def check(self, other: Server, secrets: dict[str, str]) -> None:
        assert answers(other, secrets) == self.answers
        for namespace in ENDPOINTS:
            send(other, namespace, known=True)
        assert other.send("unsiloed", STRANGE)["duplicates"] == len(STRANGE)
        conflict = other.send("unsiloed", [{**STRANGE[0], "data": {"amount": 2}}])
        assert conflict["conflicts"] == 1
        assert answers(other, secrets) == self.answers
