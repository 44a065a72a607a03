from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.meter import Aggregation, Meter
from meterhouse.domain.period import ALL_TIME, Period
from meterhouse.domain.summary import MeterSummary

CREDITS = Meter("credits", "credit.used", Aggregation.SUM, values=("amount",))

amounts = st.decimals(-(10**38) + 1, 10**38 - 1, places=0) | st.decimals(-(10**10) + 1, 10**10 - 1, places=28)


def summary(used: str | None, limit: str | None) -> MeterSummary:
    return MeterSummary(
        CREDITS, None if used is None else Decimal(used), None if limit is None else Decimal(limit), ALL_TIME
    )


@pytest.mark.parametrize(
    ("used", "limit", "remaining", "overage", "percent"),
    [
        ("30", "100", "70", "0", "30"),
        ("0", "100", "100", "0", "0"),
        ("100", "100", "0", "0", "100"),
        ("150", "100", "0", "50", "150"),
        ("-5", "100", "105", "0", "-5"),
        ("0.1", "0.4", "0.3", "0", "25"),
        ("5", "0", "0", "5", None),
        ("5", None, None, None, None),
        (None, "100", "100", "0", "0"),
        (None, None, None, None, None),
    ],
)
def test_what_is_left(
    used: str | None, limit: str | None, remaining: str | None, overage: str | None, percent: str | None
) -> None:
    line = summary(used, limit)
    found = (line.remaining, line.overage, line.percent)
    assert found == tuple(None if text is None else Decimal(text) for text in (remaining, overage, percent))


def test_a_percentage_that_does_not_end_has_every_digit_a_reader_may_want() -> None:
    assert str(summary("0.1", "0.3").percent).startswith("33." + "3" * 60)


@given(amounts, amounts.filter(lambda limit: limit >= 0))
def test_remaining_and_overage_are_exact(used: Decimal, limit: Decimal) -> None:
    line = MeterSummary(CREDITS, used, limit, ALL_TIME)
    assert line.remaining is not None
    assert line.overage is not None
    assert Fraction(line.remaining) == max(Fraction(), Fraction(limit) - Fraction(used))
    assert Fraction(line.overage) == max(Fraction(), Fraction(used) - Fraction(limit))


@given(amounts)
def test_percent_of_one_hundred_is_the_amount_itself(used: Decimal) -> None:
    assert MeterSummary(CREDITS, used, Decimal(100), ALL_TIME).percent == used


def test_resets_when_the_period_ends() -> None:
    end = datetime(2026, 2, 28, tzinfo=UTC)
    period = Period(datetime(2026, 1, 31, tzinfo=UTC), end)
    assert MeterSummary(CREDITS, Decimal(1), None, period).resets_at == end
    assert summary("1", None).resets_at is None
