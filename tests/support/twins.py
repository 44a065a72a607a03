"""Two applications on one store, one ledger and one clock that can be moved: one keeps answers, the other does not."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from meterhouse.alerting import assemble_alerting
from meterhouse.catalog_files import load_catalogs, read_version
from meterhouse.contracts import Contracts, configured, installed
from meterhouse.contracts.contract import Contract
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.listing import CursorSeal
from meterhouse.domain.shards import Seat
from meterhouse.http.app import create_app
from meterhouse.http.metering import Metering
from meterhouse.http.portal_tokens import PortalTokens
from meterhouse.services.accounts import Accounts, KeyPolicy
from meterhouse.services.alerts import AlertRules
from meterhouse.services.catalog_changes import CatalogChanges
from meterhouse.services.corrections import Corrections
from meterhouse.services.enforcement import Enforcement
from meterhouse.services.erasures import Erasures
from meterhouse.services.event_explanations import EventExplanations
from meterhouse.services.forecasts import Forecasts
from meterhouse.services.grants import Grants
from meterhouse.services.ingest import Ingest
from meterhouse.services.migration import Migration
from meterhouse.services.operators import Operators
from meterhouse.services.price_previews import PricePreviews
from meterhouse.services.rate_limits import RateLimits
from meterhouse.services.reservations import Reservations
from meterhouse.services.snapshots import LocalSnapshots
from meterhouse.services.usage import Usage
from meterhouse.services.usage_queries import UsageQueries
from meterhouse.services.webhooks import Webhooks
from meterhouse.settings import Settings
from meterhouse.storage.backup import back_up
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from support.asgi import Client, client_of
from support.stores import open_store

# One contract with a limit that no test reaches, so that both ways of giving a kept answer are taken.
LIMITS = {"METERHOUSE_AUTOPOSTING_REQUESTS_PER_HOUR": "0", "METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR": "1000000"}
ADMIN_KEY = "twins-admin-key-0123"
_numbers = count(1)


@dataclass
class MovableClock:
    instant: datetime

    def now(self) -> datetime:
        return self.instant


@dataclass
class Twins:
    clock: MovableClock
    accounts: Accounts
    grants: Grants
    store: ClickHouseEventStore
    cached: Client
    plain: Client
    metering: Metering
    rules: AlertRules
    webhooks: Webhooks
    tokens: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def organization(self, namespace: str, created_at: datetime) -> str:
        made = self.accounts.create_organization(f"org-{next(_numbers)}", "Acme", namespace, created_at)
        return made.id

    def send(self, namespace: str, organization: str, kind: str, at: datetime, data: dict[str, Any]) -> None:
        self.store.append([self.event(namespace, organization, kind, at, data)], self.clock.now())

    def event(self, namespace: str, organization: str, kind: str, at: datetime, data: dict[str, Any]) -> Any:
        raw = {"specversion": "1.0", "id": f"e-{next(_numbers)}", "source": "twins", "type": kind}
        raw |= {"subject": organization, "time": at.isoformat(), "data": data}
        meters = self.accounts.catalogs.get(namespace).meters_by_event_type
        return parse_event(json.dumps(raw).encode(), namespace, meters, at)

    def compare(self, path: str, headers: Mapping[str, str]) -> httpx.Response:
        """The answer that may have been kept, which must be the one that was just made."""
        given, made = (twin.get(path, headers=headers) for twin in (self.cached, self.plain))
        assert told(given) == told(made), (path, self.clock.instant)
        return given

    def given_from_cache(self) -> int:
        [number] = re.findall(
            r'^meterhouse_answers_total\{source="cache"\} (\d+)', self.cached.get("/metrics").text, re.M
        )
        return int(number)


def told(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Everything of an answer but its id, and what is left of the hourly limit."""
    id = answer.headers["x-request-id"]
    headers = {name: text.replace(id, "<id>") for name, text in answer.headers.items()}
    headers.pop("x-ratelimit-remaining", None)
    return answer.status_code, answer.content.replace(id.encode(), b"<id>"), headers


