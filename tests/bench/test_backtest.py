"""The backtest of forecasts, tiny, so that it cannot rot."""

from __future__ import annotations

from decimal import Decimal
from itertools import islice
from pathlib import Path

from bench.backtest import NOW, Series, demo_series, row_of, trace_series, trials

from meterhouse.demo import ORGANIZATIONS
from meterhouse.domain.forecast import Method
from meterhouse.domain.period import THIRTY_DAYS


def test_what_is_steady_is_forecast_without_an_error() -> None:
    found = [*trials(Series("steady", NOW, [Decimal(2)] * (90 * 24), NOW, THIRTY_DAYS))]
    assert {trial.method for trial in found} == set(Method)
    assert {trial.error for trial in found} == {0}
    assert {trial.inside for trial in found} == {True, None}
    assert row_of("all", found)[2:] == ["0.0%", "0.0%", str(sum(trial.inside is True for trial in found)), "100%"]


def test_what_doubles_is_forecast_too_low() -> None:
    found = [*trials(Series("growing", NOW, [Decimal(2 ** (n // 720)) for n in range(2160)], NOW, THIRTY_DAYS))]
    assert max(trial.error for trial in found) > 0.3
    assert any(trial.inside is False for trial in found)


def test_reads_traces_and_the_demo(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03.9799600,10\n"
        "2023-11-16 18:17:03.9999999,5\n2023-11-16 18:17:05.1,1\n"
    )
    requests, tokens = trace_series(tmp_path / "t.csv")
    assert (requests.name, requests.amounts) == ("t requests", [2, 0, 1])
    assert (tokens.name, tokens.amounts) == ("t ContextTokens", [15, 0, 1])
    [credits] = islice(demo_series(ORGANIZATIONS[2]), 2)
    assert credits.name == "paperworks credits"
    assert len(credits.amounts) > 360 * 24
