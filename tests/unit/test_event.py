import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterhouse.domain.event import MAX_DATA_BYTES, MAX_TEXT, Event, Rejected
from meterhouse.domain.event_parser import EventParser, parse_event
from meterhouse.domain.json_reading import decode_data, quantity, read_text, value_at
from meterhouse.domain.meter import Aggregation, Meter

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
CODES = {"invalid_event", "invalid_time", "invalid_value", "too_large"}
METERS = (
    Meter("calls", "call", Aggregation.COUNT),
    Meter("units", "sum", Aggregation.SUM, values=("input", "output")),
    Meter("extras", "optional", Aggregation.SUM, values=("extra",), optional=True),
    Meter("level", "latest", Aggregation.LATEST, values=("level",)),
    Meter("users", "unique", Aggregation.UNIQUE_COUNT, values=("user.id",)),
    Meter("jobs", "state", Aggregation.STATE_COUNT, entity="job", state="state", states=("open", "done")),
    Meter("phases", "phase", Aggregation.STATE_COUNT, entity="job.id", state="phase"),
)
ATTRIBUTES = ("id", "source", "type", "subject", "specversion", "time", "data", "data_base64")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats()  # NaN and the infinities too, as lenient clients write them
    | st.text()
    | st.sampled_from(
        ["1.0", "2026-01-31T09:30:00Z", "call", "sum", "state", "open", "1e5", "-", "NaN", "\0", "\ud800"]
    ),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=6), children, max_size=4),
    max_leaves=12,
)


def cloud_event(**changes: object) -> dict[str, object]:
    """A sound event with other attributes; those that are None are left out."""
    event = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/app",
        "type": "call",
        "subject": "acme",
        "time": "2026-01-02T03:04:05Z",
        "data": {},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


def parse(raw: bytes) -> Event:
    return parse_event(raw, "demo", {meter.event_type: (meter,) for meter in METERS}, NOW)


def event_of(**changes: object) -> Event:
    return parse(json.dumps(cloud_event(**changes)).encode())


def event_with(data: str | bytes, event_type: str = "call") -> Event:
    """The data exactly as written."""
    written = data.encode() if isinstance(data, str) else data
    envelope = json.dumps(cloud_event(type=event_type, data=None)).encode()
    return parse(envelope[:-1] + b', "data": ' + written + b"}")


def rejection(**changes: object) -> Rejected:
    with pytest.raises(Rejected) as rejected:
        event_of(**changes)
    return rejected.value


def taken_or_rejected(raw: bytes) -> Event | Rejected:
    try:
        return parse(raw)
    except Rejected as rejected:
        return rejected


def nested(levels: int) -> str:
    return '{"a":' + "[" * levels + "]" * levels + "}"


def deeper(frames: int, action: Callable[[], bool]) -> bool:
    """What the action gives when it is called from further down the stack."""
    return deeper(frames - 1, action) if frames else action()


def test_reads_a_cloud_event() -> None:
    event = event_of(data={"input": 3, "note": "x"}, extension="ignored", datacontenttype="application/json")
    assert event == Event(
        namespace="demo",
        source="/app",
        id="e1",
        type="call",
        organization="acme",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        data=b'{"input": 3, "note": "x"}',
        numbers={"input": Decimal(3)},
    )
    assert event.identity == ("demo", "acme", "/app", "e1")


@pytest.mark.parametrize("data", [None, {}])
def test_data_may_be_absent(data: object) -> None:
    assert event_of(data=data).data == b"{}"


def test_null_says_the_same_as_absence() -> None:
    raw = json.dumps({**cloud_event(), "data": None, "time": None, "data_base64": None}).encode()
    assert (parse(raw).data, parse(raw).time) == (b"{}", NOW)


def test_an_event_without_time_gets_the_servers() -> None:
    assert event_of(time=None).time == NOW


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize("value", [None, "", 1, 1.5, True, [], {}, ["x"], "x" * (MAX_TEXT + 1), "nul\0"])
def test_attributes_that_must_be_texts(name: str, value: object) -> None:
    rejected = rejection(**{name: value})
    assert rejected.code == "invalid_event"
    assert name in str(rejected)
    if name != "id":
        assert rejected.event_id == "e1"


def test_the_longest_texts_are_taken() -> None:
    for name in ("id", "source", "type", "subject"):
        event_of(**{name: "é" * MAX_TEXT})


def test_a_rejection_shows_no_more_of_an_id_than_an_id_may_have() -> None:
    assert rejection(id="x" * 100_000).event_id == "x" * MAX_TEXT
    assert rejection(id=["not a text"]).event_id is None


