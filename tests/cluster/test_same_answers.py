"""Whatever is done to a server of one shard and to one of three, they answer the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

import httpx
import msgspec
import pytest

from meterhouse.domain.shards import ShardMap
from support.books import ENDPOINTS, ENVIRONMENT, METERS, NOW, Sent, some_event
from support.depth import by_depth
from support.server import ADMIN_KEY, Server, serve

SHARDS = 3
SEED = int(os.environ.get("SHARDS_SEED", "1"))
STEPS = by_depth(8, 12, 600)
ORGANIZATIONS = {namespace: [f"{namespace}-{number}" for number in range(1, 6)] for namespace in METERS}
QUERIES = (
    "range=30d&group_by=organization",
    "range=90d&group_by=organization&top=2&compare=previous",
    "range=30d&window=day&timezone=America/New_York",
    "range=12w&window=week&top=3&group_by=organization&as_of=2026-06-15T11:59:00Z",
)
OF_THEIR_OWN = re.compile(rb'"(?:position|request_id|commit|received_at)":(?:"[^"]*"|\d+),?|erased:[0-9a-f]+')
"""What tells one server from another: each shard numbers its commits, and the word for what was erased is random."""


ODD = ('{"specversion":"1.0","id":"odd"}', "7", '{"id":"x","subject":"nobody"}')


Keys: TypeAlias = tuple[dict[str, str], dict[str, str]]
"""By organization, of either server."""


class Both:
    """Two servers that are told the same."""

    def __init__(self, servers: tuple[Server, Server], keys: Keys):
        self.servers = servers
        self.keys = keys

    def ask(self, method: str, path: str, *, media: str = "application/json", **options: Any) -> tuple[int, bytes]:
        """What both answer, which is the same."""
        headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": media}
        return self._compare(
            path, [each.http.request(method, path, headers=headers, **options) for each in self.servers]
        )

    def ask_as(self, organization: str, path: str, header: str, credential: str) -> None:
        """The same with a key of an organization's own."""
        answers = [
            each.http.get(path, headers={header: credential.format(keys[organization])})
            for each, keys in zip(self.servers, self.keys, strict=True)
        ]
        self._compare(path, answers)

    @staticmethod
    def _compare(path: str, answers: list[httpx.Response]) -> tuple[int, bytes]:
        (one, several) = ((each.status_code, OF_THEIR_OWN.sub(b"", each.content)) for each in answers)
        assert one == several, path
        return one


@contextmanager
def served(folder: Path, keys: Keys, *, shards: int = 0) -> Iterator[Both]:
    """Both servers, with keys that they have; `shards` is how many a new second one has."""
    more = {"METERHOUSE_SHARDS": str(shards)} if shards else {}
    with (
        serve(folder / "one", now=NOW, environment=ENVIRONMENT) as one,
        serve(folder / "several", now=NOW, environment={**ENVIRONMENT, **more}) as several,
    ):
        yield Both((one, several), keys)
        assert [one.stop(), several.stop()] == [0, 0]


def open_accounts(both: Both) -> None:
    for namespace, organizations in ORGANIZATIONS.items():
        assert len({ShardMap.even(SHARDS).shard_of(namespace, each) for each in organizations}) > 1
        for organization in organizations:
            created = "2026-01-01T00:00:00Z"
            body = {"id": organization, "name": organization, "namespace": namespace, "created_at": created}
            assert both.ask("POST", "/v1/organizations", json=body)[0] == 201
            for server, keys in zip(both.servers, both.keys, strict=True):
                keys[organization] = server.key(organization)
            if organization.endswith("-5"):
                continue  # its usage period is open
            subscription = {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}
            both.ask("PUT", f"/v1/organizations/{organization}/subscription", json=subscription)


