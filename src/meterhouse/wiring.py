"""The one place that knows which parts a Meterhouse is built from."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO

from litestar.types import ASGIApp

from .contracts import configured, installed
from .contracts.contract import BASE62, Contract, TokenOptions
from .domain.catalog import Catalog, CatalogError, parse_catalog
from .domain.errors import FolderError
from .domain.listing import CursorSeal
from .domain.organization import KeyFormat
from .http.app import Metering, create_app
from .ports import Clock
from .services.accounts import EVENTS_WRITE, USAGE_READ, Accounts, KeyPolicy
from .services.catalogs import Catalogs
from .services.corrections import Corrections
from .services.erasures import Erasures
from .services.folding import Folding
from .services.ingest import Flow, Ingest
from .services.purging import Purging
from .services.rate_limits import RateLimits
from .services.retention import Retention
from .services.stories import Stories
from .services.upkeep import Upkeep
from .services.usage import Usage
from .settings import Settings
from .storage.clickhouse.engine import EngineError
from .storage.folder import DataFolder
from .storage.ledger.sql_ledger import SqlLedger

VERSION = importlib.metadata.version("meterhouse")

_OWN_KEYS = KeyPolicy(
    KeyFormat("mh_live_", BASE62, 32),
    default_scopes=frozenset({USAGE_READ}),
    scopes=frozenset({USAGE_READ, EVENTS_WRITE}),
    reading=frozenset({USAGE_READ}),
)
"""For namespaces whose organizations speak no contract but our own."""


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """See `ports.Clock`."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FrozenClock:
    """Always the same instant."""

    instant: datetime

    def now(self) -> datetime:
        """See `ports.Clock`."""
        return self.instant


@dataclass(frozen=True, slots=True)
class Meterhouse:
    """A running Meterhouse without its network side."""

    app: ASGIApp
    admin_key: str
    generated_admin_key: bool
    catalogs: Catalogs
    contracts: dict[str, Contract]


