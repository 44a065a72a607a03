"""The one place that knows which parts a Meterhouse is built from."""

from __future__ import annotations

import importlib.metadata
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from litestar.types import ASGIApp

from .alerting import assemble_alerting
from .catalog_files import follow_versions, load_catalogs, read_version
from .clocks import FrozenClock, SystemClock
from .cluster.divided_ingest import divided
from .cluster.peers import Peers
from .cluster.spanning_snapshots import SpanningSnapshots
from .cluster.spanning_store import SpanningStore
from .contracts import Contracts, load_contracts
from .contracts.contract import Contract
from .domain.errors import Invalid
from .domain.listing import CursorSeal
from .domain.shards import Seat
from .http.app import MakePages, create_app
from .http.metering import Metering
from .http.portal_tokens import PortalTokens
from .key_policies import KeyPolicies, token_verifiers
from .ports.chunks import Chunks
from .ports.clock import Clock
from .ports.event_store import EventStore
from .ports.snapshots import Snapshots
from .ports.whole_store import WholeStore
from .services.accounts import Accounts
from .services.alerts import AlertRules
from .services.catalog_changes import CatalogChanges
from .services.catalogs import Catalogs
from .services.corrections import Corrections
from .services.enforcement import Enforcement
from .services.erasures import Erasures
from .services.event_explanations import EventExplanations
from .services.forecasts import Forecasts
from .services.grants import Grants
from .services.ingest import GroupCommitLimits, Ingest
from .services.maintenance_thread import MaintenanceThread
from .services.migration import Migration
from .services.operators import Operators
from .services.price_previews import PricePreviews
from .services.purging import Purging
from .services.rate_limits import RateLimits
from .services.reservations import Reservations
from .services.retention import Completeness, Retention
from .services.rollup_worker import RollupWorker
from .services.snapshots import LocalSnapshots
from .services.usage import Usage
from .services.usage_queries import UsageQueries
from .services.webhooks import Webhooks
from .settings import VARIABLES, Settings, new_admin_key
from .standing import Place, Standing, stand
from .storage.ledger.sql_ledger import SqlLedger

VERSION = importlib.metadata.version("meterhouse")


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
    begin: Callable[[], None]
    """Begins what a server does by itself, like telling what its alert rules are about."""
    of_shards: ASGIApp | None = None
    """What the processes of other shards ask; None where there are none."""
    peers: Peers | None = None


def _random_id() -> str:
    return secrets.token_hex(8)


@contextmanager
def open_meterhouse(settings: Settings, *, engine: bool = True, place: Place | None = None) -> Iterator[Meterhouse]:
    """Everything up to the ASGI application, closed in order at the end.

    `engine=False` leaves ClickHouse out, for work on accounts and catalogs only; `place` is given where there are
    several shards, of which this process has one. Raises `FolderError`, `CatalogError`, `ContractError`; `Invalid` for
    an option of a contract; `NotFound` for a namespace in a setting.
    """
    with ExitStack() as cleanup:
        ground = _open_ground(settings, place, cleanup)
        portal_tokens = PortalTokens(ground.ledger.secret("portal", os.urandom(32)), ground.clock)
        metering = _open_metering(ground, cleanup) if engine else None
        admin_key = settings.admin_key or new_admin_key()
        operators = Operators(ground.ledger, ground.catalogs, ground.clock, os.urandom)
        apps = create_app(
            version=VERSION,
            data=settings.data,
            admin_key=admin_key,
            accounts=ground.accounts,
            grants=Grants(ground.accounts, ground.seat, _random_id),
            alert_rules=AlertRules(ground.accounts),
            webhooks=ground.webhooks,
            catalogs=ground.catalogs,
            catalog_changes=CatalogChanges(ground.catalogs, ground.ledger, read_version, ground.clock),
            operators=operators,
            contracts=ground.contracts,
            verifiers=token_verifiers(ground.contracts.of_organizations, ground.clock),
            rate_limits=RateLimits(ground.ledger, metering.migration.changing if metering is not None else nullcontext),
            portal_tokens=portal_tokens,
            metering=metering,
            pages=_pages(ground, metering, portal_tokens) if metering is not None else None,
            clock=ground.clock,
            max_body_bytes=settings.max_body_bytes,
            decoding_bytes=settings.decoding_mib * 1024 * 1024,
            answer_cache_bytes=settings.answer_cache_mib * 1024 * 1024,
            cors_origins=settings.cors_origins,
            body_timeout_seconds=settings.body_timeout_seconds,
            body_bytes_per_second=settings.body_bytes_per_second,
            failed_keys_per_minute=settings.failed_keys_per_minute,
            peers=ground.peers,
            holds=ground.standing.holds,
            members=ground.standing.members,
        )
        yield Meterhouse(
            version=VERSION,
            app=apps.public,
            admin_key=admin_key,
            generated_admin_key=settings.admin_key is None,
            catalogs=ground.catalogs,
            contracts=ground.contracts.of_organizations,
            announce=ground.standing.ground.announce,
            interrupt=metering.store.interrupt if metering is not None else lambda: None,
            begin=metering.begin if metering is not None else lambda: None,
            of_shards=apps.of_shards,
            peers=ground.peers,
        )


