"""A folder of several shards, each of which is used as if it were all there is, and its twin of one shard."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from meterhouse.cli.client import Client, client_of
from meterhouse.domain.period import format_instant
from meterhouse.domain.retention import EVERYONE
from meterhouse.domain.shards import ShardMap
from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.storage.manifest import read_manifest
from meterhouse.wiring import open_meterhouse
from support.books import METERS, NOW, SOURCE, Sent, some_event

SETTINGS = Settings(admin_key="test-admin-key-0123456789")
NAMESPACES = ("unsiloed", "octolens", "autoposting", "onepin")
ORGANIZATIONS = [(namespace, f"{namespace}-{number}") for namespace in NAMESPACES for number in range(2)]
WHO = {"actor": "ada", "reason": "a test"}
_ROWS = """
SELECT namespace, organization, type, toString(time), source, id, identity, position, toString(stored_at), data,
    toString(numbers) FROM events
"""
_POSITION = re.compile(r'"position":"[^"]*",?')
Answers = dict[tuple[str, str], str]


def count_of(data: Path) -> int:
    """How many shards a folder has, as its ledger tells."""
    return map_of(data).count


def ledger_of(data: Path) -> SqlLedger:
    return SqlLedger.open(f"sqlite:///{data / 'ledger.sqlite'}")


def map_of(data: Path) -> ShardMap:
    with closing(ledger_of(data)) as ledger:
        return ledger.shard_map()


def rows_of(data: Path) -> list[tuple[int, list[Any]]]:
    """Every event with its shard, as it is stored, but for the commit."""
    found = []
    count = count_of(data)
    for shard in range(count):
        with closing(ChdbEngine((data if count == 1 else data / "shards" / str(shard)) / "events")) as engine:
            found += [(shard, row) for row in engine.rows(_ROWS, {})]
    return found


def events_of(random: Random, count: int, prefix: str) -> list[Sent]:
    """New events of all organizations."""
    made = []
    for number in range(count):
        namespace, organization = random.choice(ORGANIZATIONS)
        event = some_event(random, namespace, f"{prefix}-{number}")
        made.append(replace(event, organization=organization))
    return made


def some_events(count: int, prefix: str = "some") -> list[Sent]:
    return events_of(Random(prefix), count, prefix)


@contextmanager
def opened(
    data: Path, now: datetime, retention: Mapping[str, int] | None = None, *, engine: bool = True
) -> Iterator[Client]:
    settings = replace(SETTINGS, data=data, now=now, retention_days=dict(retention or {}))
    with open_meterhouse(settings, engine=engine) as meterhouse, client_of(meterhouse) as client:
        yield client


@contextmanager
def opened_shard(data: Path, shard: int, now: datetime, retention: Mapping[str, int] | None = None) -> Iterator[Client]:
    """A shard of a folder, with the folder's ledger, as if there were no other; the ledger knows of it afterwards."""
    if (shards := map_of(data)).count == 1:
        with opened(data, now, retention) as client:
            yield client
        return
    folder = data / "shards" / str(shard)
    alone = data.parent / f"{data.name}-alone"
    with closing(ledger_of(data)) as ledger:
        turn = ledger.turn(shard)
        ledger.copy_into(data.parent / "ledger-of-one")
        folder.rename(alone)
        (data.parent / "ledger-of-one").rename(alone / "ledger.sqlite")
        with closing(ledger_of(alone)) as own:
            own.set_shard_map(ShardMap.even(1))
            if turn is not None:
                own.set_turn(turn)
        try:
            with opened(alone, now, retention) as client:
                yield client
        finally:
            for left in alone.glob("ledger.sqlite*"):
                left.unlink()
            (alone / "address").unlink(missing_ok=True)
            alone.rename(folder)
        ledger.set_turn(read_manifest(folder / "manifest").state.turn or 0, shard)
    assert map_of(data) == shards


def copied(folder: Path, to: Path) -> Path:
    """Parts are never changed: both may have the same."""

    def copy(source: str, target: str) -> None:
        if "/all_" in source:
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    shutil.copytree(folder, to, symlinks=True, copy_function=copy, ignore=shutil.ignore_patterns("spare"))
    return to


def filled(data: Path, now: datetime) -> None:
    """A folder of one shard with 500 events in 20 commits."""
    with opened(data, now) as client:
        add_organizations(client)
        for number in range(5):
            for namespace in NAMESPACES:
                sent = [each for each in some_events(100, f"{number}") if each.namespace == namespace]
                client.send_batch(namespace, [each.json().encode() for each in sent])


def add_organizations(client: Client) -> None:
    for namespace, organization in ORGANIZATIONS:
        client.call("POST", "/v1/organizations", {"id": organization, "name": organization, "namespace": namespace})