@pytest.mark.parametrize("version", [None, "", "0.3", "1", "1.0 ", 1.0, 1, True, [], {}])
def test_only_cloudevents_1_0(version: object) -> None:
    rejected = rejection(specversion=version)
    assert (rejected.code, rejected.event_id) == ("invalid_event", "e1")


@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-01-31", "2026-01-31T09:30:00", "2026-02-30T00:00:00Z", 1767225600, [], {}]
)
def test_times_that_are_no_instants(time: object) -> None:
    rejected = rejection(time=time)
    assert (rejected.code, rejected.event_id) == ("invalid_time", "e1")


@pytest.mark.parametrize("data", ["text", 1, 1.5, True, [], [{}]])
def test_data_must_be_an_object(data: object) -> None:
    rejected = rejection(data=data)
    assert (rejected.code, rejected.event_id) == ("invalid_event", "e1")


def test_binary_data_is_refused() -> None:
    rejected = rejection(data=None, data_base64="e30=")
    assert (rejected.code, rejected.event_id) == ("invalid_event", "e1")


def test_data_has_a_size_limit() -> None:
    empty = len('{"a": ""}')
    assert event_of(data={"a": "x" * (MAX_DATA_BYTES - empty)}).id == "e1"
    rejected = rejection(data={"a": "x" * (MAX_DATA_BYTES - empty + 1)})
    assert (rejected.code, rejected.event_id) == ("too_large", "e1")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b'"text"',
        b"{",
        b"{}",
        b"{} {}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"id": "e1"',
        b"{'id': 'e1'}",
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b'{"id": "\\u12"}',
    ],
)
def test_what_is_no_cloud_event(raw: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(raw)
    assert rejected.value.code == "invalid_event"


@given(st.binary())
@example(json.dumps(cloud_event()).encode()[:-1])
def test_arbitrary_bytes_are_rejected(raw: bytes) -> None:
    with pytest.raises(Rejected) as rejected:
        parse(raw)
    assert rejected.value.code in CODES


@given(st.dictionaries(st.sampled_from(ATTRIBUTES), json_values, max_size=3), json_values, st.sampled_from(METERS))
def test_arbitrary_attributes_are_taken_or_rejected(
    changes: dict[str, object], extension: object, meter: Meter
) -> None:
    raw = json.dumps({**cloud_event(type=meter.event_type), "extension": extension, **changes}).encode()
    check_taken_or_rejected(raw)


@given(
    st.dictionaries(
        st.sampled_from(["input", "output", "extra", "level", "user", "job", "state", "phase", "x"]), json_values
    ),
    st.sampled_from(METERS),
)
def test_arbitrary_data_is_taken_or_rejected(data: dict[str, object], meter: Meter) -> None:
    check_taken_or_rejected(json.dumps(cloud_event(type=meter.event_type, data=data)).encode())


@given(st.data())
def test_damaged_events_are_taken_or_rejected(choice: st.DataObject) -> None:
    raw = json.dumps(cloud_event(data={"input": 1.5, "user": {"id": "ü"}})).encode()
    at = choice.draw(st.integers(0, len(raw)))
    cut = choice.draw(st.integers(0, 8))
    check_taken_or_rejected(raw[:at] + choice.draw(st.binary(max_size=4)) + raw[at + cut :])


def check_taken_or_rejected(raw: bytes) -> None:
    """No other exception passes, and what was taken can be read."""
    event = taken_or_rejected(raw)
    if isinstance(event, Rejected):
        assert event.code in CODES
        assert str(event)
        return
    members = decode_data(event.data)
    assert isinstance(members, dict)
    assert all(quantity(value_at(members, path)) == number for path, number in event.numbers.items())
    assert all(Decimal(number).is_finite() for number in event.numbers.values())
    assert all(isinstance(read_text(members, name), str) for name in members if "." not in name)
    assert event.same_content(parse(raw))


@given(json_values, st.sampled_from(["source", "type", "subject", "specversion", "time", "data_base64"]))
def test_a_rejection_names_the_event(value: object, attribute: str) -> None:
    raw = json.dumps({**cloud_event(), attribute: value}, ensure_ascii=False).encode(errors="replace")
    if b"NaN" in raw or b"Infinity" in raw:
        return  # no JSON at all: there is no id to be read
    event = taken_or_rejected(raw)
    assert (event.event_id if isinstance(event, Rejected) else event.id) == "e1"


@pytest.mark.parametrize("attribute", ["source", "time", "data"])
@pytest.mark.parametrize("number", ["1e400", "1e99999999999999999999"])
def test_an_attribute_that_is_an_enormous_number_is_rejected_by_name(attribute: str, number: str) -> None:
    envelope = json.dumps(cloud_event(**{attribute: None}))
    with pytest.raises(Rejected) as rejected:
        parse(f'{envelope[:-1]}, "{attribute}": {number}}}'.encode())
    assert rejected.value.event_id == "e1"


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_deep_nesting_is_rejected(levels: int) -> None:
    deep = "[" * levels + "]" * levels
    open_end = "[" * levels
    for value in (deep, open_end, '{"a":' * levels + "1" + "}" * levels):
        for attribute in ("id", "type", "time", "data", "extension"):
            envelope = json.dumps(cloud_event(**{attribute: None}))
            with pytest.raises(Rejected):
                parse(f'{envelope[:-1]}, "{attribute}": {value}}}'.encode())
    with pytest.raises(Rejected):
        event_with(nested(levels))


def test_shallow_nesting_is_taken() -> None:
    assert event_with(nested(20)).data == nested(20).encode()


@pytest.mark.parametrize("levels", [50, 100, 300, 600, 900, 950])
def test_an_event_that_was_taken_can_be_compared_from_any_depth_of_the_stack(levels: int) -> None:
    try:
        first, second = event_with(nested(levels)), event_with(nested(levels).replace(":", ": "))
    except Rejected:
        return
    assert deeper(300, lambda: first.same_content(second))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1.", ".5", "01", "+1", "1e", "0x1", "--1"])
def test_numbers_that_are_no_json_are_rejected(number: str) -> None:
    for event_type in ("sum", "optional", "call"):
        with pytest.raises(Rejected) as rejected:
            event_with(f'{{"input": 1, "output": {number}, "extra": {number}}}', event_type)
        assert rejected.value.code == "invalid_event"


@pytest.mark.parametrize(
    "value",
    [
        '"NaN"',
        '"Infinity"',
        '"-Infinity"',
        '"-inf"',
        '"1,5"',
        '"1.5 "',
        '" 1"',
        '""',
        '"one"',
        "true",
        "[]",
        "[1]",
        "{}",
        '"-"',
        '"1e"',
        "1e38",
        "1e-29",
        "1e999",
        "1" * 39,
        "9" * 4_000,
        '"' + "1" * 39 + '"',
        "null",
    ],
)
@pytest.mark.parametrize(("event_type", "name"), [("sum", "output"), ("optional", "extra"), ("latest", "level")])
def test_values_that_are_no_quantities_are_rejected_with_the_reason(value: str, event_type: str, name: str) -> None:
    if (value, event_type) == ("null", "optional"):
        return
    with pytest.raises(Rejected) as rejected:
        event_with(f'{{"input": 1, "{name}": {value}}}', event_type)
    assert (rejected.value.code, rejected.value.event_id) == ("invalid_value", "e1")
    assert f"data.{name}" in str(rejected.value)
    assert len(str(rejected.value)) < 200


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("12345678901234567890.123456789", "12345678901234567890.123456789"),
        ('"12345678901234567890.123456789"', "12345678901234567890.123456789"),
        ("0.1", "0.1"),
        ("-5", "-5"),
        ("1E3", "1000"),
        ("9" * 38, "9" * 38),
        ('"\\u0031"', "1"),
        (" 7 ", "7"),
        ("-0.0", "0"),
    ],
)
def test_quantities_are_taken_digit_by_digit(written: str, number: str) -> None:
    event = event_with(f'{{"input": {written}, "output": 0}}', "sum")
    assert event.numbers == {"input": Decimal(number), "output": Decimal(0)}


