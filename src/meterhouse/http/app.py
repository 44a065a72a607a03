"""The application: routers, one error shape for our own API, and each contract's own for its paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from litestar import Litestar, Response, Router
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp

from ..cluster.peers import Peers
from ..contracts import Contracts
from ..contracts.contract import Refusal
from ..domain.errors import MeterhouseError
from ..domain.organization import hash_secret
from ..domain.shards import Elsewhere
from ..ports.clock import Clock
from ..ports.members import Members
from ..services.accounts import Accounts
from ..services.alerts import AlertRules
from ..services.catalog_changes import CatalogChanges
from ..services.catalogs import Catalogs
from ..services.enforcement import Enforcement
from ..services.grants import Grants
from ..services.operators import Operators
from ..services.rate_limits import RateLimits
from ..services.webhooks import Webhooks
from . import problems
from .alerts import alerts_router
from .attempts import Attempts
from .authentication import Authentication
from .backup_export import backup_export_router
from .balances import BalanceEndpoints
from .bodies import Bodies
from .browsers import CrossOrigin, Head
from .catalogs import catalogs_router
from .contracts import ContractEndpoints
from .corrections import corrections_router
from .documents import documents_router, openapi_config
from .erasures import erasures_router
from .event_explanations import stories_router
from .events import IngestEndpoint, events_router
from .fast_checks import CheckFastPath
from .forwarding import Forwarding, note_elsewhere
from .grants import grants_router
from .health import Health, health_router
from .holding import WhileHolding
from .keys import keys_router
from .metered_events import MeteredEvents
from .metering import Metering
from .migration import WhileServing, migration_router
from .namespace_contracts import NamespaceContracts
from .namespaces import namespaces_router
from .observability import Metrics, Observability
from .operator_keys import operator_keys_router
from .organizations import organizations_router
from .otlp import otlp_router
from .portal_links import portal_links_router
from .portal_tokens import PortalTokens
from .prices import prices_router
from .query import check_query, declare_query
from .quota_refusals import QuotaRefusals
from .readers import Readers
from .regular_events import IngestFastPath
from .request import HttpRequest
from .reservations import ReservationEndpoints
from .response_cache import ResponseCache, ResponseCacheMiddleware
from .rollups import rollups_router
from .senders import Senders
from .shard_endpoint import ShardEndpoint
from .slow_bodies import SlowBodies
from .subscriptions import subscriptions_router
from .usage import UsageEndpoints
from .usage_queries import UsageQueryEndpoint
from .webhooks import webhooks_router

MakePages: TypeAlias = Callable[[Authentication, Health, Enforcement, CatalogChanges], Sequence[Router]]
"""Makes the routers of what people look at."""


@dataclass(frozen=True, slots=True)
class Apps:
    """The application, and what is beside it where there are several shards."""

    public: ASGIApp
    of_shards: ASGIApp | None
    """What the processes of other shards ask."""


def create_app(
    *,
    version: str,
    data: Path,
    admin_key: str,
    accounts: Accounts,
    grants: Grants,
    alert_rules: AlertRules,
    webhooks: Webhooks,
    catalogs: Catalogs,
    catalog_changes: CatalogChanges,
    operators: Operators,
    contracts: Contracts,
    verifiers: Mapping[str, Callable[[str], Mapping[str, Any] | None]],
    portal_tokens: PortalTokens,
    rate_limits: RateLimits,
    metering: Metering | None,
    pages: MakePages | None,
    clock: Clock,
    max_body_bytes: int,
    decoding_bytes: int,
    answer_cache_bytes: int,
    cors_origins: tuple[str, ...],
    body_timeout_seconds: int,
    body_bytes_per_second: int,
    failed_keys_per_minute: int,
    peers: Peers | None = None,
    holds: Callable[[], bool] | None = None,
    members: Callable[[], Members] | None = None,
) -> Apps:
    """The ASGI applications. Without `metering` the public one manages accounts only. While `holds` says no, requests
    are refused: another process may have the shard."""
    metrics = Metrics(version)
    metrics.watch_disk(data)
    attempts = Attempts(failed_keys_per_minute, tell=peers.tell if peers is not None else None)
    authentication = Authentication(hash_secret(admin_key), accounts, operators, attempts, portal_tokens)
    health = Health(metering.store, metering.whole, metrics, peers, members) if metering is not None else None
    readers, bodies = Readers(accounts, authentication), Bodies(max_body_bytes, decoding_bytes)
    routers = [
        organizations_router(accounts, authentication),
        subscriptions_router(accounts, authentication),
        grants_router(grants, readers, authentication),
        alerts_router(alert_rules, authentication),
        webhooks_router(webhooks, metering.deliverer.wake if metering is not None else lambda: None, authentication),
        keys_router(accounts, authentication),
        namespaces_router(catalogs, authentication),
        catalogs_router(catalog_changes, authentication, bodies),
        operator_keys_router(operators, accounts.ledger, authentication),
        health_router(accounts.ledger, health, metrics),
        documents_router(version, contracts.of_organizations),
    ]
    endpoints = answers = ingest_endpoint = None
    if metering is not None:
        if pages is not None and health is not None:
            routers += pages(authentication, health, metering.enforcement, catalog_changes)
        metrics.watch(metering.ingest, [catalog.namespace for catalog in catalogs])
        metering.enforcement.on_decision = metrics.count_decision
        metrics.watch_alerts(metering.alert_worker, metering.deliverer, clock)
        answers = ResponseCache(
            metering.store, accounts.ledger, contracts.of_organizations.values(), answer_cache_bytes
        )
        endpoints = ContractEndpoints(
            contracts.of_organizations,
            accounts,
            catalogs,
            metering.usage,
            rate_limits,
            verifiers,
            clock,
            answers,
            metrics,
        )
        refusals = QuotaRefusals(contracts.of_organizations, catalogs)
        usage = UsageEndpoints(readers, refusals, metering.usage, metering.forecasts)
        listing = MeteredEvents(readers, metering.usage)
        ingest_endpoint = IngestEndpoint(metering.intake, metrics)
        senders = Senders(authentication)
        events = events_router(ingest_endpoint, senders, metrics, bodies)
        reservations = ReservationEndpoints(
            metering.reservations, metering.enforcement, accounts, refusals, authentication
        )
        routers += [
            corrections_router(metering.corrections, authentication, bodies),
            stories_router(metering.stories, authentication),
            erasures_router(metering.erasures, authentication),
            prices_router(metering.previews, authentication),
            reservations.router(),
            UsageQueryEndpoint(accounts, metering.queries, authentication).router(),
            portal_links_router(accounts, portal_tokens, clock, authentication),
        ]
        routers += [events, usage.router(), BalanceEndpoints(readers, metering.usage).router(), listing.router()]
        routers += [
            otlp_router(ingest_endpoint, catalogs, senders, bodies),
            rollups_router(metering.whole, authentication),
            endpoints.router(),
            backup_export_router(metering.whole, metering.back_up, authentication),
            migration_router(metering.migration, authentication),
        ]

    def unrouted(request: HttpRequest, error: HTTPException) -> Response[bytes]:
        """No such path, or another method: in the shape of the contract that owns the path."""
        refusal = Refusal.METHOD_NOT_ALLOWED if error.status_code == 405 else Refusal.NOT_FOUND
        shaped = endpoints.refuse_unrouted(request.url.path, request, refusal) if endpoints is not None else None
        return shaped or problems.http_error(request, error)

    litestar = _Litestar(
        route_handlers=routers,
        exception_handlers={
            Elsewhere: note_elsewhere,
            MeterhouseError: problems.meterhouse_error,
            NotFoundException: unrouted,
            MethodNotAllowedException: unrouted,
            HTTPException: problems.http_error,
            Exception: problems.unexpected_error,
        },
        before_request=check_query,
        openapi_config=openapi_config(version),
        request_max_body_size=max_body_bytes,
        logging_config=None,
    )
    declare_query(litestar)

    def of_contract(path: str) -> bool:
        return endpoints is not None and endpoints.owner(path) is not None

    app: ASGIApp = litestar
    if metering is not None and ingest_endpoint is not None:
        app = NamespaceContracts(
            app,
            contracts.of_namespaces,
            metering.services(accounts, grants, catalog_changes),
            authentication=authentication,
            bodies=bodies,
            ingest=ingest_endpoint,
            clock=clock,
        )
    app = CrossOrigin(Head(app, of_contract), cors_origins, portal_tokens, of_contract)
    if answers is not None and ingest_endpoint is not None:
        app = CheckFastPath(ResponseCacheMiddleware(app, answers, metrics, clock), reservations, authentication)
        app = IngestFastPath(app, ingest_endpoint, authentication, max_body_bytes)
    of_shards: ASGIApp | None = None
    if peers is not None and metering is not None and answers is not None and health is not None:
        streams = {
            "backup": metering.back_up_shard,
            "metrics": health.stream_text,
            "state": health.stream_state,
        }
        of_shards = ShardEndpoint(
            app,
            peers,
            store=metering.store,
            ingest=metering.ingest,
            streams=streams,
            remember=attempts.remember,
        )
        app = Forwarding(app, peers, answers.key)
    if metering is not None and peers is None:
        app = WhileServing(app, metering.migration)
    if holds is not None and of_shards is not None:
        app, of_shards = WhileHolding(app, holds), WhileHolding(of_shards, holds)
    return Apps(Observability(SlowBodies(app, body_timeout_seconds, body_bytes_per_second), metrics), of_shards)


class _Litestar(Litestar):
    """Knows msgspec only: Litestar would import pydantic wherever it happens to be installed, a tenth of each start."""

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
