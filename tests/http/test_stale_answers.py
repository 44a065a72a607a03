"""Tries to catch a kept answer that is not what would be made now."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from meterhouse.domain.period import MONTHLY, THIRTY_DAYS, Interval, period_at
from meterhouse.domain.plan import Addon, Flex, Subscription
from meterhouse.services.grants import GrantDraft
from support.depth import by_depth
from support.server import event, serve
from support.twins import Twins, twins_at

TICK = timedelta(microseconds=1)
ZONES = ("UTC", "Europe/Zurich", "America/Santiago", "America/Havana", "Asia/Kolkata", "Pacific/Apia")
STARTS = tuple(
    datetime(*when, tzinfo=UTC)  # type: ignore[arg-type,misc]
    for when in (
        (2026, 3, 15, 12),
        (2026, 3, 28, 22, 30),  # Zurich puts its clocks forward in the night
        (2026, 4, 4, 20),  # Santiago sets them back over midnight
        (2026, 3, 8, 4, 30),  # Havana skips midnight
        (2026, 2, 28, 23, 59, 59),
        (2011, 12, 29, 22),  # Apia skips a day
    )
)
EVENTS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "unsiloed": [("credit.used", {"amount": "1.5", "operation": "parse"})],
    "aitronos": [
        ("ai.request", {"model": "ftg", "neurons": 3, "synapses": 5, "cost": "1.25"}),
        ("ai.request", {"model": "other", "neurons": 1, "synapses": 1, "cost": "2"}),
    ],
    "octolens": [
        ("mention.found", {"mention_id": "m1", "keyword_id": "k1"}),
        ("mention.found", {"mention_id": "m2", "keyword_id": "k1"}),
        ("keyword.state", {"keyword_id": "k1", "state": "active"}),
        ("keyword.state", {"keyword_id": "k1", "state": "deleted"}),
    ],
    "autoposting": [
        ("post.state", {"post_id": "p1", "state": "scheduled"}),
        ("post.state", {"post_id": "p1", "state": "published"}),
        ("ai.usage", {"model": "m", "input_tokens": 10, "output_tokens": 2}),
        ("credit.used", {"amount": "0.5"}),
    ],
    "onepin": [
        ("line.generated", {"user_id": "ada", "locale": "en-US", "characters": 20, "credits": "1.25"}),
        ("run.state", {"run_id": "r1", "user_id": "ada", "state": "running"}),
        ("run.state", {"run_id": "r1", "user_id": "ada", "state": "completed"}),
    ],
}
METER = {
    "unsiloed": "credits",
    "aitronos": "cost",
    "octolens": "mentions",
    "autoposting": "credits",
    "onepin": "credits",
}


def questions(contract: str, organization: str) -> list[tuple[str, dict[str, str]]]:
    """Paths and headers that change what is answered."""
    if contract == "unsiloed":
        return [("/org/get_usage", {}), ("/api/v1/org/get_usage", {"x-unknown": "1"})]
    if contract == "aitronos":
        return [("/v1/analytics/usage/summary/" + path, {}) for path in (organization, "another")]
    if contract == "octolens":
        return [("/api/v2/org/usage", {}), ("/api/v2/org/usage?unknown=1", {})]
    if contract == "autoposting":
        return [("/usage/summary", {}), ("/usage/summary", {"x-source": "sdk"})]
    path = "/api/v1/usage/"
    zoned = [f"{path}{what}?range=30d&timezone={zone}" for what in ("summary", "by-language") for zone in ZONES]
    views = [f"{path}summary?activity_view={view}" for view in ("weekly", "monthly")]
    others = ["/api/v1/auth/whoami", f"{path}activity?limit=1", f"{path}summary?range=31d"]
    return [*((each, {}) for each in (*zoned, *views, *others)), (f"{path}summary", {"x-workspace-id": "another"})]


@dataclass
class World:
    """An organization, and what was asked about it so far."""

    twins: Twins
    contract: str
    start: datetime
    organization: str = ""
    keys: list[tuple[str, str]] = field(default_factory=list)
    edges: list[datetime] = field(default_factory=list)
    """Instants of other periods than a clock shows: ends of subscriptions' periods and of keys."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.twins.clock.instant = self.start
        self.organization = self.twins.organization(self.contract, self.start - timedelta(days=40, hours=5))
        self.new_key(0)

    @property
    def now(self) -> datetime:
        return self.twins.clock.instant

    def send(self, number: int) -> None:
        kind, data = EVENTS[self.contract][number % len(EVENTS[self.contract])]
        offset = (timedelta(0), -timedelta(days=1), timedelta(hours=5), -timedelta(days=29))[number % 4]
        self.twins.send(self.contract, self.organization, kind, self.now + offset, data)

    def subscribe(self, number: int) -> None:
        interval = (MONTHLY, THIRTY_DAYS, None, Interval(0, 1))[number % 4]
        anchor = self.start - timedelta(days=(3, 59, 31)[number % 3], minutes=number)
        meter, amount = METER[self.contract], Decimal(10 + number)
        self.twins.accounts.subscribe(
            self.organization,
            Subscription(
                plan=None,
                anchor=anchor,
                interval=interval,
                limits={meter: amount},
                addons={meter: Addon(one_time=Decimal(5))} if number % 2 else {},
                flex=Flex(enabled=True, budget_cents=Decimal(100), unit_price_cents=Decimal(10)),
            ),
        )
        if interval is not None:
            end = period_at(anchor, interval, self.now).end
            assert end is not None
            self.edges.append(end)

    def grant(self, number: int) -> None:
        """From now or a little later on; it may end, be given anew, and be voided."""
        if self.contract == "octolens":
            return  # a UNIQUE_COUNT is not granted
        begins = self.now + timedelta(hours=3 * (number % 3))
        ends = begins + timedelta(hours=5) if number % 2 else None
        self.twins.grants.grant(
            self.organization,
            GrantDraft(
                METER[self.contract],
                Decimal(1 + number),
                effective_at=begins,
                expires_at=ends,
                interval=Interval(0, 1) if number % 5 == 0 else None,
            ),
        )
        self.edges += [begins, *([ends] if ends else [])]

    def void(self, number: int) -> None:
        if made := self.twins.grants.of(self.organization):
            self.twins.grants.void(self.organization, made[number % len(made)].id)

    def new_key(self, number: int) -> None:
        expires_at = self.now + timedelta(hours=7) if number % 3 == 1 else None
        user = ("ada", None, "bob")[number % 3]
        key, secret = self.twins.accounts.create_key(self.organization, user_id=user, expires_at=expires_at)
        self.keys.append((key.id, secret))
        self.edges += [expires_at] if expires_at else []

    def revoke(self, number: int) -> None:
        if len(self.keys) > 1:
            key_id, _ = self.keys.pop(number % len(self.keys))
            self.twins.accounts.revoke_key(self.organization, key_id)

    def delete(self, number: int) -> None:
        if number % 5 == 0:
            self.twins.accounts.delete_organization(self.organization)

    def materialize(self, _number: int) -> None:
        self.twins.store.materialize(self.twins.store.latest_commit())

    def move(self, number: int) -> None:
        """To somewhere around an instant at which something may begin by the clock alone; or a little on, or back."""
        created = self.start - timedelta(days=40, hours=5)
        ends = [period_at(created, interval, self.now).end for interval in (MONTHLY, THIRTY_DAYS)]
        for zone in ZONES:
            local = self.now.astimezone(ZoneInfo(zone))
            midnight = datetime.combine(local.date() + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
            ends += [midnight.astimezone(UTC), midnight.astimezone(UTC) + timedelta(hours=1)]
        boundaries = sorted({*ends, *(edge for edge in self.edges if edge > self.now)})  # type: ignore[type-var]
        moves = [self.now + timedelta(seconds=1), self.now - timedelta(seconds=1), self.now - timedelta(hours=9)]
        for boundary in boundaries:
            assert boundary is not None
            moves += [boundary, boundary - TICK, boundary + TICK]
        self.twins.clock.instant = moves[number % len(moves)]

    def ask(self, number: int) -> None:
        choices = questions(self.contract, self.organization)
        path, headers = choices[number % len(choices)]
        _, key = self.keys[number % len(self.keys)]
        headers = {"authorization": f"Bearer {key}", "x-api-key": key, "api-key": key, **headers}
        self.asked.append((path, headers))

    def compare(self) -> None:
        """What was asked last is asked again, also with keys that are gone."""
        for path, headers in self.asked[-2:]:
            self.twins.compare(path, headers)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    with twins_at(tmp_path_factory.mktemp("twins"), STARTS[0]) as made:
        yield made


steps = st.tuples(
    st.sampled_from(("ask", "ask", "ask", "send", "send", "subscribe", "new_key", "revoke", "delete", "materialize"))
    | st.sampled_from(("move", "move", "grant", "void")),
    st.integers(0, 200),
)


@pytest.mark.parametrize("contract", EVENTS)
def test_no_answer_is_stale(twins: Twins, contract: str) -> None:
    before = twins.given_from_cache()

    @settings(
        max_examples=by_depth(1, 4, 40) if contract == "autoposting" else by_depth(3, 12, 120),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(STARTS), st.lists(steps, min_size=5, max_size=25))
    @example(STARTS[2], [("ask", 2), *[("move", number) for number in range(12)]])
    @example(STARTS[3], [("ask", 3), *[("move", number) for number in range(12)]])
    @example(STARTS[5], [("ask", 5), *[("move", number) for number in range(12)]])
    @example(STARTS[0], [("subscribe", 1), ("ask", 1), ("ask", 0), *[("move", number) for number in range(12)]])
    @example(STARTS[0], [("subscribe", 3), ("ask", 0), ("ask", 1), *[("move", number) for number in range(12, 0, -1)]])
    @example(STARTS[0], [("new_key", 1), ("ask", 1), ("ask", 3), *[("move", number) for number in range(12)]])
    @example(STARTS[0], [("new_key", 0), ("ask", 0), ("revoke", 0)])
    @example(STARTS[0], [("subscribe", 0), ("ask", 0), ("grant", 0), ("ask", 0), ("void", 0)])
    @example(STARTS[0], [("subscribe", 0), ("grant", 7), ("ask", 0), *[("move", number) for number in range(12)]])
    @example(STARTS[0], [("ask", 0), ("delete", 0)])
    @example(STARTS[0], [("send", 0), ("ask", 0), ("move", -2), ("move", 3)])
    @example(STARTS[0], [("send", 0), ("ask", 0), ("move", -5), ("move", 3)])
    def live(start: datetime, steps: list[tuple[str, int]]) -> None:
        world = World(twins, contract, start)
        for step, number in steps:
            getattr(world, step)(number)
            world.compare()
            if step == "delete" and number % 5 == 0:
                break

    live()
    assert twins.given_from_cache() - before > 20


def test_an_answer_made_between_the_events_and_the_commit_that_tells_of_them_is_not_kept_as_new(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(twins, "unsiloed", STARTS[0])
    world.ask(0)
    last_commits, record = twins.store._last_commits, twins.store._last_commits.record

    def record_and_ask(*arguments: Any) -> None:
        world.compare()
        record(*arguments)
        world.compare()

    monkeypatch.setattr(last_commits, "record", record_and_ask)
    world.send(0)
    [(path, headers)] = world.asked
    assert twins.compare(path, headers).json()["current_usage"] == 1.5


@pytest.mark.parametrize("change", ["send", "subscribe"])
def test_what_changes_while_an_answer_is_made_makes_it_old(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Right after the store, or the ledger, was read for the answer."""
    world = World(twins, "unsiloed", STARTS[0])
    world.ask(0)
    read_from, name = (twins.store, "measure") if change == "send" else (twins.accounts.ledger, "subscription")
    read = getattr(read_from, name)

    def read_and_change(*arguments: Any) -> Any:
        found = read(*arguments)
        monkeypatch.undo()
        getattr(world, change)(0)
        return found

    monkeypatch.setattr(read_from, name, read_and_change)
    [(path, headers)] = world.asked
    before = twins.cached.get(path, headers=headers)
    assert twins.compare(path, headers).content != before.content


@pytest.mark.parametrize("change", ["subscribe", "revoke"])
def test_an_answer_made_while_the_ledger_changes_is_not_kept_as_new(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Around each moment of a change at which a reader could come in."""
    world = World(twins, "unsiloed", STARTS[0])
    world.new_key(0)
    world.subscribe(1)
    world.ask(0)
    world.compare()
    ledger = twins.accounts.ledger
    [(path, headers)] = world.asked
    for memory in (ledger._subscriptions, ledger._keys, ledger._changes):  # type: ignore[attr-defined]
        changing = memory.changing

        def asked_around(key: str, changing: Any = changing) -> Any:
            @contextmanager
            def around() -> Iterator[None]:
                with changing(key):
                    yield
                    twins.cached.get(path, headers=headers)
                twins.cached.get(path, headers=headers)

            return around()

        monkeypatch.setattr(memory, "changing", asked_around)
    getattr(world, change)(0)
    world.compare()


def test_reads_see_what_was_written_before_them_under_parallel_load(tmp_path: Path) -> None:
    """Every reader: at least what was acknowledged before it asked, and the limit that was put last."""
    with serve(tmp_path / "data") as server:
        organization = server.organization("unsiloed", {"plan": None, "anchor": "2026-01-01", "interval": None})
        key = server.key(organization)
        acknowledged, limit, written = 0, 0, threading.Lock()
        done = threading.Event()

        def write(number: int) -> None:
            nonlocal acknowledged
            for _ in range(25):
                server.send("unsiloed", [event("credit.used", organization, {"amount": 1, "operation": "parse"})])
                with written:
                    acknowledged += 1
                read(number)

        def change() -> None:
            nonlocal limit
            while not done.wait(0.02):
                body = {"plan": None, "anchor": "2026-01-01", "interval": None, "limits": {"credits": limit + 1}}
                server.subscribe(organization, body)
                limit += 1

        def read(_number: int) -> httpx.Response:
            least, least_limit = acknowledged, limit
            answer = server.http.get("/org/get_usage", headers={"api-key": key})
            body = answer.json()
            assert body["current_usage"] >= least
            assert body["usage_limit"] >= least_limit
            return answer

        def read_on(number: int) -> int:
            reads = 0
            while not done.is_set():
                read(number)
                reads += 1
            return reads

        with ThreadPoolExecutor(8) as pool:
            readers = [pool.submit(read_on, number) for number in range(3)]
            changer = pool.submit(change)
            writers = [pool.submit(write, number) for number in range(4)]
            try:
                for each in writers:
                    each.result()
            finally:
                done.set()
            changer.result()
            assert sum(each.result() for each in readers) > 100
        assert read(0).json()["current_usage"] == 100
        assert 'meterhouse_answers_total{source="cache"} 0.0' not in server.http.get("/metrics").text
