"""The one place that knows which parts a Meterhouse is built from."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from litestar.types import ASGIApp

from .catalog_files import load_catalogs, meters_by_namespace
from .clocks import FrozenClock, SystemClock
from .contracts import configured, installed, refuse_unknown
from .contracts.contract import BASE62, Contract, TokenOptions
from .domain.catalog import Catalog
from .domain.errors import FolderError, MeterhouseError, NotFound
from .domain.listing import CursorSeal
from .domain.organization import KeyFormat
from .http.app import MakePages, Metering, create_app
from .http.portal_tokens import PortalTokens
from .ports.clock import Clock
from .services.accounts import EVENTS_WRITE, USAGE_READ, Accounts, KeyPolicy
from .services.catalogs import Catalogs
from .services.corrections import Corrections
from .services.erasures import Erasures
from .services.event_explanations import EventExplanations
from .services.forecasts import Forecasts
from .services.ingest import GroupCommitLimits, Ingest
from .services.maintenance_thread import MaintenanceThread
from .services.purging import Purging
from .services.rate_limits import RateLimits
from .services.retention import Retention
from .services.rollup_worker import RollupWorker
from .services.snapshots import LocalSnapshots
from .services.usage import Usage
from .services.usage_queries import UsageQueries
from .settings import VARIABLES, Settings
from .storage.clickhouse.engine.engine import EngineError
from .storage.folder import DataFolder
from .storage.ledger.sql_ledger import SqlLedger
from .storage.pairing import begin_turn, hold_to_each_other
from .storage.reserved_space import ReservedSpace

if TYPE_CHECKING:
    from .storage.clickhouse.store import ClickHouseEventStore

_log = structlog.get_logger(__name__)

VERSION = importlib.metadata.version("meterhouse")

_OWN_KEYS = KeyPolicy(
    KeyFormat("mh_live_", BASE62, 32),
    default_scopes=frozenset({USAGE_READ}),
    scopes=frozenset({USAGE_READ, EVENTS_WRITE}),
    reading=frozenset({USAGE_READ}),
)
"""For namespaces whose organizations speak no contract but our own."""


@dataclass(frozen=True, slots=True)
class Meterhouse:
    """A running Meterhouse without its network side."""

    version: str
    app: ASGIApp
    admin_key: str
    generated_admin_key: bool
    catalogs: Catalogs
    contracts: dict[str, Contract]
    announce: Callable[[str], None]
    """Is told the URL at which the app is served."""
    interrupt: Callable[[], None]
    """Is told that the server stops: what may take minutes is given up, and can be repeated."""


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
        try:
            catalogs.get(namespace)
        except NotFound as unknown:
            raise NotFound(f"METERHOUSE_RETENTION_DAYS: {unknown}") from None
    contracts = {name: configured(contract, settings.contract_options) for name, contract in installed().items()}
    refuse_unknown(settings.contract_options, contracts.values(), VARIABLES)
    policies = {catalog.namespace: _policy(catalog, contracts) for catalog in catalogs}
    clock = FrozenClock(settings.now) if settings.now is not None else SystemClock()
    with ExitStack() as cleanup:
        folder = DataFolder(settings.data)
        cleanup.callback(folder.close)
        reserved = ReservedSpace(folder.journal / "spare")
        ledger = _open_ledger(settings.ledger_url, folder, reserved)
        cleanup.callback(ledger.close)
        grace = timedelta(days=settings.purge_after_days) if settings.purge_after_days else None
        accounts = Accounts(ledger, catalogs, policies, clock, os.urandom, grace)
        metering = None
        portal_tokens = PortalTokens(ledger.secret("portal", os.urandom(32)), clock)
        pages: MakePages | None = None
        interrupt: Callable[[], None] = lambda: None  # noqa: E731 - without an engine nothing takes long
        if engine:
            from .storage.backup import back_up  # noqa: PLC0415 - needs the engine

            store = _open_store(folder, ledger, reserved, catalogs)
            cleanup.callback(_end_turn, folder, ledger)
            cleanup.callback(store.close)
            interrupt = store.interrupt
            begin_turn(folder.manifest, ledger)
            cleanup.callback(RollupWorker(store, settings.materialize_interval_seconds).close)
            limits = GroupCommitLimits(
                settings.commit_delay_ms, settings.commit_events, waiting_events=settings.waiting_events
            )
            ingest = Ingest(store, catalogs, clock, limits, ledger.deleted)
            cleanup.callback(ingest.close)
            retention = Retention(store, ingest, catalogs, clock, settings.retention_days)
            incomplete = retention.incomplete()
            purging = [Purging(store, ingest, ledger, clock, grace).purge_due] if grace is not None else []
            cleanup.callback(MaintenanceThread([*purging, retention.redact_due]).close)
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
            stories, backing_up = EventExplanations(store, ledger, catalogs), partial(back_up, store, ledger, VERSION)
            queries = UsageQueries(LocalSnapshots(store), store, ledger, catalogs, clock, incomplete)
            forecasts = Forecasts()
            metering = Metering(store, ingest, usage, queries, forecasts, corrections, stories, erasures, backing_up)
            from .dashboard.routes import Dashboard  # noqa: PLC0415 - with it come templates

            pages = Dashboard(
                version=VERSION,
                secret=ledger.secret("sessions", os.urandom(32)),
                accounts=accounts,
                usage=usage,
                queries=queries,
                forecasts=forecasts,
                stories=stories,
                portal_tokens=portal_tokens,
                contracts=contracts,
            ).routers
        admin_key = settings.admin_key or f"mh_admin_{secrets.token_urlsafe(32)}"
        app = create_app(
            version=VERSION,
            data=settings.data,
            admin_key=admin_key,
            accounts=accounts,
            catalogs=catalogs,
            contracts=contracts,
            verifiers=_token_verifiers(contracts, clock),
            rate_limits=RateLimits(ledger),
            portal_tokens=portal_tokens,
            metering=metering,
            pages=pages,
            clock=clock,
            max_body_bytes=settings.max_body_bytes,
            decoding_bytes=settings.decoding_mib * 1024 * 1024,
            answer_cache_bytes=settings.answer_cache_mib * 1024 * 1024,
            cors_origins=settings.cors_origins,
            body_timeout_seconds=settings.body_timeout_seconds,
            body_bytes_per_second=settings.body_bytes_per_second,
            failed_keys_per_minute=settings.failed_keys_per_minute,
        )
        yield Meterhouse(
            VERSION, app, admin_key, settings.admin_key is None, catalogs, contracts, folder.announce, interrupt
        )


def _open_ledger(url: str | None, folder: DataFolder, reserved: ReservedSpace) -> SqlLedger:
    if url is None:
        if (folder.manifest.state.turn or folder.shards.exists()) and not folder.ledger.exists():
            raise FolderError(f"{folder.ledger} is gone, with all organizations and keys{_what_to_do(folder)}")
        return SqlLedger.open(folder.ledger_url, reserved)
    try:
        return SqlLedger.open(url)
    except FolderError as wrong:
        raise FolderError(f"METERHOUSE_LEDGER_URL: {wrong}") from wrong


def _refuse_shards(folder: DataFolder, ledger: SqlLedger) -> None:
    """A process has one engine, and every shard needs its own."""
    if (count := ledger.shard_map().count) > 1:
        raise FolderError(
            f"{folder.path} has {count} shards: serve it with `meterhouse serve`, and name the server with --url"
        )
    if folder.shards.exists():
        raise FolderError(f"{folder.path} has shards, and the ledger does not know of them{_what_to_do(folder)}")


def _open_store(
    folder: DataFolder, ledger: SqlLedger, reserved: ReservedSpace, catalogs: Catalogs
) -> ClickHouseEventStore:
    from .storage.assembly import assemble_store  # noqa: PLC0415 - with it comes numpy
    from .storage.clickhouse.engine.chdb_engine import ChdbEngine  # noqa: PLC0415 - 150 MB that accounts don't need

    _refuse_shards(folder, ledger)
    try:
        hold_to_each_other(folder.manifest, ledger)
        return assemble_store(ChdbEngine(folder.events), folder, reserved, meters_by_namespace(catalogs))
    except (EngineError, FolderError) as failure:
        raise FolderError(f"{failure}{_what_to_do(folder)}") from failure


def _end_turn(folder: DataFolder, ledger: SqlLedger) -> None:
    try:
        begin_turn(folder.manifest, ledger)
    except (OSError, MeterhouseError) as failure:  # the next start takes the pair as it was
        _log.warning("the end of this run could not be written down", exc_info=failure)


def _what_to_do(folder: DataFolder) -> str:
    return (
        f".\nThe server does not start on {folder.path}, and nothing in it was changed: restore a backup, or run "
        f"`meterhouse repair {folder.path}`, which puts right what it can and says what is lost before it goes on."
    )


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
