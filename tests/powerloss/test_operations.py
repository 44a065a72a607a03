"""The power goes while what is stored is changed: what was answered holds, and what was not can be repeated."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx

from powerloss.disk import Disk
from powerloss.test_powerloss import forget_merged_parts_at_once
from support.depth import by_depth
from support.http_catalog import CATALOG
from support.server import Server, event, serve

ROUNDS = int(os.environ.get("POWERLOSS_ROUNDS", by_depth(2, 4, 50)))
SEED = int(os.environ.get("POWERLOSS_SEED", "1"))
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
CALLS = 300
WHO = {"actor": "ada", "reason": "a test"}
LONGEST_START_S = LONGEST_STOP_S = 30


@dataclass
class Organization:
    """What is known of one, and what it is asked for."""

    id: str
    name: str
    """Of a person whom its events tell of."""
    key: str = ""
    key_id: str = ""
    receipt: Any = None
    done: dict[str, bool] = field(default_factory=dict)
    """What was asked for, and whether it was answered."""


class Operations:
    """Each with the request, and what must be true when it was answered."""

    def __init__(self, server: Server):
        self.server = server

    def erase(self, org: Organization) -> Any:
        body = {"id": f"erase-{org.id}", "organization": org.id, "property": "user.id", "value": org.name, **WHO}
        return self.server.admin("POST", "/v1/erasures", body)

    def erased(self, org: Organization, events: list[dict[str, Any]]) -> None:
        assert org.name not in json.dumps(events)
        receipt = self.erase(org).json()
        if org.receipt is not None:
            assert receipt == org.receipt
        org.receipt = receipt

    def void(self, org: Organization) -> Any:
        voided = [{"source": "tests", "id": f"{org.id}-{number}"} for number in range(10)]
        return self.server.admin(
            "POST", "/v1/corrections?namespace=acme", {"id": f"void-{org.id}", "void": voided, **WHO}
        )

    def voided(self, _org: Organization, _events: list[dict[str, Any]]) -> None:
        """Its usage tells."""

    def revoke(self, org: Organization) -> Any:
        return self.server.admin("DELETE", f"/v1/organizations/{org.id}/keys/{org.key_id}")

    def revoked(self, org: Organization, _events: list[dict[str, Any]]) -> None:
        headers = {"authorization": f"Bearer {org.key}"}
        assert self.server.http.get(f"/v1/organizations/{org.id}/usage", headers=headers).status_code == 401

    def delete(self, org: Organization) -> Any:
        return self.server.admin("DELETE", f"/v1/organizations/{org.id}")

    def deleted(self, org: Organization, _events: list[dict[str, Any]]) -> None:
        """The next start removes its events, and may be interrupted there too."""
        path = f"/v1/organizations/{org.id}/restore"
        restored = self.server.admin("POST", path)
        assert restored.status_code in (200, 404)
        if restored.status_code == 200:
            assert self.delete(org).status_code == 204

    def rebuild(self, _org: Organization) -> Any:
        return self.server.admin("DELETE", "/v1/rollups")

    def rebuilt(self, _org: Organization, _events: list[dict[str, Any]]) -> None:
        """Answers come from events until it is done."""

    def back_up(self, _org: Organization) -> Any:
        return self.server.admin("GET", "/v1/backup")

    def backed_up(self, _org: Organization, _events: list[dict[str, Any]]) -> None:
        """Nothing of it is left in the folder."""
        assert self.server.admin("GET", "/v1/backup").status_code == 200


STEPS = {
    "erase": "erased",
    "void": "voided",
    "revoke": "revoked",
    "delete": "deleted",
    "rebuild": "rebuilt",
    "back_up": "backed_up",
}


@dataclass
class Scenario:
    disk: Disk
    random: Random
    organizations: list[Organization] = field(default_factory=list)
    interrupted: int = 0
    answered: int = 0

    @property
    def data(self) -> Path:
        return self.disk.mounted / "data"

    def served(self, day: int) -> Any:
        (self.disk.mounted.parent / "acme.toml").write_text(CATALOG)
        return serve(
            self.data,
            now=BEGIN + timedelta(days=day),
            arguments=("--catalog", str(self.disk.mounted.parent / "acme.toml")),
            environment={"METERHOUSE_PURGE_AFTER_DAYS": "1", "METERHOUSE_RETENTION_DAYS": "acme=2"},
        )

    def play(self, rounds: int) -> None:
        for day in range(rounds):
            began = time.monotonic()
            with self.served(day) as server:
                assert time.monotonic() - began < LONGEST_START_S
                self.check(server)
                self.lose_power_in_an_operation(server, day)
        began = time.monotonic()
        with self.served(rounds + 3) as server:
            assert time.monotonic() - began < LONGEST_START_S
            self.check(server)
            self.purged(server)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < LONGEST_STOP_S

    def lose_power_in_an_operation(self, server: Server, day: int) -> None:
        org = self.filled(server, day)
        name = self.random.choice(list(STEPS))
        request: Callable[[Organization], httpx.Response] = getattr(Operations(server), name)

        def answered() -> httpx.Response | None:
            with suppress(httpx.TransportError):
                return request(org)
            return None

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(answered)
            if self.random.random() < 0.5:
                asked.result()
            else:
                time.sleep(self.random.uniform(0, 0.1))
            self.disk.lose_power(server)
            answer = asked.result()
        if answer is not None:
            assert answer.is_success, answer.text
            org.done[name] = True
            org.receipt = answer.json() if name == "erase" else None
            self.answered += 1
        else:
            org.done[name] = False
            self.interrupted += 1

    def filled(self, server: Server, day: int) -> Organization:
        org = Organization(f"org-{day}", f"mallory-{day}")
        server.organization("acme", id=org.id)
        made = server.admin("POST", f"/v1/organizations/{org.id}/keys", {}).json()
        org.key, org.key_id = made["key"], made["id"]
        at = (BEGIN + timedelta(days=day, hours=-1)).isoformat()
        calls = [
            event(
                "call",
                org.id,
                {
                    "input": 1,
                    "output": "0.5",
                    "latency_ms": number,
                    "user": {"id": org.name if number % 2 else f"u{number}"},
                    "note": "not for meters",
                },
                at=at,
                id=f"{org.id}-{number}",
            )
            for number in range(CALLS)
        ]
        for begin in range(0, CALLS, 30):
            assert server.send("acme", calls[begin : begin + 30])["ingested"] == 30
            assert server.admin("GET", "/metrics").status_code == 200  # a part of its own
        self.organizations.append(org)
        return org

    def check(self, server: Server) -> None:
        """Everything that was answered is so; what was interrupted can be repeated, and is so then."""
        exported = server.admin("GET", "/v1/export").text.splitlines()
        events: dict[str, list[dict[str, Any]]] = {}
        for line in exported:
            found = json.loads(line)
            events.setdefault(found["subject"], []).append(found)
        for org in self.organizations:
            for name, answered in org.done.items():
                if not answered:
                    repeated = getattr(Operations(server), name)(org)
                    assert repeated.is_success or repeated.status_code in (404, 409), repeated.text
                    org.done[name] = True
                else:
                    getattr(Operations(server), STEPS[name])(org, events.get(org.id, []))
            if "delete" not in org.done:
                meters = server.usage(org.id)["meters"]
                calls = CALLS - 10 if "void" in org.done else CALLS
                assert (meters["calls"]["used"], meters["tokens"]["used"]) == (calls, calls * Decimal("1.5")), org

    def purged(self, server: Server) -> None:
        for _ in range(100):
            exported = server.admin("GET", "/v1/export").text.splitlines()
            kinds = {(found["subject"], found["type"]) for found in map(json.loads, exported)}
            left = [org.id for org in self.organizations if "delete" in org.done and (org.id, "call") in kinds]
            if not left:
                return
            time.sleep(0.1)
        raise AssertionError(f"events of deleted organizations are left: {left}")


def test_without_power_in_an_operation_what_was_answered_holds_and_the_rest_can_be_repeated(some_disk: Disk) -> None:
    scenario = Scenario(some_disk, Random(f"operations/{SEED}"))
    forget_merged_parts_at_once(scenario.data)
    try:
        scenario.play(ROUNDS)
    finally:
        print(f"\nPOWERLOSS_SEED={SEED}: {scenario.answered} answered, {scenario.interrupted} interrupted")
