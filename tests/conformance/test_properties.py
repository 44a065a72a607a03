"""Python and the engine read the same text of a property, wherever it is and however it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.json_reading import decode_data, read_text
from meterhouse.domain.meter import Aggregation, Measure, Meter, MeterQuery
from meterhouse.domain.retention import Redaction, RetainedFields
from meterhouse.storage.clickhouse.engine.statement import Statement
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.stores import open_store

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
PATHS = ("a", "a.b", "a.b.c", "d.e")
VALUES = [
    *("0", "-0", "7", "1.50", "1e3", "1E-7", "0.1", "-0.25", "100", "1.0"),
    *("89014103211118510720", "89014103211118510721", "18446744073709551615", "18446744073709551616"),
    *("12345678901234567890.123456789", "9" * 38, "9" * 39, "0." + "3" * 28, "0." + "3" * 29, "1e-29", "1e300"),
    *("true", "false", "null", '""', '"x"', '"1.50"', '"1e3"', '"89014103211118510720"', "[1]", "{}"),
]
PLACES = [
    '{"a": %s}',
    '{"a": {"b": %s}}',
    '{"a": {"b": {"c": %s}}}',
    '{"a.b": %s}',
    '{"a.b.c": %s}',
    '{"a": {"b.c": %s}}',
    '{"a.b": {"c": %s}}',
    '{"a.b": %s, "a": {"b": 1.25}}',
    '{"a": {"b": %s}, "a.b": "flat"}',
    '{"a": {"b": %s}, "a.b": null}',
    '{"a": {"b": {"c": 2.5}, "b.c": %s}}',
    '{"d": {"e": %s}, "a": [{"b": 1.5}]}',
]
DATA = [place % value for place in PLACES for value in VALUES]
SUM = Meter("sum", "thing", Aggregation.SUM, values=("a.b",), optional=True)


def event(number: int, data: str) -> Event:
    raw = {"specversion": "1.0", "id": str(number), "source": "s", "type": "thing", "subject": f"o{number}"}
    at = (NOW - timedelta(days=2)).isoformat()
    text = json.dumps({**raw, "time": at}).removesuffix("}") + f', "data": {data}}}'
    return parse_event(text.encode(), "ns", {}, NOW)


EVENTS = [event(number, data) for number, data in enumerate(DATA)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEventStore]:
    folder: Path = tmp_path_factory.mktemp("properties")
    store = open_store(folder)
    store.append(EVENTS, NOW)
    yield store
    store.close()


def texts_of_the_engine(store: ClickHouseEventStore) -> dict[str, tuple[str, ...]]:
    statement = Statement()
    columns = ", ".join(statement._text(path) for path in PATHS)
    rows = store._engine.rows(f"SELECT organization, {columns} FROM events", statement.parameters)
    return {organization: tuple(texts) for organization, *texts in rows}


def check(store: ClickHouseEventStore) -> None:
    read = texts_of_the_engine(store)
    for number, each in enumerate(EVENTS):
        data = decode_data(each.data)
        expected = tuple(read_text(data, path) for path in PATHS)
        assert read[f"o{number}"] == expected, DATA[number]


def test_every_text_is_read_the_same_in_both_and_stays_when_events_are_reduced(store: ClickHouseEventStore) -> None:
    check(store)
    summed = [store.measure(MeterQuery("ns", f"o{n}", (SUM,), (None, None), 1)) for n in range(len(DATA))]
    for number, each in enumerate(EVENTS):
        assert summed[number] == [Measure(0, Decimal(each.numbers.get("a.b", 0)))], DATA[number]
    store.redact(Redaction("ns", NOW, {"thing": RetainedFields(("a.b",), PATHS)}))
    check(store)
    again = [store.measure(MeterQuery("ns", f"o{n}", (SUM,), (None, None), 1)) for n in range(len(DATA))]
    assert again == summed
