"""Rules that make events of telemetry: what can be written, and what they make."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meterhouse.domain.catalog import CatalogError
from meterhouse.domain.catalog_parser import parse_catalog
from meterhouse.domain.telemetry import Observation, Signal, TelemetryRule, event_of

NOW = datetime(2026, 3, 15, tzinfo=UTC)
SPAN = {"slug": "llm", "event_type": "llm.usage", "data": {"tokens": "gen_ai.usage.input_tokens"}}
SUM = {"slug": "egress", "signal": "sum", "metric": "http.egress", "event_type": "egress", "value": "bytes"}


def parsed(*tables: dict[str, Any]) -> tuple[TelemetryRule, ...]:
    return parse_catalog({"namespace": "app", "meters": [], "telemetry": [*tables]}, "app.toml").telemetry


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"slug": "1 x"}, "slug"),
        ({"signal": "gauge"}, "signal"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": "meterhouse.x"}, "own"),
        ({"metric": "http.egress"}, "metric"),
        ({"value": "bytes"}, "value"),
        ({"colour": "red"}, "colour"),
        ({"data": ["a"]}, "data"),
        ({"data": {"a": 1}}, "data"),
        ({"where": {"a": []}}, "where"),
        ({"where": {"a": 1}}, "where"),
        ({"where": {str(n): "a" for n in range(51)}}, "where"),
    ],
)
def test_what_is_no_rule(change: dict[str, Any], told: str) -> None:
    with pytest.raises(CatalogError, match=told):
        parsed({**SPAN, **change})


def test_two_of_a_slug_and_too_many() -> None:
    with pytest.raises(CatalogError, match="same slug"):
        parsed(SPAN, SPAN)
    with pytest.raises(CatalogError, match="more than 100"):
        parsed(*({**SPAN, "slug": f"s{n}"} for n in range(101)))
    with pytest.raises(CatalogError, match="metric"):
        parsed({key: value for key, value in SUM.items() if key != "metric"})


def seen(signal: Signal = Signal.SPAN, /, **attributes: Any) -> Observation:
    value = "0.5" if signal is Signal.SUM else None
    return Observation(signal, "http.egress", attributes, "i1", "gateway", NOW, value)


def test_an_event_has_what_the_rule_names() -> None:
    [rule] = parsed({**SPAN, "where": {"ok": "true", "n": ["1", "2"]}})
    attributes = {"meterhouse.organization": "acme", "ok": True, "n": 2, "gen_ai.usage.input_tokens": 5, "x": "y"}
    made = event_of(rule, seen(**attributes), None)
    assert made == {
        "specversion": "1.0",
        "id": "i1-llm",
        "source": "gateway",
        "type": "llm.usage",
        "subject": "acme",
        "time": NOW,
        "data": {"tokens": 5},
    }
    for missing in ("meterhouse.organization", "ok", "n"):
        assert event_of(rule, seen(**{name: of for name, of in attributes.items() if name != missing}), None) is None
    assert event_of(rule, seen(Signal.SUM, **attributes), None) is None
    given = event_of(rule, seen(**attributes), "other")
    assert given is not None
    assert given["subject"] == "other"


def test_a_sum_has_its_value() -> None:
    [rule] = parsed(SUM)
    made = event_of(rule, seen(Signal.SUM, **{"meterhouse.organization": 7}), None)
    assert made is not None
    assert (made["subject"], made["data"]) == ("7", {"bytes": "0.5"})
