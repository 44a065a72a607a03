"""Alert rules, alerts, and when organizations are to be looked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from ...domain.alert_rule import Alert, AlertRule
from ...domain.delivery import Message
from ...domain.errors import NotFound
from ...domain.period import Period
from ...ports.alerts import AlertSearch, DueOrganization, Raising
from .database import Database, query_of, values_of
from .schedule import made_due, own_virtuals
from .tables import alert_rules, alert_schedule, alerts, evaluated, messages
from .webhooks import SqlWebhooks

_RULES = query_of(alert_rules, AlertRule)
_ALERTS = query_of(alerts, Alert)
_DUE = query_of(alert_schedule, DueOrganization)


class SqlAlerts(SqlWebhooks, Database):
    """See `ports.AlertLedger`."""

    def put_alert_rule(self, rule: AlertRule) -> None:
        """See `AlertLedger.put_alert_rule`."""
        values = values_of(rule)
        change = self._insert(alert_rules).values(values)
        about = alert_schedule.c.namespace == rule.namespace
        if rule.organization is not None:
            about = and_(about, alert_schedule.c.organization == rule.organization)
        with self._engine.begin() as connection:
            connection.execute(change.on_conflict_do_update(index_elements=["namespace", "id"], set_=values))
            connection.execute(made_due(about))
            self._record(connection, namespace=rule.namespace, organization=rule.organization, rule=rule.id)

    def alert_rules(self, namespace: str) -> list[AlertRule]:
        """See `AlertLedger.alert_rules`."""
        found = self._read(AlertRule, _RULES.where(alert_rules.c.namespace == namespace))
        return sorted(found, key=lambda rule: rule.id)

    def delete_alert_rule(self, namespace: str, rule_id: str) -> None:
        """See `AlertLedger.delete_alert_rule`."""
        change = delete(alert_rules).where(alert_rules.c.namespace == namespace, alert_rules.c.id == rule_id)
        with self._engine.begin() as connection:
            if deleted := connection.execute(change).rowcount:
                self._record(connection, namespace=namespace, rule=rule_id)
        if not deleted:
            raise NotFound(f"namespace {namespace!r} has no alert rule {rule_id[:64]!r}: check the id in its list")

    def alerts(self, search: AlertSearch) -> list[Alert]:
        """See `AlertLedger.alerts`."""
        conditions: list[ColumnElement[bool]] = [alerts.c.namespace == search.namespace]
        if search.organization is not None:
            conditions.append(alerts.c.organization == search.organization)
        if search.resolved is not None:
            conditions.append(alerts.c.resolved_at.is_not(None) if search.resolved else alerts.c.resolved_at.is_(None))
        if search.before is not None:
            at, alert_id = search.before
            older = and_(alerts.c.raised_at == at, alerts.c.id < alert_id)
            conditions.append(or_(alerts.c.raised_at < at, older))
        page = _ALERTS.where(*conditions).order_by(alerts.c.raised_at.desc(), alerts.c.id.desc())
        return self._read(Alert, page.limit(search.limit))

    def alerts_in(self, organization_id: str, period: Period) -> list[Alert]:
        """See `AlertLedger.alerts_in`."""
        start = alerts.c.period_start
        in_period = start.is_(None) if period.start is None else start == period.start
        return self._read(Alert, _ALERTS.where(alerts.c.organization == organization_id, in_period))

    def raise_alerts(self, *raisings: Raising) -> int:
        """See `AlertLedger.raise_alerts`."""
        with self._changing() as connection:
            return sum(self._write(connection, each) for each in raisings)

    def _write(self, connection: Connection, raising: Raising) -> int:
        new = sum(self._add(connection, alerts, values_of(alert)) for alert in raising.raised)
        for alert in raising.resolved:
            still = and_(alerts.c.id == alert.id, alerts.c.resolved_at.is_(None))
            connection.execute(update(alerts).where(still).values(resolved_at=alert.resolved_at))
        if (look := raising.look) is not None:
            own = alert_schedule.c.organization == look.organization
            unchanged = update(alert_schedule).where(own, alert_schedule.c.version == look.version)
            connection.execute(unchanged.values(next_at=look.next_at))
            connection.execute(update(alert_schedule).where(own).values(told_until=look.told_until))
        return new + self._tell(connection, raising.messages, raising.virtual)

    def _tell(self, connection: Connection, told: Sequence[Message], virtual: int) -> int:
        """Puts messages into the outbox; answers how many were not there."""
        if not told:
            return 0
        endpoints = [each for each in self._endpoints_in(connection, told[0].namespace) if each.enabled]
        new = 0
        for message in told:
            takers = [endpoint for endpoint in endpoints if endpoint.takes(message.type)]
            if takers and self._add(connection, messages, values_of(message)):
                new += 1
                for endpoint in takers:
                    self._add_delivery(connection, message, endpoint.id, virtual)
        return new

    def due_organizations(self, now: datetime, virtuals: Collection[int] | None, limit: int) -> list[DueOrganization]:
        """See `AlertLedger.due_organizations`."""
        due = _DUE.where(alert_schedule.c.next_at <= now, *own_virtuals(alert_schedule, virtuals))
        return self._read(DueOrganization, due.order_by(alert_schedule.c.next_at).limit(limit))

    def make_all_due(self, virtuals: Collection[int] | None) -> None:
        """See `AlertLedger.make_all_due`."""
        with self._engine.begin() as connection:
            connection.execute(made_due(*own_virtuals(alert_schedule, virtuals)))

    def evaluated(self, shard: int) -> int | None:
        """See `AlertLedger.evaluated`."""
        with self._engine.connect() as connection:
            found: int | None = connection.scalar(select(evaluated.c.commit).where(evaluated.c.number == shard + 1))
            return found

    def set_evaluated(self, shard: int, commit: int) -> None:
        """See `AlertLedger.set_evaluated`."""
        change = self._insert(evaluated).values(number=shard + 1, commit=commit)
        with self._engine.begin() as connection:
            connection.execute(change.on_conflict_do_update(index_elements=["number"], set_={"commit": commit}))
