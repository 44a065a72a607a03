"""Balances: what is left of a plan's allowance and of grants."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter, QueryParameter

from ..domain.balance import BurnedSpan, Part
from ..domain.local_time import zone
from ..domain.period import format_instant
from ..domain.position import format_position
from ..domain.query_parameters import instant_of, instant_or_date, word_of
from ..domain.span import span_between, windows_of
from ..domain.usage_query import Window, WindowSpan
from ..services.balances import balance_of, history_of
from ..services.organization_usage import OrganizationUsage
from ..services.usage import Usage
from .bodies import exact, exactly, json_response
from .openapi import described
from .periods import PeriodBody, period_body, written
from .readers import Readers
from .request import HttpRequest

_WITHOUT_A_PERIOD = timedelta(days=30)


class AllowanceBody(msgspec.Struct):
    """The plan's part: what it allows in the usage period, and how much of it was burned; null where it allows any
    amount. An add-on of the subscription is a grant."""

    limit: Decimal | None
    burned: Decimal
    left: Decimal | None


class PartBody(msgspec.Struct):
    """A grant's part. `granted` is its amount and what was carried over when it was last given, and `burned` what was
    used of that since."""

    grant: str
    priority: int
    granted: Decimal
    burned: Decimal
    left: Decimal
    effective_at: str
    expires_at: str | None


class BalanceBody(msgspec.Struct):
    """What can still be used of a meter or a pool; null where the plan allows any amount. `grants` are those in force,
    in the order in which they are burned. `overage` is what nothing had room for in the usage period, and `until` is
    when the next of all this begins, is given anew, or ends."""

    organization: str
    meter: str
    as_of: str
    position: str
    balance: Decimal | None
    period: PeriodBody
    allowance: AllowanceBody
    grants: list[PartBody]
    overage: Decimal
    until: str | None


class BalanceWindow(msgspec.Struct):
    """A window: what happened in it, and `balance`, what could still be used at its end. `granted`, `burned`, `expired`
    and `voided` are about grants; `burned` with `allowance_burned` and `overage` is what was `used`."""

    start: str
    end: str
    label: str
    used: Decimal
    allowance_burned: Decimal
    granted: Decimal
    burned: Decimal
    expired: Decimal
    voided: Decimal
    overage: Decimal
    balance: Decimal | None


class BalanceHistoryBody(msgspec.Struct):
    """How a balance came to be what it is, window by window."""

    organization: str
    meter: str
    as_of: str
    position: str
    timezone: str
    window: str
    windows: list[BalanceWindow]


_AsOf = Annotated[str | None, Parameter(description="An RFC 3339 instant; now when absent.")]


@dataclass(frozen=True, slots=True)
class BalanceEndpoints:
    """For the admin key, or a key of the organization itself with a scope that reads usage."""

    readers: Readers
    usage: Usage

    def router(self) -> Router:
        """Both questions."""

        @get(
            "/v1/organizations/{organization_id:str}/balances/{meter:str}",
            operation_id="getBalance",
            tags=["Grants"],
            opt=described(answers={200: BalanceBody}),
        )
        async def get_balance(
            request: HttpRequest, organization_id: FromPath[str], meter: FromPath[str], as_of: _AsOf = None
        ) -> Response[bytes]:
            """What is left of a COUNT or SUM meter, or of a pool: of the plan's allowance, which is burned first, and
            of each grant that is in force. With `as_of` the balance of an earlier moment, from the events, corrections
            and grants that were known then.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(self._balance, request, organization_id, meter, as_of)

        @get(
            "/v1/organizations/{organization_id:str}/balances/{meter:str}/history",
            operation_id="getBalanceHistory",
            tags=["Grants"],
            opt=described(answers={200: BalanceHistoryBody}),
        )
        async def get_history(
            request: HttpRequest,
            organization_id: FromPath[str],
            meter: FromPath[str],
            *,
            from_: Annotated[
                str | None,
                QueryParameter(
                    name="from",
                    description="An RFC 3339 instant, or a local date of `timezone`; the beginning of the usage period "
                    "when absent, or 30 days ago where it has none.",
                ),
            ] = None,
            to: Annotated[str | None, Parameter(description="The same, exclusive; now when absent.")] = None,
            window: Annotated[
                str, Parameter(description="`minute`, `hour`, `day` (when absent), `week`, `month`, or `none`.")
            ] = "day",
            timezone: Annotated[str, Parameter(description="An IANA time zone; UTC when absent.")] = "UTC",
            as_of: _AsOf = None,
        ) -> Response[bytes]:
            """What was granted, burned, expired and voided in each window, and the balance at its end.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(
                self._history,
                request,
                organization_id,
                meter,
                as_of,
                between=(from_, to),
                window=window,
                timezone=timezone,
            )

        return Router("/", route_handlers=[get_balance, get_history])

    def _reader(self, request: HttpRequest, organization_id: str, as_of: str | None) -> OrganizationUsage:
        organization = self.readers.organization(request, organization_id)
        return self.usage.of(organization, None if as_of is None else instant_of("as_of", as_of))

    def _balance(self, request: HttpRequest, organization_id: str, meter: str, as_of: str | None) -> Response[bytes]:
        reader = self._reader(request, organization_id, as_of)
        found = balance_of(reader, meter)
        return json_response(
            BalanceBody(
                organization=reader.organization.id,
                meter=meter,
                as_of=format_instant(reader.now),
                position=format_position({self.usage.seat.number: reader.commit}),
                balance=exact(found.left),
                period=period_body(found.period),
                allowance=AllowanceBody(
                    exact(found.allowance), exactly(found.allowance_burned), exact(found.allowance_left)
                ),
                grants=[_part(part) for part in found.parts],
                overage=exactly(found.overage),
                until=written(found.until),
            )
        )

    def _history(
        self,
        request: HttpRequest,
        organization_id: str,
        meter: str,
        as_of: str | None,
        *,
        between: tuple[str | None, str | None],
        window: str,
        timezone: str,
    ) -> Response[bytes]:
        reader = self._reader(request, organization_id, as_of)
        windows = _windows(reader, between, word_of("window", Window, window), timezone)
        first = windows[0].period.start
        assert first is not None  # spans of histories have both sides
        spans = history_of(reader, meter, [first, *(each.period.end for each in windows if each.period.end)])
        return json_response(
            BalanceHistoryBody(
                organization=reader.organization.id,
                meter=meter,
                as_of=format_instant(reader.now),
                position=format_position({self.usage.seat.number: reader.commit}),
                timezone=timezone,
                window=window,
                windows=[_window(each.label, span) for each, span in zip(windows, spans, strict=True)],
            )
        )


def _windows(
    reader: OrganizationUsage, between: tuple[str | None, str | None], window: Window, timezone: str
) -> tuple[WindowSpan, ...]:
    """Raises `Invalid`."""
    tz = zone(timezone)
    start, end = (instant_or_date(name, text or "") for name, text in zip(("from", "to"), between, strict=True))
    begun = reader.period().start
    if start is None:
        start = begun if begun is not None and begun < reader.now else reader.now - _WITHOUT_A_PERIOD
    period = span_between(start, end or reader.now, tz).period
    return windows_of(period, window, tz) or (WindowSpan(period, ""),)


def _part(part: Part) -> PartBody:
    return PartBody(
        grant=part.grant.id,
        priority=part.grant.priority,
        granted=exactly(part.granted),
        burned=exactly(part.burned),
        left=exactly(part.left),
        effective_at=format_instant(part.grant.effective_at),
        expires_at=written(part.grant.expires_at),
    )


def _window(label: str, span: BurnedSpan) -> BalanceWindow:
    return BalanceWindow(
        start=written(span.span.start) or "",
        end=written(span.span.end) or "",
        label=label,
        used=exactly(span.used),
        allowance_burned=exactly(span.allowance_burned),
        granted=exactly(span.granted),
        burned=exactly(span.burned),
        expired=exactly(span.expired),
        voided=exactly(span.voided),
        overage=exactly(span.overage),
        balance=exact(span.balance),
    )
