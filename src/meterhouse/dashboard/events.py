"""Events: those that a number is made of, single ones, and why they count or do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath

from ..domain.errors import Invalid
from ..domain.event import Event
from ..domain.meter import Meter
from ..domain.period import Period, parse_instant
from ..domain.quantity import add
from ..domain.reading import PropertyReader, Reading, groups_of, reading_of
from ..http.event_explanations import story_body
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.accounts import Accounts
from ..services.event_explanations import EventExplanations
from ..services.named_events import EventName
from ..services.usage import Usage
from .pages import Answer, Pages, View, Visit, linked, redirect

_ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class EventLine:
    """An event of a list, and what it is to the meter."""

    event: Event
    reading: Reading
    groups: dict[str, str]
    story: str


@dataclass(frozen=True, slots=True)
class EventPages:
    """For the operator; an organization sees its own."""

    pages: Pages
    accounts: Accounts
    usage: Usage
    stories: EventExplanations

    def router(self) -> Router:
        """The explorer, lists and stories."""

        @get("/events", include_in_schema=False, opt=READS_QUERY)
        async def explore(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._explorer)

        @get("/organizations/{organization_id:str}/events", include_in_schema=False, opt=READS_QUERY)
        async def listed(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._list(visit, organization_id))

        @get("/events/story", include_in_schema=False, opt=READS_QUERY)
        async def story(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._story)

        return Router("/", route_handlers=[explore, listed, story])

    def _explorer(self, visit: Visit) -> Answer:
        """The forms. What is filled in of the second one leads to the list."""
        if own := visit.viewer.organization:
            namespaces = [own.namespace]
        else:
            namespaces = [catalog.namespace for catalog in self.usage.catalogs]
        if name := visit.given("organization"):
            organization = visit.organization(self.accounts, name)
            filled = [(key, value) for key, value in visit.query if key != "organization"]
            return redirect(linked(f"/organizations/{quote(organization.id, safe='')}/events", filled))
        return View("explorer.html", {"section": "events", "namespaces": namespaces, "own": own})

    def _list(self, visit: Visit, organization_id: str) -> Answer:
        organization = visit.organization(self.accounts, organization_id)
        reader = self.usage.of(organization)
        meters = self.usage.catalogs.get(organization.namespace).meters
        meter = self.usage.catalogs.meter(organization.namespace, visit.given("meter") or next(iter(meters)))
        given = any(visit.given(name) for name in ("from", "to"))
        period = _period(visit) if given else reader.span(meter)
        filters: dict[str, tuple[str, ...]] = {}
        for name, text in visit.query:
            path = name.removeprefix("filter.")
            if path != name:
                filters[meter.path_of(path)] = (*filters.get(meter.path_of(path), ()), text)
        try:
            page = reader.events(
                meter.event_type, period, filters, _ON_A_PAGE, visit.given("cursor") or None, bound=given
            )
        except Invalid as wrong:
            raise Invalid(f"cursor {wrong}") from None
        lines = [_line(meter, event) for event in page.events]
        values = [line.reading.value for line in lines if line.reading.value is not None]
        whole = page.older is None and page.newer is None
        told: dict[str, Any] = {
            "section": "events",
            "organization": organization,
            "meter": meter,
            "meters": [*meters.values()],
            "period": period,
            "filters": filters,
            "lines": lines,
            "sum": add(values) if whole and values and meter.aggregation in ("COUNT", "SUM") else None,
            "older": linked(visit.path, visit.query, cursor=page.older) if page.older else "",
            "newer": linked(visit.path, visit.query, cursor=page.newer) if page.newer else "",
            "given": {name: visit.given(name) for name in ("from", "to")},
        }
        return View("events.html", told)

    def _story(self, visit: Visit) -> Answer:
        name = EventName(visit.given("source"), visit.given("id"), visit.given("organization") or None)
        namespace = visit.given("namespace")
        if own := visit.viewer.organization:
            namespace, name = own.namespace, replace(name, organization=own.id)
        if not name.source or not name.id:
            raise Invalid("an event is named by its source and its id: fill in both")
        story = self.stories.of(namespace, name)
        known = self.accounts.ledger.organization(story.stored.event.organization)
        shown = known if known is not None and known.deleted_at is None else None
        told = story_body(story)
        conflicts = [{"at": each.at, "type": each.type, "data": _legible(each.data)} for each in told.conflicts]
        context = {"section": "events", "story": told, "data": _legible(told.data), "conflicts": conflicts}
        return View("story.html", {**context, "organization": shown})


def _line(meter: Meter, event: Event) -> EventLine:
    properties = PropertyReader(event)
    return EventLine(
        event, reading_of(meter.meant_at(event.time), properties), groups_of(meter, properties), story_path(event)
    )


def _legible(data: msgspec.Raw) -> str:
    """JSON with a line for each value; its numbers keep their digits."""
    return msgspec.json.format(bytes(data), indent=2).decode("utf-8", "replace")


def story_path(event: Event) -> str:
    """Where the story of an event is told."""
    name = {"namespace": event.namespace, "organization": event.organization, "source": event.source, "id": event.id}
    return f"/events/story?{urlencode(name)}"


def _period(visit: Visit) -> Period:
    return Period(_side(visit, "from"), _side(visit, "to"))


def _side(visit: Visit, name: str) -> datetime | None:
    """An instant, or a date that stands for its first instant in UTC."""
    text = visit.given(name).strip()
    if not text:
        return None
    try:
        return parse_instant(f"{text}T00:00:00Z" if len(text) == 10 else text).astimezone(UTC)
    except Invalid as wrong:
        raise Invalid(f"{name}: {wrong}") from None
