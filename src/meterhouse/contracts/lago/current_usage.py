"""The usage of a subscription in its usage period, meter by meter, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from ...domain.currency import DIGITS
from ...domain.meter import Aggregation, Meter, MeterQuery
from ...domain.period import ALL_TIME, MONTHLY, Period, period_at
from ...domain.plan import usage_period
from ...domain.quantity import ZERO, plain, round_half_up
from ...domain.usage_query import UsageQuery
from ...ports.snapshots import Snapshot
from ..namespace_contract import Call, Refuse, Reply, Services
from .wire import LagoOptions, invalid, lago_id, written_seconds

_AGGREGATIONS = {
    Aggregation.COUNT: "count_agg",
    Aggregation.SUM: "sum_agg",
    Aggregation.MAX: "max_agg",
    Aggregation.MIN: "min_agg",
    Aggregation.AVG: "avg_agg",
    Aggregation.UNIQUE_COUNT: "unique_count_agg",
    Aggregation.LATEST: "latest_agg",
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked about."""

    subscription: str
    period: Period
    snapshot: Snapshot
    groups: Mapping[str, str]
    """`group[k]=v`: only what has these texts."""


def current_usage(call: Call, services: Services) -> Reply:
    """The usage of the subscription that a parameter names; the customer of the path is not looked at, since the
    subscription says whose usage it is. Without a subscription of ours its period is the month."""
    assert isinstance(services.options, LagoOptions)
    subscription = call.one("external_subscription_id")
    if not subscription:
        raise invalid({"external_subscription_id": ["value_is_mandatory"]})
    wanted = call.one("billable_metric_code") or call.one("charge_code")
    catalog = services.catalogs.get(call.namespace)
    if wanted is not None and wanted not in catalog.meters:
        raise Refuse(404, "there is no such meter", code="billable_metric_not_found")
    meters = [each for each in catalog.meters.values() if each.aggregation in _AGGREGATIONS]
    period = _period(call, services, subscription)
    groups = {name[6:-1]: text for name, text in call.query if name.startswith("group[") and name.endswith("]")}
    snapshot = services.snapshots.snapshot(call.namespace, (subscription,), None)
    asked = _Asked(subscription, period, snapshot, groups)
    charges = [_charge(call, services, asked, each) for each in meters if wanted in (None, each.slug)]
    currencies = {each["amount_currency"] for each in charges if each["amount_cents"]}
    if len(currencies) > 1:
        raise Refuse(405, f"usage is priced in {', '.join(sorted(map(str, currencies)))}", code="currencies_differ")
    currency = next(iter(currencies), services.options.currency)
    total = sum(int(str(each["amount_cents"])) for each in charges)
    assert period.start is not None
    assert period.end is not None
    usage = {
        "from_datetime": written_seconds(period.start),
        "to_datetime": written_seconds(period.end - timedelta(seconds=1)),
        "issuing_date": (period.end - timedelta(seconds=1)).date().isoformat(),
        "lago_invoice_id": None,
        "currency": currency,
        "amount_cents": total,
        "total_amount_cents": total,
        "taxes_amount_cents": 0,
        "charges_usage": charges,
    }
    return Reply(200, {"customer_usage": usage})


def _period(call: Call, services: Services, organization: str) -> Period:
    known = services.accounts.organization_in(organization, [call.namespace])
    period = ALL_TIME if known is None else usage_period(services.accounts.subscription(known.id), call.now)
    if period.start is None or period.end is None:
        month = call.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return period_at(month, MONTHLY, call.now)
    return period


def _charge(call: Call, services: Services, asked: _Asked, meter: Meter) -> dict[str, object]:
    question = _question(call, asked, meter)
    amounts = _costs(call, services, asked, meter)
    if len(amounts) > 1:
        raise Refuse(405, f"{meter.slug} is priced in {', '.join(sorted(amounts))}", code="currencies_differ")
    assert isinstance(services.options, LagoOptions)
    currency, amount = next(iter(amounts.items()), (services.options.currency, ZERO))
    counted = Meter("events", meter.event_type, Aggregation.COUNT, where=meter.where, renamed=meter.renamed)
    [units, events] = [_measured(asked, replace(question, meters=(each,))) for each in (meter, counted)]
    name = lago_id(call.namespace, meter.slug)
    return {
        "units": _text(units),
        "total_aggregated_units": _text(units),
        "events_count": int(events),
        "amount_cents": _cents(amount, currency),
        "amount_currency": currency,
        "charge": {"lago_id": name, "charge_model": "standard", "invoice_display_name": None},
        "billable_metric": {
            "lago_id": name,
            "name": meter.description or meter.slug,
            "code": meter.slug,
            "aggregation_type": _AGGREGATIONS[meter.aggregation],
        },
        "filters": [],
        "grouped_usage": [],
    }


def _question(call: Call, asked: _Asked, meter: Meter) -> MeterQuery:
    for name in asked.groups:
        if name not in meter.group_by:
            raise invalid({f"group[{name[:60]}]": ["not_a_group_of_the_meter"]})
    return MeterQuery(
        namespace=call.namespace,
        organization=asked.subscription,
        meters=(meter,),
        edges=(asked.period.start, asked.period.end),
        as_of_commit=asked.snapshot.commit,
        filters=tuple((name, (text,)) for name, text in asked.groups.items()),
    )


def _measured(asked: _Asked, question: MeterQuery) -> Decimal:
    """What a meter comes to; 0 without events."""
    return next((each.value for each in asked.snapshot.reader.measure(question)), ZERO)


def _costs(call: Call, services: Services, asked: _Asked, meter: Meter) -> Mapping[str, Decimal]:
    if meter.slug not in services.catalogs.get(call.namespace).prices:
        return {}
    query = UsageQuery(
        meters=(meter.slug,),
        start=asked.period.start,
        end=asked.period.end,
        filters=tuple((name, (text,)) for name, text in asked.groups.items()),
        costs=True,
    )
    [answer] = services.queries.answer(query, call.namespace, (asked.subscription,)).meters
    assert answer.figures.costs is not None  # it has prices
    return answer.figures.costs.total


def _text(value: Decimal) -> str:
    """Units as Lago writes them: with a point at least."""
    text = format(plain(value), "f")
    return text if "." in text else f"{text}.0"


def _cents(amount: Decimal, currency: str) -> int:
    """In the currency's smallest unit, halves rounded up."""
    return int(round_half_up(amount.scaleb(DIGITS[currency]), 0))