def test_a_value_is_required_unless_it_is_optional() -> None:
    for data in ({"input": 1}, {"output": 1}, {}, {"input": 1, "output": None}):
        assert rejection(type="sum", data=data).code == "invalid_value"
    assert event_of(type="optional", data={}).numbers == {}
    assert event_of(type="optional", data={"extra": None}).numbers == {}


def test_values_are_read_where_the_path_leads_only() -> None:
    assert rejection(type="sum", data={"input": 1, "a": {"output": 1}}).code == "invalid_value"


def test_numbers_hold_every_quantity_by_its_path_and_nothing_else() -> None:
    event = event_of(
        data={
            "a": 1,
            "b": "2.5",
            "c": "x",
            "d": True,
            "e": None,
            "f": [1],
            "g": {"h": 1, "i": {"j": "0.5"}, "k": [2], "l": "x"},
            "m.n": "shadows",
            "m": {"n": 1, "o": 2, "p.q": 3, "p": {"q": 4, "r": 5}},
            "s.t": {"u": 1},
            "v.w": 6,
            "i": "-x",
            "j": 10**40,
            "": 3,
        }
    )
    inside = {"g.h": 1, "g.i.j": Decimal("0.5"), "m.o": 2, "m.p.q": 3, "m.p.r": 5, "v.w": 6}
    assert event.numbers == {"a": 1, "b": Decimal("2.5"), "": 3, **inside}


