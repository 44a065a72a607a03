"""Alerts and the outbox of webhooks, on SQLite and on a real PostgreSQL: raised once, delivered in order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import column, create_engine, insert, table

from meterhouse.domain.alert_rule import Alert, AlertRule, Basis, RuleReading, raised
from meterhouse.domain.delivery import AttemptOutcome, DeliveryStatus, Message
from meterhouse.domain.errors import NotFound
from meterhouse.domain.organization import Organization
from meterhouse.domain.period import ALL_TIME, Interval, Period
from meterhouse.domain.plan import Subscription
from meterhouse.domain.shards import ShardMap, virtual_shard
from meterhouse.domain.webhook import EventType, SigningSecret, WebhookEndpoint
from meterhouse.ports.alerts import AlertSearch, Raising, ScheduledLook
from meterhouse.ports.ledger import Ledger
from meterhouse.ports.webhooks import DeliverySearch
from meterhouse.storage.ledger.sql_ledger import SqlLedger

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
ACME = Organization("acme", "Acme", "shop", NOW)
RULE = AlertRule("r", "shop", "tokens", Basis.PERCENT, Decimal("80.5"), None, True, NOW, NOW)
ENDPOINT = WebhookEndpoint(
    "e", "shop", "https://example.com", frozenset(), (SigningSecret("s", NOW, NOW + DAY),), True, NOW
)
ENDPOINT_FAILING = replace(ENDPOINT, failing_since=NOW)
GOOD, BAD = AttemptOutcome(204, None, "", 3), AttemptOutcome(500, "answered 500", "Zoë", 3)
_numbers = count(1)


def alert(period: Period = MARCH, organization: str = "acme", now: datetime = NOW) -> Alert:
    made = raised(RULE, organization, period, reading=RuleReading(Decimal(81), Decimal(100)), before=(), now=now)
    assert made is not None
    return made


def message(name: str | None = None, organization: str = "acme", kind: EventType = EventType.PERIOD_CLOSED) -> Message:
    return Message(f"msg_{name or next(_numbers)}", "shop", organization, kind, NOW, '{"a":"Zoë"}')


def raising(*messages: Message, virtual: int = 0) -> Raising:
    return Raising(messages=messages, virtual=virtual)


@pytest.fixture
def shop(ledger: Ledger) -> Ledger:
    """A ledger with an organization and an endpoint."""
    ledger.add_organization(ACME)
    ledger.change_endpoint("shop", lambda _: ENDPOINT)
    return ledger


def due(ledger: Ledger, now: datetime = NOW, virtuals: list[int] | None = None) -> list[str]:
    return [each.delivery.message for each in ledger.due_deliveries(now, virtuals, 100)]


def settle(ledger: Ledger, outcome: AttemptOutcome, now: datetime = NOW) -> None:
    for each in ledger.due_deliveries(now, None, 100):
        ledger.record_attempt(each.delivery, outcome, now, 500)


class TestRules:
    @pytest.mark.parametrize(
        "rule", [RULE, replace(RULE, organization="acme", tell_resolved=False, threshold=Decimal("9" * 38))]
    )
    def test_comes_back_as_it_was_put(self, ledger: Ledger, rule: AlertRule) -> None:
        ledger.put_alert_rule(replace(rule, meter="other"))
        ledger.put_alert_rule(rule)
        ledger.put_alert_rule(replace(rule, namespace="other"))
        assert ledger.alert_rules("shop") == [rule]
        ledger.delete_alert_rule("shop", "r")
        assert ledger.alert_rules("shop") == []
        with pytest.raises(NotFound, match="has no alert rule 'r'"):
            ledger.delete_alert_rule("shop", "r")


class TestAlerts:
    @pytest.mark.parametrize("period", [MARCH, ALL_TIME])
    def test_it_is_raised_once_and_resolved_once(self, shop: Ledger, period: Period) -> None:
        one = alert(period)
        assert shop.raise_alerts(Raising(raised=[one])) == 1
        assert shop.raise_alerts(Raising(raised=[replace(one, raised_at=NOW + DAY)])) == 0
        assert shop.alerts_in("acme", period) == [one]
        for later in (DAY, 2 * DAY):
            shop.raise_alerts(Raising(resolved=[replace(one, resolved_at=NOW + later)]))
        assert shop.alerts_in("acme", period) == [replace(one, resolved_at=NOW + DAY)]
        assert shop.alerts_in("acme", Period(MARCH.end, None)) == shop.alerts_in("other", period) == []

    def test_they_are_listed_newest_first_in_pages(self, shop: Ledger) -> None:
        made = [alert(organization=f"o-{number}", now=NOW + number // 2 * SECOND) for number in range(6)]
        shop.raise_alerts(Raising(raised=made))
        shop.raise_alerts(Raising(resolved=[replace(made[0], resolved_at=NOW)]))
        expected = sorted(made, key=lambda each: (each.raised_at, each.id), reverse=True)
        found: list[Alert] = []
        while page := shop.alerts(
            AlertSearch("shop", before=(found[-1].raised_at, found[-1].id) if found else None, limit=2)
        ):
            found += page
        assert [each.id for each in found] == [each.id for each in expected]
        assert [each.organization for each in shop.alerts(AlertSearch("shop", "o-3"))] == ["o-3"]
        assert [each.organization for each in shop.alerts(AlertSearch("shop", resolved=True))] == ["o-0"]
        assert len(shop.alerts(AlertSearch("shop", resolved=False))) == 5
        assert shop.alerts(AlertSearch("other")) == []

    def test_an_alert_and_its_messages_are_written_together_or_not_at_all(self, shop: Ledger) -> None:
        wrong = replace(message(), created_at=datetime(2026, 1, 1))  # noqa: DTZ001 - cannot be written
        with pytest.raises(Exception, match="offset-naive"):
            shop.raise_alerts(Raising(raised=[alert()], messages=[message(), wrong]))
        assert shop.alerts_in("acme", MARCH) == []
        assert due(shop) == []

    def test_two_who_raise_the_same_at_once_raise_it_once(self, shop: Ledger) -> None:
        together, counted = threading.Barrier(4), list[int]()
        what = Raising(raised=[alert()], messages=[message("m")])

        def run() -> None:
            together.wait()
            counted.append(shop.raise_alerts(what))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(counted) == [0, 0, 0, 2]
        assert due(shop) == ["msg_m"]


class TestSchedule:
    def test_every_change_makes_an_organization_due(self, shop: Ledger) -> None:
        actions: list[Callable[[], object]] = [
            lambda: shop.put_subscription("acme", Subscription(None, NOW, Interval(1, 0))),
            lambda: shop.put_alert_rule(RULE),
            lambda: shop.put_alert_rule(replace(RULE, organization="acme")),
            lambda: shop.make_all_due(None),
        ]
        for act in [lambda: None, *actions]:
            act()
            [row] = shop.due_organizations(NOW, None, 10)
            assert (row.organization, row.namespace) == ("acme", "shop")
            shop.raise_alerts(Raising(look=ScheduledLook("acme", NOW + DAY, NOW, row.version)))
            assert shop.due_organizations(NOW, None, 10) == []
        shop.put_alert_rule(replace(RULE, namespace="other"))
        shop.put_alert_rule(replace(RULE, organization="other"))
        assert shop.due_organizations(NOW + DAY - SECOND, None, 10) == []
        [row] = shop.due_organizations(NOW + DAY, None, 10)
        assert row.told_until == NOW

    def test_what_changes_during_a_look_is_looked_at_again(self, shop: Ledger) -> None:
        [row] = shop.due_organizations(NOW, None, 10)
        shop.put_subscription("acme", Subscription(None, NOW, None))
        shop.raise_alerts(Raising(look=ScheduledLook("acme", None, NOW, row.version)))
        [again] = shop.due_organizations(NOW, None, 10)
        assert (again.version, again.told_until) == (row.version + 1, NOW)
        shop.raise_alerts(Raising(look=ScheduledLook("acme", None, NOW, again.version)))
        assert shop.due_organizations(NOW + 1000 * DAY, None, 10) == []

    def test_a_process_sees_those_of_its_virtual_shards(self, shop: Ledger) -> None:
        own = virtual_shard("shop", "acme")
        assert len(shop.due_organizations(NOW, [own], 10)) == 1
        others = [each for each in range(64) if each != own]
        assert shop.due_organizations(NOW, others, 10) == []

    def test_the_commit_that_was_evaluated(self, ledger: Ledger) -> None:
        assert ledger.evaluated(0) is None
        ledger.set_evaluated(0, 7)
        ledger.set_evaluated(1, 2**62)
        ledger.set_evaluated(0, 8)
        assert (ledger.evaluated(0), ledger.evaluated(1)) == (8, 2**62)
        assert isinstance(ledger, SqlLedger)
        ledger.set_shard_map(ShardMap.even(3))  # whose commits are counted anew
        assert (ledger.evaluated(0), ledger.evaluated(1)) == (None, None)


class TestOutbox:
    def test_a_message_is_told_once_to_the_endpoints_that_take_it(self, shop: Ledger) -> None:
        shop.change_endpoint("shop", lambda _: replace(ENDPOINT, id="other", event_types=frozenset({EventType.TEST})))
        shop.change_endpoint("shop", lambda _: replace(ENDPOINT, id="off", enabled=False))
        assert shop.raise_alerts(raising(message("a"))) == 1
        assert shop.raise_alerts(raising(message("a"), message("b"))) == 1
        found = shop.due_deliveries(NOW, None, 100)
        assert [(each.delivery.message, each.endpoint, each.payload) for each in found] == [
            ("msg_a", ENDPOINT, '{"a":"Zoë"}')
        ]
        outbox = shop.outbox(None)
        assert (outbox.pending, outbox.oldest) == (2, NOW)

    def test_an_organizations_messages_keep_their_order_and_others_do_not_wait(self, shop: Ledger) -> None:
        for name, organization in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")):
            shop.raise_alerts(raising(message(name, organization)))
        assert due(shop) == ["msg_a1", "msg_b1"]
        [first, second] = shop.due_deliveries(NOW, None, 100)
        shop.record_attempt(first.delivery, BAD, NOW, 500)
        shop.record_attempt(second.delivery, GOOD, NOW, 500)
        assert due(shop) == ["msg_b2"]
        assert due(shop, NOW + 10 * SECOND) == ["msg_a1", "msg_b2"]
        settle(shop, GOOD, NOW + 10 * SECOND)
        assert due(shop, NOW + 10 * SECOND) == ["msg_a2"]

    def test_to_each_endpoint_the_order_is_its_own(self, shop: Ledger) -> None:
        shop.change_endpoint("shop", lambda _: replace(ENDPOINT, id="f"))
        shop.raise_alerts(raising(message("1"), message("2")))
        [to_e, to_f] = shop.due_deliveries(NOW, None, 100)
        shop.record_attempt(to_e.delivery, GOOD, NOW, 0)
        shop.record_attempt(to_f.delivery, BAD, NOW, 0)
        [left] = shop.due_deliveries(NOW, None, 100)
        assert (left.delivery.endpoint, left.delivery.message) == ("e", "msg_2")

    def test_no_endpoint_gets_more_than_its_share(self, shop: Ledger) -> None:
        for number in range(5):
            shop.raise_alerts(raising(message(None, f"o-{number}")))
        shop.change_endpoint("shop", lambda _: replace(ENDPOINT, id="f"))
        shop.raise_alerts(raising(message("late", "o-9")))
        found = shop.due_deliveries(NOW, None, 2)
        assert sorted(each.delivery.endpoint for each in found) == ["e", "e", "f"]

    def test_a_process_delivers_what_is_of_its_virtual_shards(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("1"), virtual=1))
        shop.raise_alerts(raising(message("2", "globex"), virtual=2))
        assert due(shop, virtuals=[1]) == ["msg_1"]
        assert shop.outbox([2, 3]).pending == 1
        assert due(shop, virtuals=[]) == []

    def test_it_is_given_up_after_three_days_and_the_next_one_comes(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("1"), message("2")))
        now, tried = NOW, list[datetime]()
        while due(shop, now) == ["msg_1"]:
            tried.append(now)
            settle(shop, BAD, now)
            [_, first] = shop.deliveries(DeliverySearch("shop", "e"))
            if first.status is DeliveryStatus.PENDING:
                assert due(shop, first.next_attempt_at - SECOND) == []
                now = first.next_attempt_at
        assert due(shop, now) == ["msg_2"]
        assert tried[-1] - tried[0] == 3 * DAY
        [_, first] = shop.deliveries(DeliverySearch("shop", "e"))
        assert (first.status, first.attempts) == (DeliveryStatus.FAILED, len(tried))
        attempts = shop.attempts([first.id])[first.id]
        assert [each.at for each in attempts] == tried
        assert (attempts[0].number, attempts[0].error, attempts[0].answer) == (1, "answered 500", "Zoë")

    def test_five_days_of_failures_switch_the_endpoint_off_and_what_waits_stays(self, shop: Ledger) -> None:
        now = NOW
        for _ in range(200):
            shop.raise_alerts(raising(replace(message(), created_at=now)))
            settle(shop, BAD, now)
            if not shop.endpoints("shop")[0].enabled:
                break
            now += timedelta(hours=1)
        assert 5 * DAY <= now - NOW <= 5 * DAY + timedelta(hours=10)  # at the first attempt after that
        [endpoint] = shop.endpoints("shop")
        assert endpoint.switched_off == "every attempt has failed for five days"
        assert (due(shop, now + DAY), shop.outbox(None).pending) == ([], 0)
        assert shop.raise_alerts(raising(message("unseen"))) == 0
        shop.change_endpoint("shop", lambda _: replace(endpoint, enabled=True, failing_since=None, switched_off=None))
        assert len(due(shop, now + DAY)) == 1
        settle(shop, GOOD, now + DAY)
        assert shop.endpoints("shop")[0].failing_since is None

    def test_a_clock_that_was_set_back_by_a_day_stops_nothing(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("1")))
        settle(shop, BAD, NOW)
        assert due(shop, NOW + SECOND) == []
        assert due(shop, NOW - DAY) == ["msg_1"]
        settle(shop, BAD, NOW - DAY)
        assert due(shop, NOW - DAY + SECOND) == []
        assert due(shop, NOW - DAY + 20 * SECOND) == ["msg_1"]

    def test_what_is_sent_again_comes_after_what_waits(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("1")))
        settle(shop, GOOD)
        shop.raise_alerts(raising(message("2")))
        [second, first] = shop.deliveries(DeliverySearch("shop", "e"))
        found = shop.delivery("shop", first.id)
        assert found is not None
        again = shop.add_delivery(found[1], "e", 0)
        assert (again.message, again.attempts, again.id > second.id) == ("msg_1", 0, True)
        assert due(shop) == ["msg_2"]
        settle(shop, GOOD)
        assert due(shop) == ["msg_1"]
        assert shop.delivery("other", first.id) is None

    def test_deliveries_are_listed_newest_first(self, shop: Ledger) -> None:
        for number in range(4):
            shop.raise_alerts(raising(message(f"l{number}", "a" if number % 2 else "b")))
        settle(shop, GOOD)
        newest = shop.deliveries(DeliverySearch("shop", "e", limit=3))
        assert [each.message for each in newest] == ["msg_l3", "msg_l2", "msg_l1"]
        rest = shop.deliveries(DeliverySearch("shop", "e", before=newest[-1].id))
        assert [each.message for each in rest] == ["msg_l0"]
        assert len(shop.deliveries(DeliverySearch("shop", "e", before=10**18))) == 4
        pending = shop.deliveries(DeliverySearch("shop", "e", "a", DeliveryStatus.PENDING))
        assert [each.message for each in pending] == ["msg_l3"]

    def test_a_removed_endpoint_takes_its_deliveries_along(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("1")))
        [only] = shop.due_deliveries(NOW, None, 100)
        shop.record_attempt(only.delivery, BAD, NOW, 0)
        shop.delete_endpoint("shop", "e")
        assert shop.record_attempt(only.delivery, GOOD, NOW, 0) is None
        assert (shop.endpoints("shop"), shop.deliveries(DeliverySearch("shop", "e"))) == ([], [])
        with pytest.raises(NotFound, match="has no webhook endpoint 'e'"):
            shop.delete_endpoint("shop", "e")

    def test_old_deliveries_are_forgotten_and_pending_ones_never(self, shop: Ledger) -> None:
        shop.raise_alerts(raising(message("old"), message("pending")))
        settle(shop, GOOD)
        assert shop.forget_deliveries(NOW - SECOND, 10) == 0
        assert shop.forget_deliveries(NOW, 10) == 1
        assert [each.message for each in shop.deliveries(DeliverySearch("shop", "e"))] == ["msg_pending"]
        assert shop.raise_alerts(raising(message("pending"))) == 0
        assert shop.forget_deliveries(NOW + 100 * DAY, 10) == 0

    def test_changes_of_an_endpoint_at_the_same_time_are_made_one_after_the_other(self, shop: Ledger) -> None:
        together = threading.Barrier(4)

        def rotate(number: int) -> None:
            together.wait()
            shop.change_endpoint("shop", lambda all_: all_[0].rotated(f"s{number}", NOW, DAY))

        threads = [threading.Thread(target=rotate, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {each.secret for each in shop.endpoints("shop")[0].secrets} == {"s", "s0", "s1", "s2", "s3"}


def test_organizations_of_an_earlier_version_are_due_after_the_migration(ledger_url: str) -> None:
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "meterhouse.storage.ledger:migrations")
        command.upgrade(config, "0006")
        for number in range(3):
            organizations = table("organizations", *map(column, ("id", "name", "namespace", "created_at")))
            row = {"id": f"o-{number}", "name": "Acme", "namespace": "shop", "created_at": 0}
            connection.execute(insert(organizations).values(row))
    engine.dispose()
    with closing(SqlLedger.open(ledger_url)) as ledger:
        found = {each.organization: each for each in ledger.due_organizations(NOW, None, 10)}
        assert {name: (each.told_until, each.version) for name, each in found.items()} == {
            f"o-{number}": (None, 0) for number in range(3)
        }
        for name in found:
            assert len(ledger.due_organizations(NOW, [virtual_shard("shop", name)], 10)) >= 1


def test_a_copied_ledger_goes_on_with_what_waits_and_numbers_go_on(ledger: Ledger, tmp_path: Path) -> None:
    ledger.add_organization(ACME)
    ledger.change_endpoint("shop", lambda _: ENDPOINT)
    ledger.put_alert_rule(RULE)
    ledger.raise_alerts(Raising(raised=[alert()], messages=[message("1"), message("2")]))
    settle(ledger, BAD)
    ledger.set_evaluated(0, 7)
    assert isinstance(ledger, SqlLedger)
    with closing(SqlLedger.open(f"sqlite:///{tmp_path / 'copy.sqlite'}")) as copy:
        copy.replace(ledger.rows(), lambda _: None)
        assert due(copy, NOW + DAY) == due(ledger, NOW + DAY) == ["msg_1"]
        assert (copy.endpoints("shop"), copy.alert_rules("shop")) == ([ENDPOINT_FAILING], [RULE])
        assert copy.alerts_in("acme", MARCH) == [alert()]
        assert copy.evaluated(0) is None
        again = copy.add_delivery(message("3"), "e", 0)
        assert again.id > max(each.id for each in ledger.deliveries(DeliverySearch("shop", "e")))
        ledger.replace(copy.rows(), lambda _: None)  # and back
    more = ledger.add_delivery(message("4"), "e", 0)
    assert more.id > again.id