@contextmanager
def twins_at(
    folder: Path,
    instant: datetime,
    contracts: Mapping[str, Contract] | None = None,
    limits: Mapping[str, str] = LIMITS,
    catalog_files: tuple[Path, ...] = (),
    *,
    shard: int = 0,
) -> Iterator[Twins]:
    contracts = dict(contracts or {name: configured(each, limits) for name, each in installed().items()})
    catalogs, clock = load_catalogs(catalog_files), MovableClock(instant)
    policies = {}
    for catalog in catalogs:
        contract = contracts[catalog.contract or ""]
        policies[catalog.namespace] = KeyPolicy(
            contract.key_format, contract.default_scopes, contract.scopes, contract.default_scopes
        )
    ledger = SqlLedger.open(f"sqlite:///{folder / 'ledger.db'}")
    store = open_store(folder, {each.namespace: tuple(each.meters.values()) for each in catalogs})
    accounts = Accounts(ledger, catalogs, policies, clock, os.urandom)
    usage = Usage(store, ledger, catalogs, clock, CursorSeal(b"twins"), seat=Seat(shard))
    enforcement = Enforcement(store, usage, catalogs, clock)
    ingest = Ingest(store, catalogs, clock, deleted=ledger.deleted, shard=shard, enforcement=enforcement)
    corrections = Corrections(
        store=store,
        log=store,
        seat=Seat(),
        ingest=ingest,
        usage=usage,
        catalogs=catalogs,
        clock=clock,
        random_id=lambda: f"c-{next(_numbers)}",
    )
    erasures = Erasures(
        store=store,
        log=store,
        seat=Seat(),
        ingest=ingest,
        ledger=ledger,
        accounts=accounts,
        catalogs=catalogs,
        clock=clock,
        random_bytes=os.urandom,
    )
    rules, webhooks = AlertRules(accounts), Webhooks(accounts, private_addresses=False, random_bytes=os.urandom)
    alert_worker, deliverer = assemble_alerting(
        Settings(),
        "0",
        store=store,
        usage=usage,
        forecasts=Forecasts(),
        rules=rules,
        seat=Seat(),
        changing=nullcontext,
    )
    metering = Metering(
        store=store,
        whole=store,
        ingest=ingest,
        intake=ingest,
        usage=usage,
        queries=UsageQueries(LocalSnapshots(store, shard), store, ledger, catalogs, clock),
        previews=PricePreviews(LocalSnapshots(store, shard), ledger, catalogs, clock),
        forecasts=Forecasts(),
        corrections=corrections,
        stories=EventExplanations(store, ledger, catalogs),
        erasures=erasures,
        enforcement=enforcement,
        reservations=Reservations(enforcement, ingest, catalogs, clock, lambda: f"r-{next(_numbers)}"),
        alert_worker=alert_worker,
        deliverer=deliverer,
        migration=Migration(
            store,
            ledger,
            mark=lambda _: None,
            new_id=lambda: "m",
            nanoseconds=time.monotonic_ns,
        ),
        back_up=partial(back_up, store, ledger, "0"),
        back_up_shard=partial(back_up, store, ledger, "0"),
    )
    tokens: dict[str, Mapping[str, Any]] = {}
    grants = Grants(accounts, Seat(), lambda: f"grant-{next(_numbers)}")
    apps = [
        create_app(
            version="0",
            data=Path(),
            admin_key=ADMIN_KEY,
            accounts=accounts,
            grants=grants,
            alert_rules=rules,
            webhooks=webhooks,
            catalogs=catalogs,
            catalog_changes=CatalogChanges(catalogs, ledger, read_version, clock),
            operators=Operators(ledger, catalogs, clock, os.urandom),
            contracts=Contracts(contracts, ()),
            verifiers={"onepin": tokens.get},
            rate_limits=RateLimits(ledger),
            metering=metering,
            portal_tokens=PortalTokens(os.urandom(32), clock),
            pages=None,
            clock=clock,
            max_body_bytes=1 << 20,
            decoding_bytes=1 << 24,
            answer_cache_bytes=size,
            cors_origins=("*",),
            body_timeout_seconds=10,
            body_bytes_per_second=10_000,
            failed_keys_per_minute=0,
        ).public
        for size in (1 << 20, 0)
    ]
    try:
        with client_of(apps[0], documented=False) as cached, client_of(apps[1], documented=False) as plain:
            yield Twins(clock, accounts, grants, store, cached, plain, metering, rules, webhooks, tokens)
    finally:
        ingest.close()
        store.close()
        ledger.close()
