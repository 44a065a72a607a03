"""When an alert is raised and resolved, against an oracle that counts crossings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.alert_rule import Alert, AlertRule, Basis, RuleReading, check_rule, raised, resolved
from meterhouse.domain.errors import Invalid
from meterhouse.domain.period import ALL_TIME, Period
from meterhouse.domain.webhook import EventType

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
MARCH = Period(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))
RULE = AlertRule("r", "shop", "tokens", Basis.PERCENT, Decimal(80), None, True, NOW, NOW)


def reading(value: object, limit: object = None) -> RuleReading:
    return RuleReading(None if value is None else Decimal(str(value)), None if limit is None else Decimal(str(limit)))


@pytest.mark.parametrize(
    ("basis", "threshold", "value", "limit", "crossed"),
    [
        (Basis.USED, 10, 10, None, True),
        (Basis.USED, 10, "9.9999999999999999999999999999", None, False),
        (Basis.USED, 10, None, None, False),
        (Basis.PERCENT, 80, 80, 100, True),
        (Basis.PERCENT, 80, "79.9999999999999999999999999999", 100, False),
        (Basis.PERCENT, "33.3", "33.3", 100, True),
        (Basis.PERCENT, 80, 1000, None, False),
        (Basis.PERCENT, 80, 0, 0, False),
        (Basis.PERCENT, 80, "0.1", 0, True),
        (Basis.PERCENT, "9" * 38, "9" * 38, "9" * 38, False),
        (Basis.FORECAST, 100, 120, 120, True),
        (Basis.FORECAST, 100, 119, 120, False),
        (Basis.BALANCE, 5, 5, 20, True),
        (Basis.BALANCE, 5, "5.01", 20, False),
        (Basis.BALANCE, 0, 0, 20, True),
        (Basis.BALANCE, 0, None, None, False),
    ],
)
def test_a_threshold_is_crossed_when_it_is_reached(
    basis: Basis, threshold: object, value: object, limit: object, crossed: bool
) -> None:
    rule = replace(RULE, basis=basis, threshold=Decimal(str(threshold)))
    assert rule.crossed(reading(value, limit)) is crossed


@pytest.mark.parametrize(
    ("basis", "threshold", "told"),
    [
        (Basis.USED, 500, EventType.LIMIT_THRESHOLD_REACHED),
        (Basis.PERCENT, "99.9", EventType.LIMIT_THRESHOLD_REACHED),
        (Basis.PERCENT, 100, EventType.LIMIT_EXCEEDED),
        (Basis.BALANCE, 1, EventType.BALANCE_LOW),
        (Basis.BALANCE, 0, EventType.BALANCE_EXHAUSTED),
        (Basis.FORECAST, 100, EventType.FORECAST_EXCEEDS_LIMIT),
    ],
)
def test_what_it_is_told_as(basis: Basis, threshold: object, told: EventType) -> None:
    assert replace(RULE, basis=basis, threshold=Decimal(str(threshold))).event_type is told


@given(st.lists(st.integers(0, 120), max_size=30), st.booleans())
def test_it_is_raised_once_for_each_crossing(values: list[int], forecast: bool) -> None:
    rule = replace(RULE, basis=Basis.FORECAST if forecast else Basis.PERCENT)
    known: dict[str, Alert] = {}
    crossings, above = 0, False
    for minute, value in enumerate(values):
        at, now = NOW + timedelta(minutes=minute), reading(value, 100)
        before = [*known.values()]
        if (alert := raised(rule, "acme", MARCH, reading=now, before=before, now=at)) is not None:
            assert alert.id not in known
            known[alert.id] = alert
        if (alert := resolved(rule, now, [*known.values()])) is not None:
            known[alert.id] = replace(alert, resolved_at=at)
        crossings += value >= 80 and not above
        above = value >= 80 or (above and forecast)
        assert sum(alert.resolved_at is None for alert in known.values()) == above
    assert len(known) == crossings
    assert sorted(alert.crossing for alert in known.values()) == [*range(1, crossings + 1)]


def test_the_same_occasion_has_the_same_id_and_every_other_has_another() -> None:
    full = reading(90, 100)

    def alert_of(rule: AlertRule, organization: str = "acme", period: Period = MARCH, now: datetime = NOW) -> str:
        made = raised(rule, organization, period, reading=full, before=(), now=now)
        assert made is not None
        return made.id

    assert alert_of(RULE) == alert_of(RULE, now=NOW - timedelta(days=1))
    others = {
        alert_of(RULE),
        alert_of(RULE, "globex"),
        alert_of(RULE, period=ALL_TIME),
        alert_of(replace(RULE, id="other")),
        alert_of(replace(RULE, namespace="other")),
        alert_of(replace(RULE, revised_at=NOW + timedelta(microseconds=1))),
    }
    assert len(others) == 6


def test_what_an_earlier_revision_raised_does_not_count() -> None:
    full = reading(90, 100)
    first = raised(RULE, "acme", MARCH, reading=full, before=(), now=NOW)
    assert first is not None
    assert raised(RULE, "acme", MARCH, reading=full, before=[first], now=NOW) is None
    revised = replace(RULE, threshold=Decimal(90), revised_at=NOW + timedelta(days=1))
    again = raised(revised, "acme", MARCH, reading=full, before=[first], now=NOW)
    assert again is not None
    assert (again.crossing, again.id != first.id) == (1, True)
    assert resolved(revised, reading(1, 100), [first]) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"id": "a/b"}, "id: 'a/b' is not allowed"),
        ({"id": ""}, "id: '' is not allowed"),
        ({"threshold": Decimal(0)}, "threshold: must be more than 0"),
        ({"threshold": Decimal(-1), "basis": Basis.BALANCE}, "threshold: must be more than 0"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        check_rule(replace(RULE, **changed))  # type: ignore[arg-type]
    check_rule(replace(RULE, threshold=Decimal(0), basis=Basis.BALANCE))