@dataclass(frozen=True, slots=True)
class _Ground:
    """What stands before there is an engine."""

    settings: Settings
    catalogs: Catalogs
    contracts: Contracts
    clock: Clock
    standing: Standing
    ledger: SqlLedger
    accounts: Accounts
    grace: timedelta | None
    seat: Seat
    peers: Peers | None
    webhooks: Webhooks


def _open_ground(settings: Settings, place: Place | None, cleanup: ExitStack) -> _Ground:
    catalogs = load_catalogs(settings.catalogs)
    contracts = load_contracts(settings.contract_options, VARIABLES)
    clock = FrozenClock(settings.now) if settings.now is not None else SystemClock()
    standing = stand(settings, place)
    cleanup.callback(standing.ground.close)
    ledger, seat, peers = standing.ground.ledger, standing.ground.seat, None
    follow_versions(catalogs, ledger, settings.retention_days)
    if standing.addresses is not None:
        peers = Peers(standing.addresses, seat, ledger.secret("node", os.urandom(32)))
    grace = timedelta(days=settings.purge_after_days) if settings.purge_after_days else None
    accounts = Accounts(ledger, catalogs, KeyPolicies(catalogs, contracts.of_organizations), clock, os.urandom, grace)
    webhooks = Webhooks(accounts, settings.webhook_addresses == "any", os.urandom)
    return _Ground(settings, catalogs, contracts, clock, standing, ledger, accounts, grace, seat, peers, webhooks)