def load_catalogs(paths: tuple[Path, ...]) -> Catalogs:
    """The named catalogs, or the five built-in ones. Raises `CatalogError`, naming the file and the place."""
    folder = resources.files("meterhouse") / "catalogs"
    sources = (
        {str(path): path for path in paths}
        if paths
        else {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    )
    return Catalogs(_load_catalog(name, source) for name, source in sorted(sources.items()))


def _load_catalog(name: str, source: Path | resources.abc.Traversable) -> Catalog:
    try:
        document = tomllib.loads(source.read_text("utf-8"), parse_float=Decimal)
    except OSError as wrong:
        raise CatalogError(f"{name}: cannot be read: {wrong.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise CatalogError(f"{name}: not TOML: {wrong}") from None
    catalog = parse_catalog(document, name)
    if catalog.contract is not None and catalog.contract not in installed():
        known = ", ".join(installed())
        raise CatalogError(f"{name}: the contract {catalog.contract!r} is not installed; there is {known}")
    return catalog


def _policy(catalog: Catalog, contracts: dict[str, Contract]) -> KeyPolicy:
    if catalog.contract is None:
        return _OWN_KEYS
    contract = contracts[catalog.contract]
    reading = contract.default_scopes | frozenset(contract.scope_order)
    return KeyPolicy(contract.key_format, contract.default_scopes, contract.scopes, reading)


@contextmanager
def open_meterhouse(settings: Settings, *, engine: bool = True) -> Iterator[Meterhouse]:
    """Everything up to the ASGI application, closed in order at the end.

    `engine=False` leaves ClickHouse out, for work on accounts and catalogs only. Raises `FolderError`,
    `CatalogError`, `ContractError`; `Invalid` for an option of a contract; `NotFound` for a namespace in a setting.
    """
    catalogs = load_catalogs(settings.catalogs)
    for namespace in settings.retention_days:
        catalogs.get(namespace)
    contracts = {name: configured(contract, settings.contract_options) for name, contract in installed().items()}
    policies = {catalog.namespace: _policy(catalog, contracts) for catalog in catalogs}
    clock = FrozenClock(settings.now) if settings.now is not None else SystemClock()
    with ExitStack() as cleanup:
        folder = DataFolder(settings.data)
        cleanup.callback(folder.close)
        ledger = SqlLedger.open(settings.ledger_url or folder.ledger_url)
        cleanup.callback(ledger.close)
        grace = timedelta(days=settings.purge_after_days) if settings.purge_after_days else None
        accounts = Accounts(ledger, catalogs, policies, clock, os.urandom, grace)
        metering = None
        if engine:
            from .storage.backup import back_up  # noqa: PLC0415 - needs the engine
            from .storage.clickhouse.chdb_engine import ChdbEngine  # noqa: PLC0415 - 150 MB that accounts don't need
            from .storage.clickhouse.event_store import ClickHouseEventStore  # noqa: PLC0415 - with it comes numpy

            try:
                meters = {catalog.namespace: tuple(catalog.meters.values()) for catalog in catalogs}
                store = ClickHouseEventStore(ChdbEngine(folder.events), meters, folder.identities, folder.journal)
            except EngineError as failure:
                raise FolderError(f"the events in {folder.events} cannot be opened: {failure}") from failure
            cleanup.callback(store.close)
            cleanup.callback(Folding(store, settings.fold_interval_seconds).close)
            flow = Flow(settings.commit_delay_ms, settings.commit_events, waiting_events=settings.waiting_events)
            ingest = Ingest(store, catalogs, clock, flow, ledger.deleted)
            cleanup.callback(ingest.close)
            retention = Retention(store, ingest, catalogs, clock, settings.retention_days)
            incomplete = retention.incomplete()
            purging = [Purging(store, ingest, ledger, clock, grace).purge_due] if grace is not None else []
            cleanup.callback(Upkeep([*purging, retention.reduce_due]).close)
            seal = CursorSeal(ledger.secret("cursors", os.urandom(32)))
            usage = Usage(store, ledger, catalogs, clock, seal, incomplete)
            corrections = Corrections(
                store=store,
                ingest=ingest,
                usage=usage,
                catalogs=catalogs,
                clock=clock,
                random_id=lambda: secrets.token_hex(8),
            )
            erasures = Erasures(
                store=store,
                ingest=ingest,
                ledger=ledger,
                accounts=accounts,
                catalogs=catalogs,
                clock=clock,
                random_bytes=os.urandom,
            )
            stories, backing_up = Stories(store, ledger, catalogs), partial(back_up, store, ledger, VERSION)
            metering = Metering(store, ingest, usage, corrections, stories, erasures, backing_up)
        admin_key = settings.admin_key or f"mh_admin_{secrets.token_urlsafe(32)}"
        app = create_app(
            version=VERSION,
            admin_key=admin_key,
            accounts=accounts,
            catalogs=catalogs,
            contracts=contracts,
            verifiers=_token_verifiers(contracts, clock),
            rate_limits=RateLimits(ledger),
            metering=metering,
            clock=clock,
            max_body_bytes=settings.max_body_bytes,
            decoding_bytes=settings.decoding_mib * 1024 * 1024,
            answer_cache_bytes=settings.answer_cache_mib * 1024 * 1024,
        )
        yield Meterhouse(app, admin_key, settings.admin_key is None, catalogs, contracts)


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored folder has."""

    events: int
    has_ledger: bool
    """False when it was on PostgreSQL, which a backup leaves to backups of its own."""


def restore(source: BinaryIO, data: Path) -> Restored:
    """Makes a data folder from a backup. Raises `BackupError` and `FolderError`; nothing has changed then."""
    from .storage import backup  # noqa: PLC0415 - with it comes the engine

    manifest = backup.restore(source, data)
    return Restored(manifest.events, manifest.has_ledger)


def _token_verifiers(
    contracts: dict[str, Contract], clock: Clock
) -> Mapping[str, Callable[[str], Mapping[str, Any] | None]]:
    """One for each contract that was told whose tokens to take."""
    verifiers = {}
    for name, contract in contracts.items():
        if isinstance(options := contract.options, TokenOptions) and options.jwks:
            from .http.tokens import TokenVerifier  # noqa: PLC0415 - 40 ms that only those with tokens need

            verifiers[name] = TokenVerifier(
                options.jwks, options.issuer or None, options.audience or None, clock
            ).verify
    return verifiers