@pytest.mark.parametrize("number", ["1e99999999999999999999", "-1.5E-99999999999999999999", "1e400", "9" * 4_000])
def test_a_number_that_no_meter_reads_may_be_anything(number: str) -> None:
    for data in (f'{{"other": {number}}}', f'{{"other": {{"deep": [{number}]}}}}'):
        check_taken_or_rejected(json.dumps(cloud_event(data=None)).encode()[:-1] + f', "data": {data}}}'.encode())


@pytest.mark.parametrize(
    "data", [{}, {"user": {}}, {"user": "u1"}, {"user": {"id": ""}}, {"user": {"id": []}}, {"user.id": ""}]
)
def test_what_is_distinct_must_be_named(data: object) -> None:
    rejected = rejection(type="unique", data=data)
    assert (rejected.code, rejected.event_id) == ("invalid_value", "e1")
    assert "data.user.id" in str(rejected)


@pytest.mark.parametrize("user", ["u1", 7, 1.5, True, False, 0])
def test_what_is_distinct_may_be_any_scalar(user: object) -> None:
    assert event_of(type="unique", data={"user": {"id": user}}).type == "unique"


@pytest.mark.parametrize(
    ("event_type", "data", "field"),
    [
        ("state", {"state": "open"}, "data.job"),
        ("state", {"job": "j1"}, "data.state"),
        ("state", {"job": "", "state": "open"}, "data.job"),
        ("state", {"job": "j1", "state": "OPEN"}, "data.state"),
        ("state", {"job": "j1", "state": "x" * 10_000}, "data.state"),
        ("state", {"job": ["j1"], "state": "open"}, "data.job"),
        ("phase", {"job": "j1", "phase": "any"}, "data.job.id"),
    ],
)
def test_states_need_their_entity_and_a_known_state(event_type: str, data: object, field: str) -> None:
    rejected = rejection(type=event_type, data=data)
    assert (rejected.code, rejected.event_id) == ("invalid_value", "e1")
    assert field in str(rejected)
    assert len(str(rejected)) < 250


def test_without_listed_states_any_state_is_known() -> None:
    assert event_of(type="phase", data={"job": {"id": 1}, "phase": "anything"}).type == "phase"


def test_meters_of_other_types_ask_for_nothing() -> None:
    assert event_of(type="unheard.of", data={"input": "many"}).numbers == {}


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ('"data": {"input": "x", "output": 2, "input": 1}', "data.input"),
        ('"data": {"input": 1, "input": 1}', "data.input"),
        ('"data": {"input": 1, "in\\u0070ut": 1}', "data.input"),
        ('"data": {"input":1,"input" : 1}', "data.input"),
        ('"data": {"a": {"b": 1, "c": "http://x", "b": 2}}', "data.a.b"),
        ('"data": {"a": [0, {"b": 1}, [{"c": 1, "c": 1}]]}', "data.a[2][0].c"),
        ('"data": {"note": "\\"", "a": {"": 1, "": 2}}', "data.a."),
        ('"data": {}, "data": {"input": 1}', "data is"),
        ('"id": "e2"', "id"),
        ('"time": null', "time"),
        ('"extension": {"a": 1, "a": 2}', "extension.a"),
        ('"extension": "x", "extension": "x"', "extension"),
        ('"datacontenttype": "application/json", "datacontenttype": "application/json"', "datacontenttype"),
    ],
)
def test_a_name_that_is_there_twice_is_refused_with_its_path(member: str, path: str) -> None:
    envelope = cloud_event()
    if member.startswith('"data"'):
        del envelope["data"]
    raw = json.dumps(envelope).encode()
    with pytest.raises(Rejected) as rejected:
        parse(raw[:-1] + b", " + member.encode() + b"}")
    assert rejected.value.code == "invalid_event"
    assert path in str(rejected.value)


@pytest.mark.parametrize(
    "data",
    [
        '{"a": "a", "b": "a", "c": {"a": "a", "c": {"a": 1}}, "d": [{"a": 1}, {"a": 2}]}',
        '{"a": "\\"a\\": 1, \\"a\\": 2", "b": "{\\"b\\":1}"}',
        '{"time": "10:30:00", "url": "https://x.example:80/", "id": 1, "source": 2}',
    ],
)
def test_a_name_may_be_in_several_objects(data: str) -> None:
    assert event_with(data).data == data.encode()


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize("control", ["\0", "\n", "\x1b", "\x7f", "\x85"])
def test_control_characters_are_no_part_of_an_attribute(name: str, control: str) -> None:
    assert f"U+{ord(control):04X}" in str(rejection(**{name: f"a{control}b"}))


