"""Retention: what is removed from old events changes no answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.export import ExportForm, Selection
from meterhouse.domain.json_reading import decode_data, places_of
from meterhouse.domain.meter import Aggregation, Measure, Meter, MeterQuery
from meterhouse.domain.quantity import parse_quantity
from meterhouse.domain.retention import Record, Redaction, RetainedFields, complete_from, retained_by_type
from meterhouse.storage.clickhouse.engine.engine import NO_PARAMETERS, EngineError, Parameters
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.engines import StoreEngine
from support.stores import open_on, open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "Mallory's ünsaid words"
ODD = 'it\'s "odd" \\ ü'
METERS = [
    Meter("count", "thing", Aggregation.COUNT, group_by=("who", "user.id", "place")),
    Meter("sum", "thing", Aggregation.SUM, values=("n", "a.b"), optional=True, group_by=("who",)),
    Meter("lowest", "thing", Aggregation.MIN, values=("n",)),
    Meter("latest", "thing", Aggregation.LATEST, values=("n",)),
    Meter("people", "thing", Aggregation.UNIQUE_COUNT, values=("user.id",), optional=True),
    Meter("odd", "other", Aggregation.UNIQUE_COUNT, values=(ODD,), optional=True, group_by=("m",)),
    Meter("jobs", "job", Aggregation.STATE_COUNT, entity="job.id", state="state", group_by=("who",)),
]
TEXTS = st.sampled_from(["", "a", "b", ODD, "back\\slash", "line\nbreak", "🪙", "true", "0.10"])
NUMBERS = st.sampled_from(
    ["0", "-5", "0.10", "1.50", "1e3", '"0.250"', '"007"', "9" * 18, "-" + "9" * 25, "1" + "0" * 30 + ".5", "1e-28"]
    + ["1." + "3" * 27, "2e200", "true", "null", "[1]", '{"x":1}']
)
ANY = NUMBERS | TEXTS.map(json.dumps)
MEMBERS = st.fixed_dictionaries(
    {"secret": st.just(json.dumps(SECRET)), "list": st.just('[{"deep":[1,2]}]')},
    optional={
        "n": NUMBERS,
        "m": ANY,
        "a.b": NUMBERS,
        "a": st.just('{"b":7}'),
        "who": ANY,
        "place": st.sampled_from(['{"x":1}', '"here"']),
        ODD: ANY,
        "state": st.sampled_from(['"on"', '"off"', '""']),
        "user": st.builds(lambda i, n: f'{{"name":{n},"id":{i}}}', ANY, st.just(json.dumps(SECRET))) | NUMBERS,
        "job": st.sampled_from(['{"id":"one"}', '{"id":2}', '{"name":"none"}']),
    },
)
EVENTS = st.builds(
    lambda number, members, hours, kind: event(f"e{number}", members, T0 + timedelta(hours=hours), kind),
    st.integers(0, 12),
    MEMBERS,
    st.integers(0, 40),
    st.sampled_from(["thing", "other", "job", "unmetered"]),
)


def event(event_id: str, members: dict[str, str], at: datetime, kind: str = "thing") -> Event:
    data = ", ".join(f"{json.dumps(name)} : {value}" for name, value in members.items())
    raw = {"specversion": "1.0", "id": event_id, "source": "s", "type": kind, "subject": "acme", "time": at.isoformat()}
    return parse_event((json.dumps(raw)[:-1] + f', "data": {{{data}}}}}').encode(), "ns", {}, NOW)


def opened(folder: Path) -> ClickHouseEventStore:
    return open_store(folder, {"ns": METERS})


def answers(store: ClickHouseEventStore, commits: int) -> list[list[Measure]]:
    """Every meter, as a whole and by each group: of all time; over windows that cut slots, as of the first commit."""
    windows = tuple(T0 + timedelta(hours=hours, minutes=7) for hours in (3, 9, 20, 30))
    questions: list[tuple[int, tuple[datetime | None, ...]]] = [(commits, (None, None)), (1, windows)]
    return [
        sorted(store.measure(MeterQuery("ns", "acme", (meter,), edges, commit, group)), key=str)
        for commit, edges in questions
        for meter in METERS
        for group in [(), *((path,) for path in meter.group_by)]
    ]


def exported(store: ClickHouseEventStore) -> bytes:
    return b"".join(store.export(Selection(None, None), ExportForm.NDJSON))


def remains(found: Event, kept: RetainedFields) -> dict[str, Any]:
    """What a reduced event says: members that are texts, truths or quantities, of those that are kept."""

    decoded = decode_data(found.data)
    assert isinstance(decoded, dict)

    def there(place: tuple[str, ...]) -> bool:
        value: Any = decoded
        for name in place:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return True

    def chosen(values: dict[str, Any], paths: set[tuple[str, ...]], around: tuple[str, ...]) -> dict[str, Any]:
        result = {}
        for name, value in values.items():
            below = {path[1:] for path in paths if path[0] == name and path[1:]}
            place = (*around, name)
            others = [(*place[:n], ".".join(place[n:])) for n in range(len(around))]
            if isinstance(value, dict) and below:
                result[name] = chosen(value, below, place)
            elif (name,) in paths and not any(map(there, others)):
                if isinstance(value, str | bool):
                    result[name] = value
                elif isinstance(value, dict | list) or value is None:
                    continue
                else:
                    try:
                        result[name] = parse_quantity(str(value))
                    except Invalid:
                        continue
        return result

    paths = {place for path in (*kept.numbers, *kept.texts) for place in places_of(path)}
    return {"meterhouse.reduced": True, **chosen(decoded, paths, ())}


@pytest.mark.embedded
@settings(max_examples=by_depth(2, 7, 120), deadline=None)
@given(
    batches=st.lists(st.lists(EVENTS, min_size=1, max_size=12), min_size=1, max_size=3),
    cut_hours=st.integers(0, 41),
    fold=st.booleans(),
)
def test_no_answer_changes_and_nothing_else_remains(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Event]], cut_hours: int, fold: bool
) -> None:
    store = opened(tmp_path_factory.mktemp("one"))
    try:
        outcomes = [each for batch in batches for each in zip(batch, store.append(batch, NOW), strict=True)]
        if fold:
            store.materialize(store.latest_commit())
        commits = store.latest_commit()
        before = answers(store, commits)
        cut, kept = T0 + timedelta(hours=cut_hours), retained_by_type(METERS)
        reduction = Redaction("ns", cut, kept)
        first = {each.id: each for each, outcome in outcomes if outcome is Outcome.INGESTED}
        assert store.redactable(reduction) == sum(each.time < cut for each in first.values())
        store.redact(reduction)
        assert store.redactable(reduction) == 0
        assert answers(store, commits) == before
        store.rebuild()
        assert answers(store, commits) == before
        for found in store.find([each.identity for each in first.values()]):
            sent = first[found.event.id]
            if sent.time < cut:
                said = decode_data(found.event.data)
                assert said == remains(sent, kept.get(sent.type, RetainedFields())), sent.data
            else:
                assert found.event.data == sent.data
            assert store.append([sent], NOW) == [Outcome.DUPLICATE]
        lines = exported(store).splitlines()
    finally:
        store.close()
    store = opened(tmp_path_factory.mktemp("again"))
    try:
        own = b'"type":"meterhouse.'
        store.append([parse_event(line, "ns", {}, NOW) for line in lines if own not in line], NOW)
        assert answers(store, 1)[: len(before) // 2] == before[: len(before) // 2]
    finally:
        store.close()


@pytest.mark.embedded
@pytest.mark.parametrize("number", ["-" + "9" * 25, "1234567890123456789.123456789", "1e-28", "0.1", "9" * 18])
def test_numbers_keep_their_digits_and_hide_nothing(tmp_path: Path, number: str) -> None:
    store = opened(tmp_path)
    store.append([event("1", {"n": number, "who": '"ada"', "user": '{"id":true}'}, T0)], NOW)
    before = answers(store, 1)
    store.redact(Redaction("ns", NOW, retained_by_type(METERS)))
    assert answers(store, 1) == before
    [found] = store.find_named("ns", [("s", "1")])
    said = decode_data(found.event.data)
    assert isinstance(said, dict)
    assert (Decimal(str(said["n"])), said["who"], said["user"]) == (Decimal(number), "ada", {"id": True})
    store.close()


def test_contradictions_lose_what_was_delivered(tmp_path: Path) -> None:
    store = opened(tmp_path)
    first, other = (event("1", {"secret": json.dumps(text)}, T0) for text in ("one", "two"))
    assert [*store.append([first], NOW), *store.append([other], NOW)] == [Outcome.INGESTED, Outcome.CONFLICT]
    reduction = Redaction("ns", NOW + timedelta(days=1), retained_by_type(METERS))
    assert store.redactable(reduction) == 2
    store.redact(reduction)
    assert store.redactable(reduction) == 0
    [kept] = [each.event for each in store.corrections_of(first)]
    delivered = msgspec.json.decode(kept.data)
    assert delivered.pop("data") == {"meterhouse.reduced": True}
    assert (delivered["id"], delivered["source"], delivered["type"], delivered["subject"]) == (
        "1",
        "s",
        "thing",
        "acme",
    )
    assert b"two" not in exported(store)
    store.close()


def test_only_old_events_of_the_namespace_are_reduced(tmp_path: Path) -> None:
    store = opened(tmp_path)
    microsecond = timedelta(microseconds=1)
    events = [
        event("old", {"x": "1"}, T0 - microsecond),
        event("new", {"x": "1"}, T0),
        msgspec.structs.replace(event("other", {"x": "1"}, T0 - microsecond), namespace="other"),
    ]
    store.append(events, NOW)
    store.redact(Redaction("ns", T0, {}))
    found = {each.event.id: each.event.data for each in store.find([each.identity for each in events])}
    assert found == {"old": b'{"meterhouse.reduced":true}', "new": b'{"x" : 1}', "other": b'{"x" : 1}'}
    store.close()


def test_a_retry_of_a_reduced_event_is_compared_with_what_remains(tmp_path: Path) -> None:
    store = opened(tmp_path)
    sent = {"n": "1.50", "user": '{"id":1.25,"name":"x"}', "who": '"ada"', "secret": "1"}
    store.append([event("1", sent, T0)], NOW)
    store.redact(Redaction("ns", NOW, retained_by_type(METERS)))
    for members, outcome in [
        (sent, Outcome.DUPLICATE),
        ({**sent, "secret": "2", "n": "1.5"}, Outcome.DUPLICATE),
        ({**sent, "who": '"bob"'}, Outcome.CONFLICT),
        ({**sent, "n": "2"}, Outcome.CONFLICT),
        ({**sent, "user": '{"id":"y"}'}, Outcome.CONFLICT),
    ]:
        assert store.append([event("1", members, T0)], NOW) == [outcome], members
    store.close()


def test_a_reduction_that_fails_does_not_hold_up_others(tmp_path: Path) -> None:
    class Failing(StoreEngine):
        failing = False

        def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
            if self.failing and sql.startswith("ALTER TABLE events UPDATE"):
                sql = sql.replace("data = multiIf(", "data = throwIf(1) || multiIf(")
            super().execute(sql, parameters)

    store, engine = open_on(tmp_path, Failing, {"ns": METERS})
    store.append([event("1", {"n": "1"}, T0)], NOW)
    engine.failing = True
    reduction = Redaction("ns", NOW, retained_by_type(METERS))
    with pytest.raises(EngineError):
        store.redact(reduction)
    engine.failing = False
    assert engine.rows("SELECT count() FROM system.mutations WHERE NOT is_done", {}) == [[0]]
    store.redact(reduction)
    assert store.redactable(reduction) == 0
    store.close()


@pytest.mark.parametrize(
    ("added", "lacking"),
    [
        (Meter("m", "thing", Aggregation.COUNT), False),
        (Meter("m", "thing", Aggregation.MAX, values=("n",), group_by=("who",)), False),
        (Meter("m", "thing", Aggregation.MAX, values=("other",)), True),
        (Meter("m", "thing", Aggregation.COUNT, group_by=("other",)), True),
        (Meter("m", "thing", Aggregation.UNIQUE_COUNT, values=("user.name",)), True),
        (Meter("m", "job", Aggregation.STATE_COUNT, entity="job.id", state="other"), True),
        (Meter("m", "new", Aggregation.COUNT), False),
        (Meter("m", "new", Aggregation.SUM, values=("n",)), True),
    ],
)
def test_a_meter_that_is_added_later_knows_since_when_events_have_what_it_reads(added: Meter, lacking: bool) -> None:
    records = [Record(T0 + timedelta(days=day), retained_by_type(METERS)) for day in (0, 2, 1)]
    records.append(Record(NOW, retained_by_type([*METERS, added])))
    assert complete_from(added, records) == (T0 + timedelta(days=2) if lacking else None)
    assert all(complete_from(meter, records) is None for meter in METERS)
