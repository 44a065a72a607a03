"""Listing events: the real engine against the reference, and pages that neither repeat nor skip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.listing import CursorSeal
from meterhouse.domain.organization import Organization
from meterhouse.domain.period import ALL_TIME, Period
from meterhouse.ports.event_store import EventStore
from meterhouse.services.organization_usage import OrganizationUsage
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.reference import ReferenceStore
from support.stores import open_store

T0 = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count()
SEAL = CursorSeal(b"a secret of the server")


@pytest.fixture
def engine_store(tmp_path: Path) -> Iterator[ClickHouseEventStore]:
    store = open_store(tmp_path)
    yield store
    store.close()


def event(event_id: str, minute: int, data: dict[str, Any], org: str, kind: str = "thing") -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": org, "type": kind, "subject": org, "data": data}
    at = T0 + timedelta(minutes=minute)
    return parse_event(json.dumps({**raw, "time": at.isoformat()}).encode(), "ns", {}, T0)


def usage_of(store: EventStore, org: str, seal: CursorSeal = SEAL) -> OrganizationUsage:
    return OrganizationUsage(
        store=store,
        measuring=store.measure,
        ledger=None,  # type: ignore[arg-type]  # listing asks nothing of it
        catalogs=None,  # type: ignore[arg-type]
        seal=seal,
        complete_since=lambda _namespace, _meter: None,
        organization=Organization(org, org, "ns", T0),
        subscription=None,
        grants=(),
        now=T0,
        commit=store.latest_commit(),
    )


def all_pages(usage: OrganizationUsage, period: Period, filters: dict[str, tuple[str, ...]], limit: int) -> list[str]:
    """Every id, walking to the oldest page; walking back from there shows the same pages."""
    pages, page = [], usage.events("thing", period, filters, limit)
    assert page.newer is None
    while True:
        pages.append([event.id for event in page.events])
        if page.older is None:
            break
        page = usage.events("thing", period, filters, limit, page.older)
    back = [pages[-1]]
    while page.newer is not None:
        page = usage.events("thing", period, filters, limit, page.newer)
        back.append([event.id for event in page.events])
    assert back == pages[::-1]
    assert all(len(page) == limit for page in pages[:-1])
    return [event_id for page in pages for event_id in page]


def minutes(start: int, end: int) -> Period:
    return Period(T0 + timedelta(minutes=start), T0 + timedelta(minutes=end))


batches = st.lists(
    st.lists(
        st.tuples(
            st.integers(0, 6), st.sampled_from(["a", "b", "", 7]), st.sampled_from(["thing", "thing", "thing", "other"])
        ),
        max_size=6,
    ),
    max_size=5,
)


@settings(
    max_examples=by_depth(20, 40, 400), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=batches,
    limit=st.integers(1, 5),
    period=st.just(ALL_TIME) | st.builds(minutes, st.integers(0, 7), st.integers(0, 7)),
    wanted=st.sampled_from([(), ("a",), ("a", "b"), ("7",)]),
)
def test_pages_are_the_references_list_cut_into_pieces(
    engine_store: ClickHouseEventStore,
    *,
    batches: list[list[tuple[int, Any, str]]],
    limit: int,
    period: Period,
    wanted: tuple[str, ...],
) -> None:
    org, reference = f"org-{next(_numbers)}", ReferenceStore()
    for place, batch in enumerate(batches):
        events = [
            event(f"{place}-{index}", minute, {"tag": {"name": tag}} if tag != 7 else {"name": 7}, org, kind)
            for index, (minute, tag, kind) in enumerate(batch)
        ]
        engine_store.append(events, T0)
        reference.append(events, T0)
    filters = {} if not wanted else {"name" if wanted == ("7",) else "tag.name": wanted}
    expected = all_pages(usage_of(reference, org), period, filters, limit)
    assert all_pages(usage_of(engine_store, org), period, filters, limit) == expected


@pytest.mark.embedded
class TestCursors:
    @pytest.fixture
    def store(self) -> ReferenceStore:
        store = ReferenceStore()
        store.append([event(str(n), n, {"tag": "ab"[n % 2]}, "acme") for n in range(6)], T0)
        store.append([event(str(n), n, {"tag": "a"}, "globex") for n in range(6)], T0)
        return store

    def test_pages_show_one_state_of_the_store(self, store: ReferenceStore) -> None:
        first = usage_of(store, "acme").events("thing", ALL_TIME, {}, 2)
        store.append([event("late", 1, {}, "acme"), event("new", 9, {}, "acme")], T0)
        second = usage_of(store, "acme").events("thing", ALL_TIME, {}, 9, first.older)
        assert [each.id for each in first.events + second.events] == ["5", "4", "3", "2", "1", "0"]
        assert second.newer is not None
        back = usage_of(store, "acme").events("thing", ALL_TIME, {}, 9, second.newer)
        assert ([each.id for each in back.events], back.newer) == (["5", "4"], None)

    def test_a_cursor_keeps_the_period_it_began_with(self, store: ReferenceStore) -> None:
        first = usage_of(store, "acme").events("thing", minutes(2, 5), {}, 1)
        rest = usage_of(store, "acme").events("thing", ALL_TIME, {}, 9, first.older)
        assert [each.id for each in first.events + rest.events] == ["4", "3", "2"]

    @pytest.mark.parametrize("junk", ["", "x", "null", "é", "=" * 20, "A" * 100_000, "AAAA" * 30, "\0"])
    def test_junk_is_no_cursor(self, store: ReferenceStore, junk: str) -> None:
        with pytest.raises(Invalid, match="begin again"):
            usage_of(store, "acme").events("thing", ALL_TIME, {}, 2, junk)

    def test_a_cursor_serves_one_list_of_one_organization_and_server(self, store: ReferenceStore) -> None:
        acme = usage_of(store, "acme")
        cursor = acme.events("thing", ALL_TIME, {"tag": ("a",)}, 1).older
        assert cursor is not None
        assert acme.events("thing", ALL_TIME, {"tag": ("a",)}, 1, cursor).events
        for usage, kind, filters in (
            (usage_of(store, "globex"), "thing", {"tag": ("a",)}),
            (acme, "other", {"tag": ("a",)}),
            (acme, "thing", {"tag": ("b",)}),
            (acme, "thing", {}),
            (acme, "thing", {"tag": ("a", "b")}),
            (usage_of(store, "acme", CursorSeal(b"another secret")), "thing", {"tag": ("a",)}),
        ):
            with pytest.raises(Invalid):
                usage.events(kind, ALL_TIME, filters, 1, cursor)

    @given(place=st.integers(0, 400), bit=st.integers(0, 5))
    @settings(max_examples=by_depth(40, 60, 600), deadline=None)
    def test_a_changed_cursor_is_no_cursor(self, place: int, bit: int) -> None:
        store = ReferenceStore()
        store.append([event(str(n), n, {}, "acme") for n in range(3)], T0)
        usage = usage_of(store, "acme")
        cursor = usage.events("thing", ALL_TIME, {}, 1).older
        assert cursor is not None
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        place %= len(cursor) - 1  # the last character may hold bits that mean nothing
        changed = alphabet[alphabet.index(cursor[place]) ^ (1 << bit)]
        with pytest.raises(Invalid):
            usage.events("thing", ALL_TIME, {}, 1, cursor[:place] + changed + cursor[place + 1 :])


def test_the_engine_lists_after_a_restart_what_it_listed_before(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append([event(str(n), n // 3, {}, "acme") for n in range(9)], T0)
    first = usage_of(store, "acme").events("thing", ALL_TIME, {}, 4)
    store.close()
    store = open_store(tmp_path)
    rest = usage_of(store, "acme").events("thing", ALL_TIME, {}, 9, first.older)
    assert [each.id for each in first.events + rest.events] == [str(n) for n in range(8, -1, -1)]
    store.close()
