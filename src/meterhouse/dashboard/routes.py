"""All pages, put together."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from litestar import Response, Router
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException

from ..contracts.contract import Contract
from ..domain.errors import MeterhouseError
from ..http.authentication import Authentication
from ..http.health import Health
from ..http.portal_tokens import PortalTokens
from ..http.request import HttpRequest
from ..services.accounts import Accounts
from ..services.alerts import AlertRules
from ..services.catalog_changes import CatalogChanges
from ..services.enforcement import Enforcement
from ..services.event_explanations import EventExplanations
from ..services.forecasts import Forecasts
from ..services.nearing_limits import NearingLimits
from ..services.usage import Usage
from ..services.usage_queries import UsageQueries
from ..services.webhooks import Webhooks
from .alerts import AlertPages
from .assets import Assets
from .audit_log import AuditPages
from .catalogs import CatalogPages
from .events import EventPages
from .limits_section import LimitsSection
from .organization import OrganizationPages
from .organizations import OrganizationsPages
from .overview import OverviewPages
from .pages import Pages
from .portal import PortalPages
from .reference import ReferencePages
from .sessions import Sessions
from .signing_in import signing_in_router
from .system import SystemPages
from .usage_section import UsageSection

_ERRORS: tuple[type[Exception], ...] = (
    MeterhouseError,
    NotFoundException,
    MethodNotAllowedException,
    HTTPException,
    Exception,
)
"""All that the API has handlers for."""


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What its pages are made from."""

    version: str
    secret: bytes
    accounts: Accounts
    usage: Usage
    queries: UsageQueries
    forecasts: Forecasts
    stories: EventExplanations
    portal_tokens: PortalTokens
    alert_rules: AlertRules
    webhooks: Webhooks
    wake: Callable[[], None]
    """Is called when there is something to deliver."""
    contracts: Mapping[str, Contract]

    def routers(
        self, authentication: Authentication, health: Health, enforcement: Enforcement, changes: CatalogChanges
    ) -> Sequence[Router]:
        """Every page and file, and what is shown when something is wrong."""
        accounts, usage, catalogs = self.accounts, self.usage, self.usage.catalogs
        assets = Assets()
        sessions = Sessions(self.secret, authentication.admin_key_hash, accounts, authentication.operators, os.urandom)
        pages, section = Pages(sessions, assets), UsageSection(self.queries, catalogs)
        nearing = NearingLimits(self.queries, usage)
        routers = [
            signing_in_router(pages, authentication),
            OverviewPages(pages, usage, self.queries, nearing, health).router(),
            OrganizationsPages(pages, accounts.ledger, catalogs, self.queries).router(),
            OrganizationPages(
                pages, accounts, usage, self.forecasts, section, LimitsSection(enforcement, health.metrics)
            ).router(),
            EventPages(pages, accounts, usage, self.stories).router(),
            AlertPages(pages, self.alert_rules, self.webhooks, self.wake).router(),
            CatalogPages(pages, catalogs, changes).router(),
            SystemPages(pages, health, self.version).router(),
            AuditPages(pages, accounts.ledger, authentication.operators).router(),
            ReferencePages(pages, self.contracts, self.version).router(),
        ]
        portal = PortalPages(pages, self.portal_tokens, accounts, usage, self.forecasts, section).router()

        # Functions: Litestar copies exception handlers, and with a method all that it is bound to.
        def refused(request: HttpRequest, error: Exception) -> Response[bytes]:
            return pages.refused(request, error)

        def refused_in_frame(request: HttpRequest, error: Exception) -> Response[bytes]:
            return pages.refused_in_frame(request, error)

        return [
            Router("/", route_handlers=routers, exception_handlers=dict.fromkeys(_ERRORS, refused)),
            Router("/", route_handlers=[portal], exception_handlers=dict.fromkeys(_ERRORS, refused_in_frame)),
            assets.router(),
        ]
