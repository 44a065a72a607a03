"""`GET /v1/query`: any meters over any span of time, by window and group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from litestar import Response, Router, get

from ..domain.errors import Invalid
from ..domain.operator_key import Role
from ..domain.period import Period, format_instant
from ..domain.query_parameters import REPEATABLE, parse_usage_query
from ..domain.usage_query import ORGANIZATION, MeterAnswer, UsageAnswer, UsageFigures, Window
from ..services.accounts import Accounts
from ..services.usage_queries import UsageQueries
from .authentication import Authentication
from .bodies import exact, exactly, json_response
from .costs import CostBody, cost_bodies
from .openapi import described, query_parameter
from .periods import written
from .portal_tokens import TAKES_PORTAL_TOKENS
from .problems import Forbidden
from .query import READS_QUERY, given_parameters
from .request import HttpRequest
from .usage_csv import csv_of

MOST_ORGANIZATIONS = 100
_ABOUT = (ORGANIZATION, "namespace")


class WindowValue(msgspec.Struct):
    """One window: half-open, as a person of the time zone would call it, and what was used in it. A null value: a MIN,
    MAX, AVG or LATEST has no event to speak of."""

    start: str
    end: str
    label: str
    value: Decimal | None
    costs: list[CostBody] | msgspec.UnsetType = msgspec.UNSET


class GroupBody(msgspec.Struct):
    """One group. `share` is its part of the meter's total; null where parts do not add up to it. `previous` is there
    where the query compares, `windows` where it divides."""

    group: dict[str, str]
    total: Decimal | None
    share: Decimal | None
    previous: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    windows: list[WindowValue] | msgspec.UnsetType = msgspec.UNSET
    costs: list[CostBody] | msgspec.UnsetType = msgspec.UNSET


class OtherBody(msgspec.Struct):
    """All groups beside the top ones, together: what the meter makes of their events."""

    groups: int
    total: Decimal | None
    share: Decimal | None
    previous: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    windows: list[WindowValue] | msgspec.UnsetType = msgspec.UNSET
    costs: list[CostBody] | msgspec.UnsetType = msgspec.UNSET


class MeterAnswerBody(msgspec.Struct):
    """One meter. `groups` are there where the query groups; `other` is null where they are all of it."""

    meter: str
    unit: str
    aggregation: str
    total: Decimal | None
    previous: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    change_percent: Decimal | msgspec.UnsetType | None = msgspec.UNSET
    windows: list[WindowValue] | msgspec.UnsetType = msgspec.UNSET
    groups: list[GroupBody] | msgspec.UnsetType = msgspec.UNSET
    other: OtherBody | msgspec.UnsetType | None = msgspec.UNSET
    complete_from: str | msgspec.UnsetType = msgspec.UNSET
    """There only where it is needed, as in the answer to `getUsage`."""
    costs: list[CostBody] | msgspec.UnsetType = msgspec.UNSET
    """There, and with each part, where they were asked for and the meter has prices."""
    unpriced: Decimal | msgspec.UnsetType = msgspec.UNSET
    """With `costs`: how much of the total no price was in force for."""


class ComparedBody(msgspec.Struct):
    """The span that `previous` is of."""

    start: str
    end: str


class UsageAnswerBody(msgspec.Struct):
    """The answer to a query, all of it from one state of the store. A null side of the span is open."""

    from_: str | None = msgspec.field(name="from")
    to: str | None
    timezone: str
    window: str
    as_of: str
    position: str
    meters: list[MeterAnswerBody]
    compared: ComparedBody | msgspec.UnsetType = msgspec.UNSET
    incomplete: str | msgspec.UnsetType = msgspec.UNSET
    """There only where events were lost in a disaster: what was stored before this instant may be incomplete."""


_ABOUT_PARAMETERS = {
    "meter": "A meter of the namespace; 1 to 20, repeated. Must be given.",
    "organization": "With the admin key: an organization; repeated for several together.",
    "namespace": "With the admin key, instead of organizations: all of them.",
    "from": "An RFC 3339 instant, or a local date of `timezone`; instead of `range`.",
    "to": "The same, exclusive; the moment of the question when absent.",
    "range": "`current_period` (when absent), `previous_period`, or local units with the present one: `24h`, `30d`, "
    "`12w`, `12mo`.",
    "window": "`minute` (at most 24 hours), `hour`, `day`, `week`, `month`, or `none`.",
    "timezone": "An IANA time zone; UTC when absent.",
    "group_by": "A group-by property of the meters, and for the operator `organization`; up to 3, repeated.",
    "filter.{property}": "Only what has this text as its group by the property; repeated for one of several.",
    "top": "The most groups of a meter, 1 to 1,000; 20 when absent. All the rest is one `other`.",
    "compare": "`previous`, the span just before, or `year`, the span a year earlier.",
    "as_of": "An RFC 3339 instant: what was known then.",
    "at_least": "A position, from an ingest report or an answer, that the answer must include.",
    "costs": "`true` adds what the usage costs, of at most 100 organizations.",
}
_PARAMETERS = tuple(
    query_parameter(name, about, repeatable=REPEATABLE.get(name, name != "namespace"), required=name == "meter")
    for name, about in _ABOUT_PARAMETERS.items()
)


@dataclass(frozen=True, slots=True)
class UsageQueryEndpoint:
    """For the admin key, or a key of an organization with a scope that reads usage."""

    accounts: Accounts
    queries: UsageQueries
    authentication: Authentication

    def router(self) -> Router:
        """The one route."""

        @get(
            "/v1/query",
            operation_id="queryUsage",
            tags=["Usage"],
            opt=READS_QUERY
            | TAKES_PORTAL_TOKENS
            | described(
                answers={200: UsageAnswerBody},
                media={"text/csv": "The same numbers as rows."},
                problems=(404, 503),
                parameters=_PARAMETERS,
            ),
        )
        async def query_usage(request: HttpRequest) -> Response[bytes]:
            """Usage of one to 20 meters over any span: by window in any time zone, by up to three groups, filtered,
            compared with the span before, and as it was known at any moment. The parts of a COUNT, SUM or STATE_COUNT
            add up to its total; `other` is exact. With `Accept: text/csv` the same numbers as rows.

            For the admin key, which names `organization` (repeatable) or a whole `namespace`; or for a key of an
            organization with a scope that reads usage, about that organization.
            """
            return await asyncio.to_thread(self._answer, request)

        return Router("/", route_handlers=[query_usage])

    def _answer(self, request: HttpRequest) -> Response[bytes]:
        given = given_parameters(request)
        caller = self.authentication.caller(request, Role.READ)
        asked = parse_usage_query(given, _ABOUT)
        about = [(name, value) for name, value in given if name in _ABOUT]
        if caller is None:
            namespace, organizations = self._asked_about(about)
        else:
            namespace, own = caller.organization.namespace, caller.organization.id
            named = {ORGANIZATION: own, "namespace": namespace}
            if not caller.scopes & self.accounts.policies[namespace].reading:
                raise Forbidden("this key may not read usage")
            if any(value != named[name] for name, value in about):
                raise Forbidden("this key may not read the usage of that organization")
            if ORGANIZATION in asked.group_by:
                raise Forbidden("group_by: only the operator can group by organization")
            organizations = (own,)
        answer = self.queries.answer(asked, namespace, organizations)
        if "text/csv" in request.headers.get("accept", ""):
            return Response(csv_of(answer), media_type="text/csv")
        return json_response(body_of(answer))

    def _asked_about(self, about: list[tuple[str, str]]) -> tuple[str, tuple[str, ...]]:
        """The namespace and the organizations that the operator asks about."""
        ids = tuple(dict.fromkeys(value for name, value in about if name == ORGANIZATION))
        namespaces = [value for name, value in about if name == "namespace"]
        if len(namespaces) > 1:
            raise Invalid("the query parameter namespace must be given once")
        if len(ids) > MOST_ORGANIZATIONS:
            raise Invalid(f"organization: {len(ids)} are named; at most {MOST_ORGANIZATIONS}, or else a namespace")
        if not ids:
            if not namespaces:
                raise Invalid("organization: name one or several, or else a namespace for all of it")
            return namespaces[0], ()
        found = [self.accounts.organization(each) for each in ids]
        namespace = namespaces[0] if namespaces else found[0].namespace
        if foreign := next((each for each in found if each.namespace != namespace), None):
            raise Invalid(f"organization: {foreign.id} is of the namespace {foreign.namespace}, not of {namespace}")
        return namespace, ids


def body_of(answer: UsageAnswer) -> UsageAnswerBody:
    """An answer as it is written."""
    return UsageAnswerBody(
        from_=written(answer.span.start),
        to=written(answer.span.end),
        timezone=answer.query.timezone,
        window=answer.query.window,
        as_of=format_instant(answer.as_of),
        position=answer.position,
        meters=[_meter(answer, each) for each in answer.meters],
        compared=_compared(answer.compared) if answer.compared else msgspec.UNSET,
        incomplete=format_instant(answer.lost_before) if answer.lost_before else msgspec.UNSET,
    )


def _meter(answer: UsageAnswer, each: MeterAnswer) -> MeterAnswerBody:
    meter, figures = each.meter, each.figures
    groups: list[GroupBody] | msgspec.UnsetType = msgspec.UNSET
    other: OtherBody | msgspec.UnsetType | None = msgspec.UNSET
    if each.groups is not None:
        groups = [
            GroupBody(dict(one.group), exact(one.figures.total), exact(one.share), *_beside(answer, one.figures))
            for one in each.groups
        ]
        other = None
        if each.other is not None:
            of_other = each.other.figures
            share = exact(each.other.share)
            other = OtherBody(each.other.groups, exact(of_other.total), share, *_beside(answer, of_other))
    previous, windows, costs = _beside(answer, figures)
    return MeterAnswerBody(
        meter=meter.slug,
        unit=meter.unit,
        aggregation=meter.aggregation,
        total=exact(figures.total),
        previous=previous,
        change_percent=exact(each.change_percent) if answer.compared else msgspec.UNSET,
        windows=windows,
        groups=groups,
        other=other,
        complete_from=format_instant(each.complete_from) if each.complete_from else msgspec.UNSET,
        costs=costs,
        unpriced=msgspec.UNSET if each.unpriced is None else exactly(each.unpriced),
    )


def _beside(
    answer: UsageAnswer, figures: UsageFigures
) -> tuple[
    Decimal | msgspec.UnsetType | None, list[WindowValue] | msgspec.UnsetType, list[CostBody] | msgspec.UnsetType
]:
    """The previous total, the windows and the costs, each where the query asks for it."""
    costs = figures.costs
    windows = [
        WindowValue(
            written(each.period.start) or "",
            written(each.period.end) or "",
            each.label,
            exact(value),
            cost_bodies(costs.windows[place]) if costs is not None else msgspec.UNSET,
        )
        for place, (each, value) in enumerate(zip(answer.windows, figures.windows, strict=True))
    ]
    return (
        exact(figures.previous) if answer.compared else msgspec.UNSET,
        windows if answer.query.window is not Window.NONE else msgspec.UNSET,
        cost_bodies(costs.total) if costs is not None else msgspec.UNSET,
    )


def _compared(period: Period) -> ComparedBody:
    return ComparedBody(written(period.start) or "", written(period.end) or "")
