"""The fast way of reading an event and the careful one: the same event, or the same refusal, whatever comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.domain.event import MAX_DATA_BYTES, MAX_TEXT, Event, Rejected
from meterhouse.domain.event_parser import EventParser
from meterhouse.domain.json_reading import MAX_DEPTH, as_received
from meterhouse.domain.meter import Aggregation, Meter
from support.depth import by_depth

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
METERS = (
    Meter("calls", "call", Aggregation.COUNT),
    Meter("units", "sum", Aggregation.SUM, values=("input", "output")),
    Meter("extras", "optional", Aggregation.SUM, values=("input",), optional=True),
    Meter("users", "unique", Aggregation.UNIQUE_COUNT, values=("input",)),
    Meter("nested", "nested", Aggregation.UNIQUE_COUNT, values=("a.b",)),
    Meter("maybe", "maybe", Aggregation.UNIQUE_COUNT, values=("input",), optional=True),
    Meter("jobs", "state", Aggregation.STATE_COUNT, entity="input", state="output", states=("open", "1")),
    Meter("phases", "phase", Aggregation.STATE_COUNT, entity="input", state="output"),
)
BOTH = [Meter(each.slug, "both", each.aggregation, values=("input",), optional=each.optional) for each in METERS[1:4]]
PARSER = EventParser("demo", {**{meter.event_type: (meter,) for meter in METERS}, "both": BOTH})

NUMBERS = [
    *("0", "-0", "1", "-1", "1.0", "1.50", "100", "0.1", "-0.0", "1e3", "1E-3", "1e999", "1e99999999999999999999"),
    *("9" * 18, "9" * 19, "9" * 38, "-" + "9" * 38, "9" * 39, "1" + "0" * 38, "9" * 400, "9" * 5_000),
    *("0." + "3" * 28, "0." + "3" * 29, "0." + "0" * 30, "12345678901234567890.123456789", "1." + "0" * 200),
]
NO_NUMBERS = ["", "-", "+1", "01", ".5", "1.", "0x1", "NaN", "Infinity", "1_000", "٣", "1 ", " 1", "7f3a-uuid", "--1"]
VALUES = [
    *NUMBERS,
    *(json.dumps(each) for each in [*NUMBERS, *NO_NUMBERS]),
    *("true", "false", "null", "[]", "{}", '{"b": "x"}', '"open"', '"x"', '"\\u0000"', '"\\ud800"', '"\\\\u0000"'),
    *("NaN", "tru", '"\x01"', '"\udcff"', "[" * 70 + "]" * 70, '{"a":' * 64 + "1" + "}" * 64, '"' + "[" * 200 + '"'),
]
TIMES = [
    *("2026-01-02T03:04:05Z", "2026-01-02t03:04:05z", "2026-01-02 03:04:05+00:00", "2026-01-02T03:04:05.1Z"),
    *("2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.1234569Z", "2026-01-02T03:04:05.999999999999999999Z"),
    *("2026-01-02T03:04:05.1234567890123456789Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05,5Z"),
    *(
        "2026-01-02T03:04:05+05:45",
        "2026-01-02T03:04:05-23:59",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+0100",
    ),
    *(
        "2026-01-02T24:00:00Z",
        "2026-01-02T23:59:60Z",
        "2026-02-30T00:00:00Z",
        "2026-W01-1T00:00:00Z",
        "20260102T030405Z",
    ),
    *("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "1899-12-31T23:59:59Z", "1900-01-01T00:00:00Z"),
    *(
        "2262-01-01T00:00:00Z",
        "2026-01-02T03:04:05",
        "2026-01-02",
        "",
        "٢026-01-02T03:04:05Z",
        "2026-01-02T03:04:05Z\n",
    ),
]
TEXTS = [
    *(
        "e1",
        "",
        "x" * MAX_TEXT,
        "x" * (MAX_TEXT + 1),
        "é" * MAX_TEXT,
        "😀" * (MAX_TEXT + 1),
        "nul\0",
        "\\u0000",
        "\ud800",
    ),
    *("1.0", "0.3", 1, 1.5, None, True, [], {}),
]
TYPES = [*(meter.event_type for meter in METERS), "both", "unheard.of"]

data_texts = st.lists(
    st.tuples(st.sampled_from(["input", "output", "a.b", "a", "", "x\\u0000"]), st.sampled_from(VALUES)), max_size=4
).map(lambda members: "{" + ", ".join(f'"{name}": {value}' for name, value in members) + "}")


def members(name: str, values: st.SearchStrategy[str], sound: str) -> st.SearchStrategy[list[str]]:
    """The member as it should be, mostly; or missing, odd, or there twice."""
    usual = st.just([f'"{name}": {sound}'])
    return usual | usual | usual | st.lists(values.map(lambda value: f'"{name}": {value}'), max_size=2)


texts = st.sampled_from(TEXTS).map(json.dumps)
raw_events = st.tuples(
    *(members(name, texts, '"e1"') for name in ("id", "source", "subject")),
    st.sampled_from(TYPES).map(lambda name: [f'"type": "{name}"']) | members("type", texts, '"call"'),
    members("specversion", texts, '"1.0"'),
    members("time", st.sampled_from(TIMES).map(json.dumps) | st.sampled_from(VALUES), '"2026-01-02T03:04:05Z"'),
    members("data", data_texts | st.sampled_from(VALUES), "{}") | data_texts.map(lambda data: [f'"data": {data}']),
    st.just([])
    | st.sampled_from(['"data_base64": null', '"data_base64": ""', '"extension": 1e999']).map(lambda e: [e]),
).map(lambda parts: "{" + ", ".join(chain.from_iterable(parts)) + "}")


def outcome(parse: object, raw: bytes) -> object:
    try:
        event: Event = parse(raw, NOW)  # type: ignore[operator]
    except Rejected as rejected:
        return rejected.code, str(rejected), rejected.event_id
    numbers = {name: str(Decimal(number)) for name, number in event.numbers.items()}
    return event, event.time.tzinfo, numbers


@settings(max_examples=by_depth(400, 2_000, 20_000))
@given(raw_events, st.sampled_from(["", " ", "\r", "}", "\0", ","]), st.integers(0, 4_000))
def test_both_ways_agree(text: str, after: str, cut: int) -> None:
    raw = (text + after).encode("utf-8", "surrogatepass")
    for each in (raw, raw[:cut]):
        assert outcome(PARSER.parse, each) == outcome(PARSER.parse_carefully, each)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("event_type", TYPES)
def test_both_ways_agree_on_every_value(event_type: str, value: str) -> None:
    for data in (value, f'{{"input": {value}}}', f'{{"input": 1, "output": {value}}}', f'{{"a.b": {value}}}'):
        raw = f'{{"specversion":"1.0","id":"1","source":"s","type":"{event_type}","subject":"o","data":{data}}}'
        encoded = raw.encode("utf-8", "surrogateescape" if "\udcff" in raw else "surrogatepass")
        assert outcome(PARSER.parse, encoded) == outcome(PARSER.parse_carefully, encoded)


@pytest.mark.parametrize("size", [-1, 0, 1])
@pytest.mark.parametrize("filling", ["x", "[", "é"])
def test_both_ways_agree_at_the_limits_of_data(size: int, filling: str) -> None:
    pad = filling * ((MAX_DATA_BYTES + size - len('{"a":""}')) // len(filling.encode()))
    for data in (f'{{"a":"{pad}"}}', '{"a":' + "[" * (MAX_DEPTH - 1 + size) + "]" * (MAX_DEPTH - 1 + size) + "}"):
        raw = f'{{"specversion":"1.0","id":"1","source":"s","type":"call","subject":"o","data":{data}}}'.encode()
        assert outcome(PARSER.parse, raw) == outcome(PARSER.parse_carefully, raw)


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("call", "{}"),
        ("sum", '{"input": 1, "output": "2.50", "note": "x"}'),
        ("optional", "{}"),
        ("maybe", '{"input": null}'),
        ("unique", '{"input": "x"}'),
        ("state", '{"input": "x", "output": "open"}'),
        ("unheard.of", '{"input": {"deep": [1, 1.5]}}'),
        ("nested", '{"a": {"b": "x", "url": "https://x.example/?a=1"}}'),
        ("call", '{"quoted": "\\"a\\""}'),
    ],
)
def test_what_is_regular_is_read_the_fast_way(event_type: str, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(EventParser, "parse_carefully")
    raw = f'{{"specversion":"1.0","id":"1","source":"s","type":"{event_type}","subject":"o","data":{data}}}'
    assert PARSER.parse(raw.encode(), NOW).data == data.encode()


@given(
    st.recursive(
        st.one_of(
            st.integers(-(10**40), 10**40),
            st.integers(-5, 5).map(lambda near: 2**63 + near),
            st.integers(-5, 5).map(lambda near: 2**64 + near),
            st.text(alphabet='0123456789\\"{}[],:eE+-. ', max_size=40),
            st.booleans(),
        ),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='0129"\\', max_size=25), inner),
        max_leaves=8,
    ).map(lambda value: {"value": value})
)
def test_long_integers_are_spelled_so_that_any_reader_takes_them(value: dict[str, Any]) -> None:
    raw = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "o", "data": value}
    data = PARSER.parse(json.dumps(raw).encode(), NOW).data
    assert json.loads(data, parse_float=Decimal, parse_int=Decimal) == json.loads(json.dumps(value), parse_int=Decimal)
    read = list[int]()
    json.loads(data, parse_int=lambda digits: read.append(int(digits)))
    assert all(-(2**63) <= number < 2**64 for number in read)
    assert as_received(data) == json.dumps(value).encode(), "and are shown as they came"


@pytest.mark.parametrize("number", ["1e308", "-1e9999", "1e99999999999999999999", "9" * 309, "1" + "0" * 308 + ".5"])
def test_a_number_beyond_a_double_is_refused(number: str) -> None:
    raw = f'{{"specversion":"1.0","id":"1","source":"s","type":"t","subject":"o","data":{{"a":[{number}]}}}}'
    with pytest.raises(Rejected, match="beyond 1e308"):
        PARSER.parse(raw.encode(), NOW)
    quoted = raw.replace(f"[{number}]", f'["{number}"]')
    assert PARSER.parse(quoted.encode(), NOW).data == f'{{"a":["{number}"]}}'.encode()
