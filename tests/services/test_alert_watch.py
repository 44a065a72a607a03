"""Rounds of the alert worker on a clock that tests move: what commits and instants lead to, and what a crash leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meterhouse.domain.alert_rule import Alert, Basis
from meterhouse.domain.delivery import AttemptOutcome
from meterhouse.domain.errors import Unavailable
from meterhouse.domain.period import Interval
from meterhouse.domain.plan import Subscription
from meterhouse.domain.shards import Seat
from meterhouse.domain.webhook import EventType
from meterhouse.ports.alerts import AlertSearch, Raising
from meterhouse.ports.webhooks import DeliverySearch
from meterhouse.services.alerts import AlertWatch, AlertWorker, RuleDraft
from meterhouse.services.grants import GrantDraft
from meterhouse.services.webhooks import EndpointDraft
from support.twins import Twins, twins_at

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MONTHLY = Subscription(None, datetime(2026, 3, 1, tzinfo=UTC), Interval(1, 0), {"credits": Decimal(100)})
SPACE = "unsiloed"


class Shop:
    """A namespace with an endpoint, which is told everything, and a worker whose rounds a test makes."""

    def __init__(self, twins: Twins):
        self.twins = twins
        self.ledger = twins.accounts.ledger
        self.worker = self.another_worker()
        self.worker._store.follow_changes()

    def restarted(self) -> AlertWorker:
        """The worker of the next process: what the store has remembered for the last one is gone."""
        self.twins.store._changes._organizations.clear()
        self.twins.store._changes._corrections.clear()
        return self.another_worker()

    def another_worker(self) -> AlertWorker:
        metering = self.twins.metering
        watch = AlertWatch(metering.usage, metering.forecasts, self.twins.rules)
        return AlertWorker(self.twins.store, watch, Seat(), nullcontext, monotonic_ns=lambda: 10**18)

    def organization(self, subscription: Subscription | None = MONTHLY) -> str:
        name = self.twins.organization(SPACE, self.twins.clock.now())
        if subscription is not None:
            self.twins.accounts.subscribe(name, subscription)
        return name

    def use(self, organization: str, amount: str, at: datetime | None = None) -> None:
        self.twins.send(SPACE, organization, "credit.used", at or self.twins.clock.now(), {"amount": amount})

    def rule(self, basis: Basis, threshold: object, name: str = "r", **more: Any) -> None:
        self.twins.rules.put(SPACE, name, RuleDraft("credits", basis, Decimal(str(threshold)), **more))

    def alerts(self) -> list[Alert]:
        return self.ledger.alerts(AlertSearch(SPACE))

    def told(self, kind: EventType | None = None) -> list[dict[str, Any]]:
        """The messages in the outbox, the oldest first."""
        found = self.ledger.deliveries(DeliverySearch(SPACE, "all", limit=1000))[::-1]
        messages = [self.ledger.delivery(SPACE, each.id) for each in found]
        return [json.loads(each[1].payload) for each in messages if each and kind in (None, each[1].type)]

    def rounds(self, upto: datetime, step: timedelta = DAY) -> None:
        """One round after the other, until an instant."""
        while self.twins.clock.instant < upto:
            self.twins.clock.instant += step
            self.worker.round()


@contextmanager
def opened(folder: Path) -> Iterator[Shop]:
    with twins_at(folder, NOW) as twins:
        shop = Shop(twins)
        yield shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with opened(tmp_path) as made:
        made.twins.webhooks.put(SPACE, "all", EndpointDraft("https://example.com/hook"))
        yield made


class TestRounds:
    def test_a_round_looks_only_at_who_has_changed(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        organizations = [shop.organization() for _ in range(3)]
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        looked: list[str] = []
        whole = AlertWatch.look

        def look(watch: AlertWatch, namespace: str, organization: str, *more: Any) -> Raising:
            looked.append(organization)
            return whole(watch, namespace, organization, *more)

        monkeypatch.setattr(AlertWatch, "look", look)
        shop.worker.round()
        assert looked == []
        for _ in range(10):
            shop.use(organizations[1], "1")
        shop.worker.round()
        assert looked == [organizations[1]]
        assert [alert.organization for alert in shop.alerts()] == [organizations[1]]

    def test_what_cannot_be_looked_at_is_looked_at_again_and_others_all_the_same(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = (shop.organization() for _ in range(2))
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        whole, broken = AlertWatch.look, {first}

        def look(watch: AlertWatch, namespace: str, organization: str, *more: Any) -> Raising:
            if organization in broken:
                raise RuntimeError("told to fail")
            return whole(watch, namespace, organization, *more)

        monkeypatch.setattr(AlertWatch, "look", look)
        for each in (first, second):
            shop.use(each, "7")
        for _ in range(2):
            with pytest.raises(Unavailable):
                shop.worker.round()
        assert [alert.organization for alert in shop.alerts()] == [second]
        assert shop.ledger.evaluated(0) is not None
        assert shop.ledger.evaluated(0) < shop.twins.store.latest_commit()  # type: ignore[operator]
        broken.clear()
        shop.worker.round()
        assert {alert.organization for alert in shop.alerts()} == {first, second}

    def test_what_cannot_be_written_keeps_nothing_else_from_being_written(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = [shop.organization() for _ in range(5)]
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        whole, broken = shop.ledger.raise_alerts, {names[2]}

        def write(*raisings: Raising) -> int:
            if any(alert.organization in broken for each in raisings for alert in each.raised):
                raise RuntimeError("told to fail")
            return whole(*raisings)

        monkeypatch.setattr(shop.ledger, "raise_alerts", write)
        for each in names:
            shop.use(each, "7")
        with pytest.raises(Unavailable):
            shop.worker.round()
        assert {alert.organization for alert in shop.alerts()} == {*names} - broken
        broken.clear()
        shop.worker.round()
        assert {alert.organization for alert in shop.alerts()} == {*names}

    def test_after_a_crash_what_was_stored_is_looked_at(self, shop: Shop) -> None:
        organization, other = shop.organization(), shop.organization()
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        shop.use(organization, "7")  # and the process ends before a round
        again = shop.restarted()
        again.round()
        assert [alert.organization for alert in shop.alerts()] == [organization]
        shop.use(other, "7")
        shop.restarted().round()
        shop.restarted().round()
        assert len(shop.alerts()) == len(shop.told()) == 2

    def test_a_correction_that_a_crash_kept_from_being_told_is_told_once(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        organization = shop.organization()
        shop.worker.round()
        shop.use(organization, "7")
        body = {"id": "c", "actor": "ada", "reason": "a test", "add": []}
        stored = shop.twins.event(SPACE, organization, "credit.used", NOW, {"amount": "1"})
        shop.twins.store.append([stored], NOW)
        body["void"] = [{"source": stored.source, "id": stored.id, "organization": organization}]
        admin = {"authorization": "Bearer twins-admin-key-0123"}
        made = shop.twins.plain.post(f"/v1/corrections?namespace={SPACE}", json=body, headers=admin)
        assert made.status_code == 200, made.text
        for _ in range(2):  # the first one ends before it has written down how far it came
            worker = shop.restarted()
            monkeypatch.setattr(worker, "_write_down", lambda every_ns: None)
            worker.round()
        [told] = shop.told(EventType.CORRECTION_MADE)
        assert (told["data"]["correction"], told["data"]["organization"]) == ("c", organization)

    def test_where_it_is_not_known_what_was_looked_at_everybody_is(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        shop.use(organization, "7")
        shop.ledger.set_evaluated(0, 10**9)  # a folder whose commits are counted anew
        shop.restarted().round()
        assert len(shop.alerts()) == 1


class TestPeriods:
    def test_a_period_that_ends_is_told_once_with_its_summary(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.use(organization, "120.5")
        shop.rounds(datetime(2026, 4, 5, tzinfo=UTC), timedelta(hours=7))
        [told] = shop.told(EventType.PERIOD_CLOSED)
        data = told["data"]
        assert data["period"] == {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
        assert {name: data["meters"]["credits"][name] for name in ("used", "limit", "remaining", "overage")} == {
            "used": 120.5,
            "limit": 100,
            "remaining": 0,
            "overage": 20.5,
        }

    def test_a_server_that_was_away_tells_all_that_have_ended_in_their_order(self, shop: Shop) -> None:
        shop.organization()
        shop.worker.round()
        shop.twins.clock.instant = datetime(2026, 6, 10, tzinfo=UTC)
        shop.restarted().round()
        ends = [told["data"]["period"]["end"][:7] for told in shop.told(EventType.PERIOD_CLOSED)]
        assert ends == ["2026-04", "2026-05", "2026-06"]

    def test_what_ended_before_the_organization_was_there_is_not_told(self, shop: Shop) -> None:
        shop.organization(replace(MONTHLY, anchor=datetime(2025, 1, 1, tzinfo=UTC)))
        shop.organization(None)
        shop.organization(replace(MONTHLY, interval=None))
        shop.rounds(NOW + 3 * DAY)
        assert shop.told() == []

    def test_a_clock_that_is_set_back_by_a_day_tells_and_raises_nothing_twice(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.rule(Basis.USED, 5)
        shop.use(organization, "7")
        shop.rounds(datetime(2026, 4, 1, 3, tzinfo=UTC), HOUR)
        assert (len(shop.alerts()), len(shop.told(EventType.PERIOD_CLOSED))) == (1, 1)
        seen = shop.twins.clock.instant
        shop.twins.clock.instant -= DAY
        shop.use(organization, "1")
        shop.twins.accounts.subscribe(organization, MONTHLY)
        shop.worker.round()
        [row] = shop.ledger.due_organizations(seen + 300 * DAY, None, 10)
        assert row.told_until == datetime(2026, 4, 1, tzinfo=UTC)
        shop.rounds(datetime(2026, 4, 2, 12, tzinfo=UTC), HOUR)
        assert (len(shop.alerts()), len(shop.told(EventType.PERIOD_CLOSED))) == (1, 1)
        shop.use(organization, "9")
        shop.worker.round()
        assert len(shop.alerts()) == 2  # in April

    def test_in_each_period_a_rule_raises_anew(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.rule(Basis.PERCENT, 50)
        for month in (3, 4, 5):
            shop.use(organization, "60", datetime(2026, month, 16, tzinfo=UTC) if month > 3 else NOW)
            shop.rounds(datetime(2026, month, 20, tzinfo=UTC))
        starts = sorted(alert.period_start.month for alert in shop.alerts() if alert.period_start)
        assert starts == [3, 4, 5]
        assert all(alert.resolved_at is None for alert in shop.alerts())

    def test_an_organization_that_is_deleted_is_told_nothing_of(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.rule(Basis.USED, 5)
        shop.worker.round()
        shop.use(organization, "7")
        shop.twins.accounts.delete_organization(organization)
        shop.rounds(datetime(2026, 4, 2, tzinfo=UTC))
        assert (shop.alerts(), shop.told()) == ([], [])


class TestGrants:
    def test_a_grant_that_expires_is_told_seven_days_before_once(self, shop: Shop) -> None:
        organization = shop.organization()
        expires_at = NOW + 12 * DAY
        shop.twins.grants.grant(organization, GrantDraft("credits", Decimal(50), "g", expires_at=expires_at))
        shop.use(organization, "110")
        shop.rounds(NOW + 5 * DAY - HOUR, HOUR)
        assert shop.told() == []
        shop.rounds(NOW + 8 * DAY, HOUR)
        shop.twins.accounts.subscribe(organization, MONTHLY)  # which is why it is looked at again
        shop.rounds(expires_at + DAY, HOUR)
        [told] = shop.told(EventType.GRANT_EXPIRING)
        assert told["timestamp"] == "2026-03-20T12:00:00Z"
        assert {name: told["data"][name] for name in ("grant", "meter", "amount", "left", "expires_at")} == {
            "grant": "g",
            "meter": "credits",
            "amount": 50,
            "left": 40,
            "expires_at": "2026-03-27T12:00:00Z",
        }

    def test_one_of_a_shorter_life_is_told_when_it_begins(self, shop: Shop) -> None:
        organization = shop.organization()
        draft = GrantDraft("credits", Decimal(50), "g", effective_at=NOW + 2 * DAY, expires_at=NOW + 5 * DAY)
        shop.twins.grants.grant(organization, draft)
        shop.rounds(NOW + 6 * DAY, 6 * HOUR)
        assert [told["timestamp"] for told in shop.told(EventType.GRANT_EXPIRING)] == ["2026-03-17T12:00:00Z"]

    def test_of_one_that_is_voided_or_used_up_nothing_is_told(self, shop: Shop) -> None:
        organization = shop.organization()
        for name in ("voided", "used"):
            draft = GrantDraft("credits", Decimal(50), name, expires_at=NOW + 9 * DAY)
            shop.twins.grants.grant(organization, draft)
        shop.twins.grants.void(organization, "voided")
        shop.use(organization, "150")
        shop.rounds(NOW + 10 * DAY)
        assert shop.told(EventType.GRANT_EXPIRING) == []

    def test_a_balance_that_a_grant_leaves_low_when_it_ends_is_told_then(self, shop: Shop) -> None:
        organization = shop.organization()
        shop.twins.grants.grant(organization, GrantDraft("credits", Decimal(50), "g", expires_at=NOW + 3 * DAY))
        shop.rule(Basis.BALANCE, 20)
        shop.use(organization, "95")
        shop.rounds(NOW + 4 * DAY, HOUR)
        [alert] = shop.alerts()
        assert (alert.raised_at, alert.value) == (NOW + 3 * DAY, 5)


class TestForecasts:
    def test_a_forecast_that_exceeds_the_limit_is_told_once_in_a_period(self, shop: Shop) -> None:
        organization = shop.organization()
        for hour in range(48, 0, -1):
            shop.use(organization, "0.5", NOW - hour * HOUR)
        shop.rule(Basis.FORECAST, 100)
        shop.worker.round()
        [alert] = shop.alerts()
        [told] = shop.told(EventType.FORECAST_EXCEEDS_LIMIT)
        assert alert.value > 100
        assert told["data"]["limit"] == 100
        shop.rounds(NOW + 5 * DAY)  # nothing more is used, and less is expected
        shop.use(organization, "60")
        shop.worker.round()
        assert [each.id for each in shop.alerts()] == [alert.id]
        assert shop.alerts()[0].resolved_at is None


class TestNobodyAsks:
    def test_without_rules_and_endpoints_nothing_is_written_but_the_schedule(self, tmp_path: Path) -> None:
        with opened(tmp_path) as shop:
            organization = shop.organization()
            shop.use(organization, "7")
            shop.rounds(datetime(2026, 5, 2, tzinfo=UTC))
            assert shop.alerts() == []
            assert shop.ledger.due_organizations(shop.twins.clock.instant, None, 10) == []
            shop.twins.webhooks.put(SPACE, "all", EndpointDraft("https://example.com/hook"))
            assert shop.told() == []
            shop.rounds(datetime(2026, 6, 2, tzinfo=UTC))
            assert [each["data"]["period"]["end"][:7] for each in shop.told()] == ["2026-06"]


def test_upkeep_forgets_what_was_delivered_a_month_ago(shop: Shop) -> None:
    shop.organization()
    shop.rounds(datetime(2026, 4, 2, tzinfo=UTC))
    [due] = shop.ledger.due_deliveries(shop.twins.clock.instant, None, 10)
    shop.ledger.record_attempt(due.delivery, AttemptOutcome(204, None, "", 1), shop.twins.clock.instant, 0)
    for days, left in ((30, 1), (1, 0)):
        shop.twins.clock.instant += days * DAY - HOUR * (days > 1)
        assert len([*shop.twins.webhooks.forget_old()]) == 1 - left
        assert len(shop.told()) == left
