"""What alert rules compare, read from an organization's usage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from ...domain.alert_rule import AlertRule, Basis, RuleReading
from ...domain.summary import MeterSummary, UsageSummary
from ..balances import balance_of, sources_of
from ..forecasts import Forecasts
from ..organization_usage import OrganizationUsage

_NOTHING = RuleReading(None)


def readings(usage: OrganizationUsage, rules: Iterable[AlertRule], forecasts: Forecasts) -> Mapping[str, RuleReading]:
    """What each rule compares now, by its id. The catalog has the meters of all of them."""
    summaries: dict[str, MeterSummary] = {}
    found: dict[str, RuleReading] = {}
    for rule in rules:
        if rule.basis is Basis.BALANCE:
            found[rule.id] = _balance(usage, rule.meter)
            continue
        if rule.meter not in summaries:
            summaries[rule.meter] = usage.meter_summary(rule.meter)
        summary = summaries[rule.meter]
        used = _forecast(usage, summary, forecasts) if rule.basis is Basis.FORECAST else summary.used
        found[rule.id] = RuleReading(used, summary.limit)
    return found


def _balance(usage: OrganizationUsage, slug: str) -> RuleReading:
    """What is left. Of what the organization never had any of, nothing can be used up."""
    sources = sources_of(usage, slug)
    if sources.allowance is None or (not sources.allowance and not sources.grants):
        return _NOTHING
    balance = balance_of(usage, slug)
    return RuleReading(balance.left, balance.limit)


def _forecast(usage: OrganizationUsage, summary: MeterSummary, forecasts: Forecasts) -> Decimal | None:
    whole = UsageSummary(usage.organization, usage.subscription, summary.period, (summary,))
    forecast = forecasts.of(usage, whole, as_of=False).get(summary.meter.slug)
    return None if forecast is None else forecast.used