@pytest.mark.parametrize("text", ["株式会社　山田", "نرم‌افزار", "👩‍💻", "a b", "a/b", "..", "%2F", "a\u2028b"])
def test_attributes_may_be_of_any_script(text: str) -> None:
    assert event_of(id=text, source=text, subject=text).identity == ("demo", text, text, text)


@pytest.mark.parametrize("source", ["meterhouse.corrections", "meterhouse/erasures", "meterhouse.", "meterhouse/"])
def test_the_sources_of_our_own_events_are_nobody_elses(source: str) -> None:
    assert rejection(source=source).code == "invalid_event"
    assert event_of(source="meterhouses").source == "meterhouses"
    own = json.dumps(cloud_event(type="meterhouse.void", source="/app")).encode()
    parser = EventParser("demo", {}, own=True)
    with pytest.raises(Rejected, match="Meterhouse's sources"):
        parser.parse(own, NOW)


def test_a_name_with_dots_is_read_before_a_path() -> None:
    data = decode_data(
        b'{"a.b": "flat", "a": {"b": "deep", "c": "only", "d.e": "inner", "d": {"e": "deeper"}}, "f.g": {"h": 1}}'
    )
    read = {path: read_text(data, path) for path in ("a.b", "a.c", "a.d.e", "f.g.h", "f.g")}
    assert read == {"a.b": "flat", "a.c": "only", "a.d.e": "inner", "f.g.h": "", "f.g": ""}


@pytest.mark.parametrize(
    "again",
    [
        '{"b":[1,{"c":null}],"a":1.50}',
        ' { "a" : 1.5, "b" : [ 1, {"c": null} ] } ',
        '{"a":15e-1,"b":[1.0,{"c":null}]}',
    ],
)
def test_the_same_content_may_be_written_otherwise(again: str) -> None:
    first = event_with('{"a": 1.5, "b": [1, {"c": null}]}')
    assert first.same_content(event_with(again))
    assert event_with(again).same_content(first)


def test_another_time_is_the_same_content() -> None:
    assert event_of(time="2026-01-01T00:00:00Z").same_content(event_of(time=None))


@pytest.mark.parametrize(
    "changes",
    [{"type": "other"}, {"data": {"a": 2}}, {"data": {"a": 1, "b": None}}, {"data": None}],
)
def test_another_type_or_other_data_is_other_content(changes: dict[str, object]) -> None:
    first = event_of(data={"a": 1})
    assert not first.same_content(event_of(**{"data": {"a": 1}, **changes}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", '"1"'),
        ("true", "1"),
        ("false", "0"),
        ("1.0", "true"),
        ("[false]", "[0]"),
        ("null", "false"),
        ("[]", "{}"),
        ('""', "null"),
        ("12345678901234567890.123456789", "12345678901234567890.123456788"),
        ("[1, 2]", "[2, 1]"),
        ("0.1", "0.10000000000000001"),
    ],
)
def test_different_json_values_are_other_content(one: str, other: str) -> None:
    assert not event_with(f'{{"a": {one}}}').same_content(event_with(f'{{"a": {other}}}'))


PROPERTIES = """{
    "text": "näme", "number": 12345678901234567890.10, "whole": 7, "big": 1.5e3, "small": 1E-7, "zero": -0.0,
    "enormous": 1e400, "yes": true, "no": false, "user": {"id": "u1"}, "a": {"b": {"c": "deep"}},
    "null": null, "list": ["x"], "empty": ""
}"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("text", "näme"),
        ("number", "12345678901234567890.1"),
        ("whole", "7"),
        ("big", "1500"),
        ("small", "0.0000001"),
        ("zero", "0"),
        ("enormous", ""),
        ("yes", "true"),
        ("no", "false"),
        ("user.id", "u1"),
        ("a.b.c", "deep"),
        ("null", ""),
        ("list", ""),
        ("user", ""),
        ("missing", ""),
        ("user.missing", ""),
        ("text.more", ""),
        ("list.0", ""),
        ("empty", ""),
    ],
)
def test_reads_the_text_of_a_property(path: str, text: str) -> None:
    assert read_text(decode_data(PROPERTIES.encode()), path) == text


def test_numbers_in_data_are_exact() -> None:
    assert decode_data(b'{"a": 0.1, "b": 12345678901234567890123456789}') == {
        "a": Decimal("0.1"),
        "b": 12345678901234567890123456789,
    }
