"""What was changed, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

from litestar import Response, Router, get

from ..domain.audit import AuditQuery
from ..domain.operator_key import Role
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..ports.audit_log import AuditLog
from ..services.operators import Operators
from .pages import Answer, Pages, View, Visit, linked

_ON_A_PAGE = 100
_FILTERS = ("actor", "action", "namespace", "organization")
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class AuditPages:
    """For operators who may do everything."""

    pages: Pages
    log: AuditLog
    operators: Operators

    def router(self) -> Router:
        """The page."""

        @get("/audit", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator(Role.ADMIN)
        asked = {name: visit.given(name) for name in _FILTERS}
        before = visit.number("before", _MOST)
        query = AuditQuery(_ON_A_PAGE + 1, before or None, **{name: text for name, text in asked.items() if text})
        found = self.log.audit_entries(query)
        shown = found[:_ON_A_PAGE]
        older = linked(visit.path, visit.query, before=str(shown[-1].number)) if len(found) > len(shown) else ""
        newest = linked(visit.path, visit.query, before="") if before else ""
        told = {"section": "audit", "entries": shown, "asked": asked, "older": older, "newest": newest}
        return View("audit.html", {**told, "keys": self.operators.listed()})
