"""Searching the events of a namespace: the real engine against a slow reading of every event."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.contracts.openmeter.event_filters import is_like
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.event_search import (
    AllOf,
    AnyOf,
    Attribute,
    Comparison,
    EventSearch,
    EventTest,
    Moment,
    MomentTest,
    Not,
    OneOf,
    TextTest,
)
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.stores import open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count()
PIECES = ["a", "B", "%", "_", "\\", "é", "-"]
texts = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("".join)
patterns = st.lists(st.sampled_from(["a", "b", "%", "_", "\\%", "\\_", "\\\\", "é", "-"]), max_size=5).map("".join)
instants = st.integers(-2, 12).map(lambda minutes: T0 + timedelta(minutes=minutes))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEventStore]:
    opened = open_store(tmp_path_factory.mktemp("search"))
    yield opened
    opened.close()


def event(namespace: str, organization: str, event_id: str, kind: str, minute: int) -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": "s", "type": kind, "subject": organization, "data": {}}
    at = T0 + timedelta(minutes=minute)
    return parse_event(json.dumps({**raw, "time": at.isoformat()}).encode(), namespace, {}, T0)


compared = st.sampled_from([each for each in Comparison if "like" not in each.value])
text_tests = st.builds(TextTest, st.sampled_from(Attribute), compared, texts) | st.builds(
    TextTest, st.sampled_from(Attribute), st.sampled_from([Comparison.LIKE, Comparison.LIKE_IN_ANY_CASE]), patterns
)
leaves = (
    text_tests
    | st.builds(OneOf, st.sampled_from(Attribute), st.lists(texts, max_size=3).map(tuple))
    | st.builds(
        MomentTest,
        st.just(Moment.TIME),
        st.sampled_from([Comparison.LESS, Comparison.LESS_OR_EQUAL, Comparison.GREATER, Comparison.GREATER_OR_EQUAL]),
        instants,
    )
)
tests = st.recursive(
    leaves,
    lambda inner: (
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple))
        | st.builds(Not, inner)
    ),
    max_leaves=6,
)


def passes(test: EventTest, one: Event) -> bool:
    attributes = {"id": one.id, "source": one.source, "type": one.type, "organization": one.organization}
    if isinstance(test, AllOf):
        return all(passes(each, one) for each in test.tests)
    if isinstance(test, AnyOf):
        return any(passes(each, one) for each in test.tests)
    if isinstance(test, Not):
        return not passes(test.test, one)
    if isinstance(test, OneOf):
        return attributes[test.attribute] in test.texts
    if isinstance(test, MomentTest):
        return compares(one.time, test.comparison, test.instant)
    text = attributes[test.attribute]
    if test.comparison is Comparison.LIKE:
        return like(text, test.text)
    if test.comparison is Comparison.LIKE_IN_ANY_CASE:
        return like(text.lower(), test.text.lower())
    return compares(text.encode(), test.comparison, test.text.encode())


def compares(one: object, comparison: Comparison, other: object) -> bool:
    signs = {"=": "==", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
    return bool(eval(f"one {signs[comparison.value]} other", {"one": one, "other": other}))


def like(text: str, pattern: str) -> bool:
    parts = re.findall(r"\\[%_\\]|.", pattern, re.DOTALL)
    kinds = {"%": ".*", "_": "."}
    return re.fullmatch("".join(kinds.get(each) or re.escape(each[-1]) for each in parts), text, re.DOTALL) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(texts, texts, st.sampled_from(["call", "a%b"]), st.integers(0, 9)), max_size=12),
    tests,
    st.integers(1, 8),
    st.booleans(),
)
def test_it_finds_what_passes_in_order_and_page_by_page(
    store: ClickHouseEventStore,
    stored: list[tuple[str, str, str, int]],
    test: EventTest,
    limit: int,
    oldest_first: bool,
) -> None:
    namespace = f"ns{next(_numbers)}"
    events = {each.identity: each for each in (event(namespace, *fields) for fields in stored)}
    store.append([*events.values()], T0)
    expected = sorted(
        (each for each in events.values() if passes(test, each)),
        key=lambda each: (each.time, each.organization.encode(), each.source.encode(), each.id.encode()),
        reverse=not oldest_first,
    )
    search = EventSearch(namespace, test, limit, oldest_first=oldest_first)
    assert [each.event.identity for each in store.search(search)] == [each.identity for each in expected[:limit]]
    assert store.found(search) == len(expected)
    if oldest_first:
        return
    found, below = list[Event](), None
    for _ in range(20):
        page = store.search(EventSearch(namespace, test, limit, below))
        found += [each.event for each in page]
        if len(page) < limit:
            break
        last = page[-1].event
        below = last.time, last.organization, last.source, last.id
    assert [each.identity for each in found] == [each.identity for each in expected]


@given(texts, patterns)
def test_a_pattern_means_the_same_everywhere(text: str, pattern: str) -> None:
    assert is_like(text, pattern) == like(text, pattern)


def test_a_pattern_of_many_parts_is_told_at_once() -> None:
    assert not is_like("a" * 500, "%a" * 100 + "b")
