"""Alert rules, and what they have raised."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec
from litestar import Response, Router, delete, get, put
from litestar.params import FromPath, JSONBody, QueryParameter

from ..domain.alert_rule import Alert, AlertRule, Basis
from ..domain.errors import Invalid
from ..domain.period import format_instant
from ..domain.quantity import plain
from ..domain.query_parameters import instant_of
from ..ports.alerts import AlertSearch
from ..services.alerts import AlertRules, RuleDraft
from .authentication import Authentication
from .bodies import exact, exactly, json_response
from .openapi import described
from .periods import PeriodBody, period_body, written
from .subscriptions import read_amount

_RULES = "/v1/alert-rules"
_RULE = _RULES + "/{rule:str}"
_ALERT_ID = re.compile(r"alert_[0-9a-f]{32}", re.ASCII)
Namespace = Annotated[str, QueryParameter(description="The namespace; ids are of one.")]
Limit = Annotated[int, QueryParameter(description="How many at most.", ge=1, le=1000)]


class NewAlertRule(msgspec.Struct, forbid_unknown_fields=True):
    """A rule. `threshold` is compared with what was `used` of the meter in the usage period, the `percent` of its limit
    that this is, the percent of the limit that a `forecast` expects, or the `balance` that is left, of a pool too. It
    is about one `organization`, or about each of the namespace. With `tell_resolved` it is told, too, when the
    threshold is not crossed any more."""

    meter: str
    basis: Basis
    threshold: Decimal
    organization: str | None = None
    tell_resolved: bool = False


class AlertRuleBody(msgspec.Struct):
    """A rule, and the type of the events that it raises. `problem` says why it compares nothing, if it does not."""

    id: str
    namespace: str
    meter: str
    basis: Basis
    threshold: Decimal
    organization: str | None
    tell_resolved: bool
    event_type: str
    problem: str | None
    created_at: str
    revised_at: str


class AlertBody(msgspec.Struct):
    """A threshold that was crossed in a usage period. `value` and `limit` are those of the moment it was raised at;
    `crossing` counts how often it was in the period: after a correction it may be crossed anew."""

    id: str
    rule: str
    organization: str
    meter: str
    basis: Basis
    threshold: Decimal
    state: Literal["raised", "resolved"]
    value: Decimal
    limit: Decimal | None
    period: PeriodBody
    crossing: int
    raised_at: str
    resolved_at: str | None


class AlertsBody(msgspec.Struct):
    """Alerts, the newest first; `next` is the `before` of the page after it, null where that is empty."""

    alerts: list[AlertBody]
    next: str | None


_EXAMPLE = {"meter": "tokens", "basis": "percent", "threshold": 80}


def alerts_router(rules: AlertRules, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    def told(rule: AlertRule) -> AlertRuleBody:
        return AlertRuleBody(
            id=rule.id,
            namespace=rule.namespace,
            meter=rule.meter,
            basis=rule.basis,
            threshold=plain(rule.threshold),
            organization=rule.organization,
            tell_resolved=rule.tell_resolved,
            event_type=rule.event_type,
            problem=rules.problem(rule),
            created_at=format_instant(rule.created_at),
            revised_at=format_instant(rule.revised_at),
        )

    @put(
        _RULE,
        operation_id="putAlertRule",
        tags=["Alerts"],
        opt=described(answers={200: AlertRuleBody, 201: AlertRuleBody}, example=_EXAMPLE),
    )
    async def put_rule(rule: FromPath[str], namespace: Namespace, data: JSONBody[NewAlertRule]) -> Response[bytes]:
        """Makes a rule, 201, or changes it. Organizations that have crossed the threshold already raise it at once."""
        threshold = read_amount(data.threshold, "threshold")
        draft = RuleDraft(data.meter, data.basis, threshold, data.organization, data.tell_resolved)
        put_rule, made = await asyncio.to_thread(rules.put, namespace, rule, draft)
        response = json_response(told(put_rule))
        response.status_code = 201 if made else 200
        return response

    @get(
        _RULES,
        operation_id="listAlertRules",
        tags=["Alerts"],
        opt=described(answers={200: list[AlertRuleBody]}, problems=(404,)),
    )
    async def list_rules(namespace: Namespace) -> Response[bytes]:
        """The rules of a namespace, by id."""
        return json_response([told(rule) for rule in await asyncio.to_thread(rules.of, namespace)])

    @get(_RULE, operation_id="getAlertRule", tags=["Alerts"], opt=described(answers={200: AlertRuleBody}))
    async def get_rule(rule: FromPath[str], namespace: Namespace) -> Response[bytes]:
        """One rule."""
        return json_response(told(await asyncio.to_thread(rules.get, namespace, rule)))

    @delete(_RULE, operation_id="deleteAlertRule", tags=["Alerts"])
    async def delete_rule(rule: FromPath[str], namespace: Namespace) -> None:
        """Removes a rule. What it has raised stays in the list of alerts."""
        await asyncio.to_thread(rules.delete, namespace, rule)

    @get(
        "/v1/alerts",
        operation_id="listAlerts",
        tags=["Alerts"],
        opt=described(answers={200: AlertsBody}, problems=(404,)),
    )
    async def list_alerts(
        namespace: Namespace,
        *,
        organization: Annotated[str | None, QueryParameter(description="Of this one only.")] = None,
        alert_state: Annotated[
            Literal["raised", "resolved"] | None, QueryParameter(name="state", description="Those that are so now.")
        ] = None,
        before: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
        limit: Limit = 100,
    ) -> Response[bytes]:
        """What rules of a namespace have raised, the newest first."""
        resolved = None if alert_state is None else alert_state == "resolved"
        after = None if before is None else _read_place(before)
        search = AlertSearch(namespace, organization, resolved, after, limit)
        found = await asyncio.to_thread(rules.alerts, search)
        last = f"{format_instant(found[-1].raised_at)}_{found[-1].id}" if len(found) == limit else None
        return json_response(AlertsBody([_alert(alert) for alert in found], last))

    handlers = [put_rule, list_rules, get_rule, delete_rule, list_alerts]
    return Router("/", route_handlers=handlers, guards=[authentication.operator_guard()])


def _read_place(text: str) -> tuple[datetime, str]:
    at, _, alert_id = text.partition("_")
    if _ALERT_ID.fullmatch(alert_id) is None:
        raise Invalid(f"before: {text[:40]!r} is not the next of a page: take it as it was answered")
    return instant_of("before", at), alert_id


def _alert(alert: Alert) -> AlertBody:
    return AlertBody(
        id=alert.id,
        rule=alert.rule,
        organization=alert.organization,
        meter=alert.meter,
        basis=alert.basis,
        threshold=plain(alert.threshold),
        state="raised" if alert.resolved_at is None else "resolved",
        value=exactly(alert.value),
        limit=exact(alert.usage_limit),
        period=period_body(alert.period),
        crossing=alert.crossing,
        raised_at=format_instant(alert.raised_at),
        resolved_at=written(alert.resolved_at),
    )
