"""The events that the usage of a meter is made of, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated
from urllib.parse import quote, urlencode

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter, QueryParameter

from ..domain.errors import Invalid
from ..domain.event import Event
from ..domain.meter import Meter
from ..domain.period import Period, format_instant
from ..domain.query_parameters import FILTER_PREFIX, filters_of, instant_of
from ..domain.reading import PropertyReader, groups_of, reading_of
from ..services.organization_usage import OrganizationUsage
from ..services.usage import Usage
from .bodies import exact, json_response
from .openapi import described, query_parameter
from .portal_tokens import TAKES_PORTAL_TOKENS
from .query import PREFIXES, given_parameters
from .readers import Readers
from .request import HttpRequest

MAX_EVENTS_PER_PAGE = 1_000


_FILTER = query_parameter("filter.{property}", "Only what has this text as its group by the property.", repeatable=True)


class MeteredEvent(msgspec.Struct, omit_defaults=True):
    """An event that a meter reads: `value` is what it counts for, `text` what a UNIQUE_COUNT tells apart or the state
    of `entity`. `story` is where the whole of it is told to the operator."""

    source: str
    id: str
    time: str
    story: str
    value: Decimal | None = None
    text: str | None = None
    entity: str | None = None
    groups: dict[str, str] = {}
    not_counted_because: str | None = None


class MeteredEventsBody(msgspec.Struct):
    """A page of a meter's events, newest first. All pages are of one state of the store: what `next` leads to does not
    change while events come in. `next` is null on the last one."""

    organization: str
    meter: str
    events: list[MeteredEvent]
    next: str | None


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which of a meter's events are asked for."""

    between: Period | None
    """None: those of the current usage period."""
    filters: Mapping[str, tuple[str, ...]]

    def query(self) -> list[tuple[str, str]]:
        """The parameters that say the same."""
        sides = (("from", self.between.start), ("to", self.between.end)) if self.between else ()
        return [(name, format_instant(side)) for name, side in sides if side is not None] + [
            (f"{FILTER_PREFIX}{path}", text) for path, texts in self.filters.items() for text in texts
        ]


@dataclass(frozen=True, slots=True)
class MeteredEvents:
    """Lists events, for the admin key, or a key of the organization itself with a scope that reads usage."""

    readers: Readers
    usage: Usage

    def router(self) -> Router:
        """The route."""

        @get(
            "/v1/organizations/{organization_id:str}/events",
            operation_id="listMeteredEvents",
            tags=["Usage"],
            opt={PREFIXES: {FILTER_PREFIX: True}}
            | TAKES_PORTAL_TOKENS
            | described(answers={200: MeteredEventsBody}, parameters=(_FILTER,)),
        )
        async def list_events(
            request: HttpRequest,
            organization_id: FromPath[str],
            *,
            meter: Annotated[str, Parameter(description="The meter that reads them; must be given.")] = "",
            from_: Annotated[
                str | None, QueryParameter(name="from", description="The first instant; no beginning when absent.")
            ] = None,
            to: Annotated[str | None, Parameter(description="The instant after the last; no end when absent.")] = None,
            cursor: Annotated[str | None, Parameter(description="Where to go on, from a link.")] = None,
            limit: Annotated[int, Parameter(ge=1, le=MAX_EVENTS_PER_PAGE, description="Events on a page.")] = 100,
        ) -> Response[bytes]:
            """The events that a meter's usage is made of, newest first; without a cursor, `from` and `to` those of the
            current usage period. The values of all pages add up to `used` of the answer that the link is from.

            `filter.<property>` keeps the events whose property has this text, or one of several: any property that the
            meter can be grouped by; an empty text stands for events without it. A cursor goes with the `from`, `to` and
            filters that it was made for.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(
                self._list_events, request, organization_id, meter, (from_, to), limit=limit, cursor=cursor
            )

        return Router("/", route_handlers=[list_events])

    def _list_events(
        self,
        request: HttpRequest,
        organization_id: str,
        slug: str,
        sides: tuple[str | None, str | None],
        *,
        limit: int,
        cursor: str | None,
    ) -> Response[bytes]:
        reader = self.usage.of(self.readers.organization(request, organization_id))
        if not slug:
            raise Invalid("meter: name the one whose events are wanted")
        meter = self.usage.catalogs.meter(reader.organization.namespace, slug)
        selection = _Selection(_between(*sides), _filters(meter, given_parameters(request)))
        between = selection.between
        try:
            page = reader.events(
                meter.event_type,
                between or reader.span(meter),
                {meter.path_of(name): texts for name, texts in selection.filters.items()},
                limit,
                cursor,
                bound=between is not None,
            )
        except Invalid as wrong:
            raise Invalid(f"cursor {wrong}") from None
        following = None
        if page.older is not None:
            following = _path(reader, meter, [*selection.query(), ("cursor", page.older), ("limit", str(limit))])
        events = [_metered(meter, event) for event in page.events]
        return json_response(MeteredEventsBody(organization_id, slug, events, following))


def first_page(reader: OrganizationUsage, meter: Meter) -> str:
    """Where the events begin that a meter's usage is made of."""
    return _path(reader, meter, [("cursor", reader.cursor(meter.event_type, reader.span(meter)))])


def _path(reader: OrganizationUsage, meter: Meter, query: list[tuple[str, str]]) -> str:
    path = f"/v1/organizations/{quote(reader.organization.id, safe='')}/events"
    return f"{path}?{urlencode([('meter', meter.slug), *query])}"


def _between(start: str | None, end: str | None) -> Period | None:
    """The span of two parameters, of which one may be absent; None when both are."""
    if start is None and end is None:
        return None
    period = Period(
        None if start is None else instant_of("from", start), None if end is None else instant_of("to", end)
    )
    if period.start is not None and period.end is not None and period.start >= period.end:
        raise Invalid(f"from: {format_instant(period.start)} is not before to, {format_instant(period.end)}")
    return period


def _filters(meter: Meter, parameters: list[tuple[str, str]]) -> Mapping[str, tuple[str, ...]]:
    """The filters of a request, checked."""
    filters = dict(filters_of(parameters))
    for path in filters:
        if path not in meter.group_by:
            raise Invalid(f"{FILTER_PREFIX}{path[:60]}: {meter.slug} is not grouped by {_known(meter, path)}")
    return filters


def _known(meter: Meter, path: str) -> str:
    if nearest := get_close_matches(path[:60], meter.group_by, 1):
        return f"that; did you mean {FILTER_PREFIX}{nearest[0]}?"
    known = ", ".join(FILTER_PREFIX + each for each in meter.group_by)
    return f"that; there is {known}" if known else "anything"


def _metered(meter: Meter, event: Event) -> MeteredEvent:
    properties = PropertyReader(event)
    reading = reading_of(meter.meant_at(event.time), properties)
    place = (quote(part, safe="") for part in (event.namespace, "events", event.source, event.id))
    return MeteredEvent(
        source=event.source,
        id=event.id,
        time=format_instant(event.time),
        story="/v1/namespaces/" + "/".join(place),
        value=exact(reading.value),
        text=reading.text or None,
        entity=reading.entity or None,
        groups=groups_of(meter, properties),
        not_counted_because=reading.reason or None,
    )
