"""Making, listing and removing alert rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from ...domain.alert_rule import MOST_RULES, Alert, AlertRule, Basis, check_rule, check_rule_id
from ...domain.errors import Invalid, NotFound
from ...domain.organization import check_organization_id
from ...domain.pool import GRANTED
from ...ports.alerts import AlertSearch
from ..accounts import Accounts

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule that is asked for."""

    meter: str
    basis: Basis
    threshold: Decimal
    organization: str | None = None
    tell_resolved: bool = False


@dataclass(frozen=True, slots=True)
class AlertRules:
    """The use cases around rules. They are the operator's."""

    accounts: Accounts

    def of(self, namespace: str) -> list[AlertRule]:
        """The rules of a namespace, by id. Raises `NotFound`."""
        return self.accounts.ledger.alert_rules(self.accounts.catalogs.get(namespace).namespace)

    def get(self, namespace: str, rule_id: str) -> AlertRule:
        """One of them. Raises `NotFound`."""
        for rule in self.of(namespace):
            if rule.id == rule_id:
                return rule
        raise NotFound(f"namespace {namespace!r} has no alert rule {rule_id[:64]!r}: check the id in its list")

    def put(self, namespace: str, rule_id: str, draft: RuleDraft) -> tuple[AlertRule, bool]:
        """Makes a rule, or puts it in the place of the one of its id; and whether there was none. One that compares
        something else than before begins anew: what was raised before does not count.

        Raises `NotFound` for the namespace, the meter or the organization, and `Invalid`.
        """
        now = self.accounts.clock.now()
        rules = {rule.id: rule for rule in self.of(namespace)}
        before = rules.get(rule_id)
        if before is None and len(rules) >= MOST_RULES:
            raise Invalid(f"namespace {namespace} has {MOST_RULES} alert rules already: remove one")
        rule = AlertRule(
            id=rule_id,
            namespace=namespace,
            meter=draft.meter,
            basis=draft.basis,
            threshold=draft.threshold,
            organization=draft.organization,
            tell_resolved=draft.tell_resolved,
            created_at=before.created_at if before is not None else now,
            revised_at=now,
        )
        check_rule(rule)
        if (problem := self.problem(rule)) is not None:
            raise Invalid(f"meter: {problem}")
        if draft.organization is not None:
            organization = self.accounts.organization(draft.organization)
            if organization.namespace != namespace:
                raise NotFound(f"namespace {namespace!r} has no organization {organization.id!r}")
        if before is not None:
            same = before.compares_as(rule)
            # A clock that was set back must not give the instant of an earlier revision again.
            rule = replace(rule, revised_at=before.revised_at if same else max(now, before.revised_at + _MICROSECOND))
        self.accounts.ledger.put_alert_rule(rule)
        return rule, before is None

    def delete(self, namespace: str, rule_id: str) -> None:
        """Removes a rule; what it has raised stays in the list of alerts. Raises `NotFound`, and `Invalid` for what
        cannot be an id."""
        check_rule_id(rule_id)
        self.accounts.ledger.delete_alert_rule(self.accounts.catalogs.get(namespace).namespace, rule_id)

    def alerts(self, search: AlertSearch) -> list[Alert]:
        """What was raised, the newest first. Raises `NotFound` for the namespace, and `Invalid` for what cannot be an
        organization's id."""
        if search.organization is not None:
            check_organization_id(search.organization)
        self.accounts.catalogs.get(search.namespace)
        return self.accounts.ledger.alerts(search)

    def problem(self, rule: AlertRule) -> str | None:
        """Why a rule compares nothing: its meter is gone, or is another now. None where it does."""
        catalog = self.accounts.catalogs.get(rule.namespace)
        if rule.meter in catalog.pools and rule.basis is Basis.BALANCE:
            return None
        if (meter := catalog.meters.get(rule.meter)) is None:
            kinds = "no meter and no pool" if rule.basis is Basis.BALANCE else "no meter"
            return f"the namespace {rule.namespace} has {kinds} {rule.meter[:60]!r}"
        if rule.basis in (Basis.BALANCE, Basis.FORECAST) and meter.aggregation not in GRANTED:
            return f"{rule.meter} is a {meter.aggregation}: there is a {rule.basis} of COUNT and SUM meters"
        return None