class Life:
    """Things that happen, at random."""

    def __init__(self, both: Both, seed: int):
        self._both = both
        self._random, self._seed = Random(seed), seed
        self._sent: list[Sent] = []
        self._corrections: list[tuple[str, str]] = []
        self._granted: list[tuple[str, str]] = []
        self._number = 0

    def go_on_with(self, both: Both) -> None:
        """On the same folders."""
        self._both = both

    def step(self) -> None:
        happenings = (
            self.send,
            self.send,
            self.send_again,
            self.contradict,
            self.correct,
            self.undo,
            self.erase,
            self.delete,
            self.grant,
            self.void,
        )
        self._random.choice(happenings)()

    def send(self) -> None:
        """A batch over organizations of a namespace, with an event or two that cannot be taken."""
        namespace = self._random.choice([*ORGANIZATIONS])
        batch = []
        for _ in range(self._random.randint(1, 40)):
            self._number += 1
            sent = some_event(self._random, namespace, f"e-{self._seed}-{self._number}")
            batch.append(replace(sent, organization=self._random.choice(ORGANIZATIONS[namespace])))
        self._sent += batch
        texts = [each.json() for each in batch]
        for odd in ('{"specversion":"1.0","id":"odd"}', "7", '{"id":"x","subject":"nobody"}')[
            : self._random.randrange(3)
        ]:
            texts.insert(self._random.randint(0, len(texts)), odd)
        self._post(namespace, texts, lines=self._random.random() < 0.3)

    def send_again(self) -> None:
        """Some events of before."""
        if self._sent:
            namespace = self._random.choice(self._sent).namespace
            of_it = [each for each in self._sent if each.namespace == namespace]
            self._post(namespace, [each.json() for each in self._random.sample(of_it, min(len(of_it), 10))])

    def contradict(self) -> None:
        """An event of before, with other content."""
        if self._sent:
            event = self._random.choice(self._sent)
            other = msgspec.json.decode(event.data) | {"note": self._number}
            self._post(event.namespace, [replace(event, data=msgspec.json.encode(other).decode()).json()])

    def correct(self) -> None:
        """Voids events of one organization."""
        if not self._sent:
            return
        event = self._random.choice(self._sent)
        of_it = [each for each in self._sent if each.organization == event.organization][:3]
        self._number += 1
        name = f"c-{self._seed}-{self._number}"
        named = [{"source": "crash", "id": each.id} for each in of_it]
        body = {"id": name, "actor": "ada", "reason": "a test", "void": self._random.sample(named, 1)}
        preview = self._random.random() < 0.3
        path = f"/v1/corrections?namespace={event.namespace}{'&preview=true' if preview else ''}"
        if self._both.ask("POST", path, json=body)[0] in (200, 201) and not preview:
            self._corrections.append((event.namespace, name))

    def undo(self) -> None:
        """Takes a correction back."""
        if self._corrections:
            namespace, name = self._random.choice(self._corrections)
            body = {"id": f"{name}-undone", "actor": "ada", "reason": "a test"}
            self._both.ask("POST", f"/v1/corrections/{name}/undo?namespace={namespace}", json=body)
            self._both.ask("GET", f"/v1/corrections/{name}?namespace={namespace}")

    def erase(self) -> None:
        """A person of one organization."""
        organization = self._random.choice(ORGANIZATIONS["onepin"])
        self._number += 1
        body = {
            "id": f"x-{self._seed}-{self._number}",
            "organization": organization,
            "property": "user_id",
            "value": "ada",
        }
        status, receipt = self._both.ask("POST", "/v1/erasures", json=body | {"actor": "ada", "reason": "a test"})
        assert status in (200, 201), receipt

    def delete(self) -> None:
        """An organization, and most times takes that back."""
        organization = self._random.choice(ORGANIZATIONS["octolens"])
        if self._both.ask("DELETE", f"/v1/organizations/{organization}")[0] == 204 and self._random.random() < 0.8:
            assert self._both.ask("POST", f"/v1/organizations/{organization}/restore")[0] == 200

    def grant(self) -> None:
        """An amount, most times for some time only."""
        namespace = self._random.choice(("unsiloed", "onepin", "autoposting"))
        organization = self._random.choice(ORGANIZATIONS[namespace])
        self._number += 1
        month = self._random.randint(1, 6)
        body = {
            "id": f"g-{self._seed}-{self._number}",
            "meter": "credits",
            "amount": self._random.randint(1, 500),
            "priority": self._random.randint(0, 3),
            "effective_at": f"2026-{month:02}-{self._random.randint(1, 28):02}T07:00:00Z",
            "expires_at": f"2026-{month + 3:02}-01T00:00:00Z" if self._random.random() < 0.7 else None,
            "recurrence": {"interval": "P1M", "anchor": "2026-01-31"} if self._random.random() < 0.3 else None,
        }
        for status in (201, 200):
            assert self._both.ask("POST", f"/v1/organizations/{organization}/grants", json=body)[0] == status
        self._granted.append((organization, body["id"]))

    def void(self) -> None:
        """A grant of before."""
        if self._granted:
            organization, name = self._random.choice(self._granted)
            assert self._both.ask("POST", f"/v1/organizations/{organization}/grants/{name}/void")[0] == 200

    def _post(self, namespace: str, texts: list[str], *, lines: bool = False) -> None:
        content = "\n".join(texts) if lines else f"[{','.join(texts)}]"
        media = "application/x-ndjson" if lines else "application/json"
        self._both.ask("POST", f"/v1/events?namespace={namespace}", content=content, media=media)

    def ask_everything(self) -> None:
        both = self._both
        for namespace, organizations in ORGANIZATIONS.items():
            meters = "&".join(f"meter={each}" for each in METERS[namespace])
            for query in QUERIES:
                both.ask("GET", f"/v1/query?namespace={namespace}&{meters}&{query}")
                both.ask("GET", f"/v1/query?{meters}&{query}&organization={'&organization='.join(organizations[:3])}")
            for organization in organizations:
                both.ask("GET", f"/v1/organizations/{organization}/usage")
                both.ask("GET", f"/v1/organizations/{organization}/usage?as_of=2026-06-15T11:00:00Z")
                both.ask("GET", f"/v1/query?organization={organization}&{meters}&range=30d&window=day")
                both.ask("GET", f"/v1/query?organization={organization}&{meters}&window=month")
                both.ask("GET", f"/v1/organizations/{organization}/grants")
                balance = f"/v1/organizations/{organization}/balances/{METERS[namespace][0]}"
                both.ask("GET", balance)
                both.ask("GET", f"{balance}/history?from=2026-01-01&to=2026-07-01&window=month")
                path, header, credential = ENDPOINTS[namespace]
                both.ask_as(organization, path.replace("aitronos-1", organization), header, credential)
        for event in self._random.sample(self._sent, min(len(self._sent), 10)):
            both.ask("GET", f"/v1/namespaces/{event.namespace}/events/crash/{event.id}")
        exports = [OF_THEIR_OWN.sub(b"", each.admin("GET", "/v1/export").content) for each in both.servers]
        lines = [sorted(each.splitlines()) for each in exports]
        assert lines[0] == lines[1]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(SEED, SEED + by_depth(1, 1, 10)))
def test_one_shard_and_three_answer_the_same_and_others_after_a_reshard(tmp_path: Path, seed: int) -> None:
    keys: Keys = ({}, {})
    with served(tmp_path, keys, shards=SHARDS) as both:
        open_accounts(both)
        life = Life(both, seed)
        for number in range(STEPS):
            life.step()
            if number % 10 == 5:
                life.ask_everything()
        life.ask_everything()
    for name, shards in (("one", "2"), ("several", "1")):
        command = [sys.executable, "-m", "meterhouse", "reshard", shards, "--data", str(tmp_path / name)]
        subprocess.run(command, check=True, capture_output=True)
    with served(tmp_path, keys) as both:
        assert [len(each.shards()) for each in both.servers] == [2, 0]
        life.go_on_with(both)
        life.ask_everything()
        for _ in range(STEPS // 2):
            life.step()
        life.ask_everything()