def _open_metering(ground: _Ground, cleanup: ExitStack) -> Metering:
    """The store, and the services that need it."""
    from .storage.backup import back_up, back_up_shards  # noqa: PLC0415 - they need the engine

    settings, catalogs, clock = ground.settings, ground.catalogs, ground.clock
    ledger, seat, peers = ground.ledger, ground.seat, ground.peers
    store = ground.standing.ground.open_store(catalogs.meters())
    whole: WholeStore = store if peers is None else SpanningStore(store, seat, peers)
    cleanup.callback(RollupWorker(store, catalogs.meters, settings.materialize_interval_seconds).close)
    limits = GroupCommitLimits(settings.commit_delay_ms, settings.commit_events, waiting_events=settings.waiting_events)
    seal = CursorSeal(ledger.secret("cursors", os.urandom(32)))
    completeness = Completeness(store, catalogs)
    usage = Usage(store, ledger, catalogs, clock, seal, completeness.since, seat)
    enforcement = Enforcement(store, usage, catalogs, clock)
    ingest = Ingest(store, catalogs, clock, limits, ledger.deleted, shard=seat.number, enforcement=enforcement)
    cleanup.callback(ingest.close)
    retention = Retention(store, ingest, catalogs, clock, completeness, settings.retention_days)
    migration = _migration(ground, store)
    upkeep = [migration.at_rest(retention.redact_due), migration.at_rest(ground.webhooks.forget_old)]
    if ground.grace is not None:
        purging = Purging(store, ingest, ledger, clock, ground.grace, seat)
        upkeep.insert(0, migration.at_rest(purging.purge_due))
    cleanup.callback(MaintenanceThread(upkeep).close)
    back_up_own = partial(back_up, store, None, VERSION)

    def back_up_all() -> Chunks:
        if ground.standing.holds is not None:
            raise Invalid("a cluster is backed up with its PostgreSQL and its ClickHouse servers, which have its data")
        if peers is None:
            return back_up(store, ledger, VERSION)
        return back_up_shards(peers.stream_all("backup", back_up_own), ledger, VERSION)

    forecasts = Forecasts()
    alert_worker, deliverer = assemble_alerting(
        settings,
        VERSION,
        store=store,
        usage=usage,
        forecasts=forecasts,
        rules=AlertRules(ground.accounts),
        seat=seat,
        changing=migration.changing,
    )
    cleanup.callback(deliverer.close)
    cleanup.callback(alert_worker.close)
    here = LocalSnapshots(store, seat.number)
    snapshots: Snapshots = here if peers is None else SpanningSnapshots(here, seat, peers)
    return Metering(
        store=store,
        whole=whole,
        ingest=ingest,
        intake=ingest if peers is None else divided(ingest, seat, peers, catalogs),
        usage=usage,
        queries=UsageQueries(snapshots, store, ledger, catalogs, clock, completeness.since, seat),
        previews=PricePreviews(snapshots, ledger, catalogs, clock),
        forecasts=forecasts,
        corrections=Corrections(
            store=store,
            log=whole,
            seat=seat,
            ingest=ingest,
            usage=usage,
            catalogs=catalogs,
            clock=clock,
            random_id=_random_id,
        ),
        stories=EventExplanations(whole, ledger, catalogs),
        erasures=Erasures(
            store=store,
            log=whole,
            seat=seat,
            ingest=ingest,
            ledger=ledger,
            accounts=ground.accounts,
            catalogs=catalogs,
            clock=clock,
            random_bytes=os.urandom,
            changing_in_place=migration.changing_in_place,
        ),
        enforcement=enforcement,
        reservations=Reservations(enforcement, ingest, catalogs, clock, _random_id),
        alert_worker=alert_worker,
        deliverer=deliverer,
        migration=migration,
        back_up=back_up_all,
        back_up_shard=back_up_own,
    )


def _migration(ground: _Ground, store: EventStore) -> Migration:
    refusal = ""
    if ground.standing.holds is not None:
        refusal = "this server is a node of a cluster already"
    elif ground.peers is not None:
        refusal = f"this server has {ground.seat.count} shards: stop it, run `meterhouse reshard 1`, and start it again"
    mark, new_id = ground.standing.ground.mark_moved, partial(secrets.token_hex, 8)
    return Migration(store, ground.ledger, mark=mark, new_id=new_id, nanoseconds=time.monotonic_ns, refusal=refusal)


def _pages(ground: _Ground, metering: Metering, portal_tokens: PortalTokens) -> MakePages:
    from .dashboard.routes import Dashboard  # noqa: PLC0415 - with it come templates

    return Dashboard(
        version=VERSION,
        secret=ground.ledger.secret("sessions", os.urandom(32)),
        accounts=ground.accounts,
        usage=metering.usage,
        queries=metering.queries,
        forecasts=metering.forecasts,
        stories=metering.stories,
        portal_tokens=portal_tokens,
        alert_rules=AlertRules(ground.accounts),
        webhooks=ground.webhooks,
        wake=metering.deliverer.wake,
        contracts=ground.contracts.of_organizations,
    ).routers
