"""The part of the application that needs the event store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..contracts.namespace_contract import NamespaceOptions, Services
from ..ports.chunks import Chunks
from ..ports.event_store import EventStore
from ..ports.whole_store import WholeStore
from ..services.accounts import Accounts
from ..services.alerts import AlertWorker
from ..services.catalog_changes import CatalogChanges
from ..services.corrections import Corrections
from ..services.enforcement import Enforcement
from ..services.erasures import Erasures
from ..services.event_explanations import EventExplanations
from ..services.forecasts import Forecasts
from ..services.grants import Grants
from ..services.ingest import Ingest
from ..services.migration import Migration
from ..services.price_previews import PricePreviews
from ..services.reservations import Reservations
from ..services.usage import Usage
from ..services.usage_queries import UsageQueries
from ..services.webhooks import Deliverer
from .events import BodyTaker


@dataclass(frozen=True, slots=True)
class Metering:
    """What is made of the event store."""

    store: EventStore
    whole: WholeStore
    ingest: Ingest
    intake: BodyTaker
    usage: Usage
    queries: UsageQueries
    previews: PricePreviews
    forecasts: Forecasts
    corrections: Corrections
    stories: EventExplanations
    erasures: Erasures
    enforcement: Enforcement
    reservations: Reservations
    alert_worker: AlertWorker
    deliverer: Deliverer
    migration: Migration
    back_up: Callable[[], Chunks]
    """All of it."""
    back_up_shard: Callable[[], Chunks]
    """What this process has, without the ledger."""

    def begin(self) -> None:
        """Begins what a server does by itself."""
        self.alert_worker.begin()
        self.deliverer.begin()

    def services(self, accounts: Accounts, grants: Grants, catalog_changes: CatalogChanges) -> Services:
        """What contracts of namespaces may ask for, whatever their options are."""
        return Services(
            accounts=accounts,
            catalogs=accounts.catalogs,
            catalog_changes=catalog_changes,
            grants=grants,
            usage=self.usage,
            queries=self.queries,
            corrections=self.corrections,
            snapshots=self.queries.snapshots,
            store=self.store,
            events=self.whole,
            records=accounts.ledger,
            random_bytes=accounts.random_bytes,
            options=NamespaceOptions(),
        )