def wait_for_record(client: Client) -> None:
    """What follows a record is finished when the folder is closed."""
    while b"meterhouse.retention" not in b"".join(client.download("/v1/export")):
        time.sleep(0.02)


@dataclass(frozen=True)
class Told:
    events: list[Sent]
    void: list[Sent]
    undo: list[Sent]
    known: bool

    def to(self, client: Client, living: list[tuple[str, str]]) -> None:
        """Tells what is of those who live there."""
        for namespace in NAMESPACES:
            mine = [each for each in self.events if each.namespace == namespace and here(each, living)]
            for begin in range(0, len(mine), 40):  # commits of their own
                batch = [each.json().encode() for each in mine[begin : begin + 40]]
                report = client.send_batch(namespace, batch)
                assert report["duplicates" if self.known else "ingested"] == len(batch), report
        for each in self.void:
            if here(each, living):
                named = {"source": SOURCE, "id": each.id, "organization": each.organization}
                body = {"id": f"void-{each.id}", "void": [named], **WHO}
                client.call("POST", "/v1/corrections", body, query={"namespace": each.namespace})
        for each in self.undo:
            if here(each, living):
                path, body = f"/v1/corrections/void-{each.id}/undo", {"id": f"undo-{each.id}", **WHO}
                client.call("POST", path, body, query={"namespace": each.namespace})


def here(event: Sent, living: list[tuple[str, str]]) -> bool:
    return (event.namespace, event.organization) in living


@dataclass
class Twins:
    """The same is told to a folder of one shard and to one whose shards change, and the same must be answered."""

    plain: Path
    sharded: Path
    sent: list[Sent] = field(default_factory=list)
    known: list[datetime] = field(default_factory=list)
    """When something was told."""

    @classmethod
    def begin(cls, folder: Path) -> Twins:
        """Both are empty, but for the accounts."""
        made = cls(folder / "plain", folder / "sharded")
        with opened(made.plain, NOW - timedelta(days=200)) as client:
            add_organizations(client)
        shutil.copytree(made.plain, made.sharded, symlinks=True)
        return made

    def tell(
        self,
        now: datetime,
        events: Sequence[Sent] = (),
        *,
        void: Iterable[Sent] = (),
        undo: Iterable[Sent] = (),
        known: bool = False,
    ) -> None:
        """Tells both the same, and compares all that they answer. `known` events were told before."""
        self.known.append(now)
        told = Told([*events], [*void], [*undo], known)
        with opened(self.plain, now) as client:
            told.to(client, ORGANIZATIONS)
            expected = self._answers(client, ORGANIZATIONS)
        for shard, living in self._living():
            with opened_shard(self.sharded, shard, now) as client:
                told.to(client, living)
                for name, answer in self._answers(client, living).items():
                    assert answer == expected.pop(name), name
        assert not expected
        self.sent += [] if known else events

    def reduce(self, now: datetime, days: dict[str, int]) -> None:
        """Has old events reduced in both."""
        with opened(self.plain, now, days) as client:
            wait_for_record(client)
        for shard, living in self._living():
            if {*days} & {namespace for namespace, _ in living}:
                with opened_shard(self.sharded, shard, now, days) as client:
                    wait_for_record(client)

    def _living(self) -> Iterator[tuple[int, list[tuple[str, str]]]]:
        home = map_of(self.sharded)
        for shard in range(home.count):
            yield shard, [pair for pair in ORGANIZATIONS if home.shard_of(*pair) == shard]

    def _answers(self, client: Client, pairs: Iterable[tuple[str, str]]) -> Answers:
        """Of each organization its usage, what was known of it before, and its events in their order."""
        found: defaultdict[tuple[str, str], str] = defaultdict(str)
        instants = [self.known[-1] - timedelta(seconds=1), *self.known[-2:-1]]
        for namespace, organization in pairs:
            asked = [(f"/v1/organizations/{organization}/usage", None)]
            named = [("organization", organization), *(("meter", each) for each in METERS[namespace])]
            span = [("from", "2026-01-01T00:00:00Z"), ("to", "2026-07-01T00:00:00Z")]
            asked += [("/v1/query", (*named, *span, ("as_of", format_instant(at)))) for at in instants]
            for path, query in asked:
                answer = client._ask("GET", path, None, query, "")
                assert answer.status_code == 200, answer.text
                found[organization, path] += _POSITION.sub("", answer.text)
        for line in b"".join(client.download("/v1/export")).splitlines():
            event = msgspec.json.decode(line)
            if event["subject"] != EVERYONE:
                found[event["subject"], "events"] += line.decode()
        return found
