"""Kept answers: what they cost, what they are told apart by, and how many are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from litestar import Request

from meterhouse.contracts import installed
from meterhouse.contracts.contract import Answer
from meterhouse.domain.organization import Caller, Organization
from meterhouse.http.contracts import _request
from meterhouse.http.response_cache import CachedResponse, ResponseCache
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from support.twins import Twins, told, twins_at

NOW = datetime(2026, 3, 15, 12, 34, 56, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    limits = {"METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR": "3", "METERHOUSE_AUTOPOSTING_REQUESTS_PER_HOUR": "0"}
    with twins_at(tmp_path_factory.mktemp("answers"), NOW, limits=limits) as made:
        yield made


def caller(twins: Twins, namespace: str, **key: Any) -> tuple[str, dict[str, str]]:
    """An organization, and the headers of a key of it."""
    organization = twins.organization(namespace, NOW - 100 * DAY)
    _, secret = twins.accounts.create_key(organization, **key)
    return organization, {"authorization": f"Bearer {secret}", "x-api-key": secret, "api-key": secret}


def test_what_is_given_again_asks_neither_store_nor_ledger_nor_a_thread(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    for contract, path in (
        ("unsiloed", "/org/get_usage"),
        ("aitronos", "/v1/analytics/usage/summary/{}"),
        ("autoposting", "/usage/summary"),
        ("onepin", "/api/v1/usage/summary"),
        ("onepin", "/api/v1/usage/by-language"),
        ("onepin", "/api/v1/auth/whoami"),
    ):
        organization, headers = caller(twins, contract)
        where = path.format(organization)
        asked.append((where, headers, told(twins.cached.get(where, headers=headers))))

    def fail(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("asked")

    monkeypatch.setattr(ChdbEngine, "rows", fail)
    for name in ("organization", "key_by_hash", "subscription", "keys", "requests", "count_request"):
        monkeypatch.setattr(SqlLedger, name, fail)
    monkeypatch.setattr(asyncio, "to_thread", fail)
    for where, headers, before in asked:
        assert before[0] == 200
        assert told(twins.cached.get(where, headers=headers)) == before


def test_each_time_it_has_its_own_id_and_moment(twins: Twins) -> None:
    _, headers = caller(twins, "onepin")
    answers = []
    before = twins.given_from_cache()
    for second in range(3):
        twins.clock.instant = NOW + timedelta(seconds=second)
        answers.append(twins.cached.get("/api/v1/usage/summary", headers=headers))
    assert twins.given_from_cache() == before + 2
    metas = [answer.json()["meta"] for answer in answers]
    assert [meta["timestamp"] for meta in metas] == [f"2026-03-15T12:34:5{second}Z" for second in (6, 7, 8)]
    assert [meta["request_id"] for meta in metas] == [answer.headers["x-request-id"] for answer in answers]
    assert len({meta["request_id"] for meta in metas}) == 3


def test_the_hourly_limit_counts_what_is_given_again(twins: Twins) -> None:
    _, headers = caller(twins, "octolens")
    before = twins.given_from_cache()
    answers = [twins.cached.get("/api/v2/org/usage", headers=headers) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    assert twins.given_from_cache() == before + 2


def test_a_token_is_verified_every_time(twins: Twins) -> None:
    organization, _ = caller(twins, "onepin")
    twins.tokens["token"] = {"sub": "ada", "org_id": organization}
    headers = {"authorization": "Bearer token"}
    assert [twins.cached.get("/api/v1/auth/whoami", headers=headers).status_code for _ in range(2)] == [200, 200]
    twins.tokens.clear()
    assert twins.cached.get("/api/v1/auth/whoami", headers=headers).status_code == 401


def test_a_key_ends_when_it_expires_and_a_clock_set_back_finds_nothing_of_later(twins: Twins) -> None:
    twins.clock.instant = NOW
    _, headers = caller(twins, "unsiloed", expires_at=NOW + timedelta(minutes=1))
    before, statuses = twins.given_from_cache(), []
    for seconds in (0, 59, 60, -1, 0):
        twins.clock.instant = NOW + timedelta(seconds=seconds)
        statuses.append(twins.compare("/org/get_usage", headers).status_code)
    assert statuses == [200, 200, 401, 200, 200]
    assert twins.given_from_cache() == before + 2


def test_another_organizations_events_and_changes_leave_an_answer_alone(twins: Twins) -> None:
    twins.clock.instant = NOW
    _, headers = caller(twins, "unsiloed")
    other, _ = caller(twins, "unsiloed")
    twins.compare("/org/get_usage", headers)
    before = twins.given_from_cache()
    twins.send("unsiloed", other, "credit.used", NOW, {"amount": 1, "operation": "parse"})
    twins.accounts.create_key(other)
    twins.accounts.delete_organization(other)
    twins.compare("/org/get_usage", headers)
    assert twins.given_from_cache() == before + 1


def test_a_contract_sees_no_header_that_it_does_not_declare() -> None:
    sent = ("authorization", "x-api-key", "x-source", "x-workspace-id", "api-key", "cookie", "user-agent")
    scope: Any = {
        "type": "http",
        "headers": [(name.encode(), b"1") for name in sent],
        "query_string": b"",
        "path_params": {},
        "state": {"request_id": "7"},
    }
    seen = {name: set(_request(each, Request(scope), NOW).headers) for name, each in installed().items()}
    assert seen == {
        "aitronos": {"user-agent", "x-api-key"},
        "autoposting": {"authorization", "x-api-key", "x-source"},
        "octolens": {"authorization"},
        "onepin": {"authorization", "x-workspace-id"},
        "unsiloed": {"api-key"},
    }


class Unchanged:
    """As much of a store and of a ledger as a cache looks at."""

    commit = change = 0

    def last_commit_of(self, _namespace: str, _organization: str) -> int:
        return self.commit

    def changed(self, _organization: str) -> int:
        return self.change


def cache_of(size_bytes: int, world: Unchanged | None = None) -> ResponseCache:
    world = world or Unchanged()
    return ResponseCache(world, world, installed().values(), size_bytes)  # type: ignore[arg-type]


def kept(body_bytes: int) -> CachedResponse:
    who = Caller(Organization("acme", "Acme", "unsiloed", NOW), frozenset(), None, "key")
    body = msgspec.Raw(b"x" * body_bytes)
    return CachedResponse(Answer(200, body), "/", False, who, commit=5, change=5, since=NOW, until=NOW + DAY)


class TestAnswerCache:
    def test_what_was_not_given_for_the_longest_time_makes_room(self) -> None:
        size = kept(1000).size
        cache = cache_of(3 * size)
        for key in (b"1", b"2", b"3"):
            cache.keep(key, kept(1000))
        assert cache.find(b"1", NOW)
        cache.keep(b"4", kept(1000))
        assert [bool(cache.find(key, NOW)) for key in (b"1", b"2", b"3", b"4")] == [True, False, True, True]
        cache.keep(b"5", kept(2000))
        assert [bool(cache.find(key, NOW)) for key in (b"1", b"3", b"4", b"5")] == [False, False, True, True]

    def test_the_same_question_is_kept_once(self) -> None:
        cache = cache_of(3 * kept(1000).size)
        cache.keep(b"other", kept(1000))
        for _ in range(10):
            cache.keep(b"same", kept(1000))
        assert cache.find(b"other", NOW)

    def test_what_no_longer_holds_gives_its_room_back(self) -> None:
        cache = cache_of(2 * kept(1000).size)
        cache.keep(b"1", kept(1000))
        cache.keep(b"2", kept(1000))
        assert cache.find(b"1", NOW + DAY) is None
        cache.keep(b"3", kept(1000))
        assert cache.find(b"2", NOW)

    def test_nothing_larger_than_all_of_it_is_kept(self) -> None:
        cache = cache_of(2 * kept(1000).size)
        cache.keep(b"small", kept(1000))
        cache.keep(b"large", kept(10_000))
        assert cache.find(b"large", NOW) is None
        assert cache.find(b"small", NOW)
        none = cache_of(0)
        none.keep(b"small", kept(0))
        assert none.find(b"small", NOW) is None

    def test_it_holds_from_when_it_was_made_until_its_end(self) -> None:
        for moment, holds in ((NOW, True), (NOW + DAY - TICK, True), (NOW + DAY, False), (NOW - TICK, False)):
            cache = cache_of(1 << 20)
            cache.keep(b"1", kept(10))
            assert bool(cache.find(b"1", moment)) == holds

    @pytest.mark.parametrize("what", ["commit", "change"])
    def test_it_holds_until_something_newer_happened_to_the_organization(self, what: str) -> None:
        world = Unchanged()
        cache = cache_of(1 << 20, world)
        cache.keep(b"1", kept(10))
        setattr(world, what, 5)
        assert cache.find(b"1", NOW)
        setattr(world, what, 6)
        assert cache.find(b"1", NOW) is None

    def test_a_question_is_its_path_its_query_and_the_headers_that_are_seen(self) -> None:
        cache = cache_of(0)
        asked: dict[str, Any] = {"path": "/a", "query_string": b"b=c", "headers": [(b"api-key", b"d")]}

        def key(**other: Any) -> bytes:
            return cache.key({**asked, **other})  # type: ignore[typeddict-item]

        assert key() == key(headers=[(b"accept", b"e"), (b"api-key", b"d")])
        others = [
            key(path="/b"),
            key(path="/ab", query_string=b"=c"),
            key(query_string=b"b=d"),
            key(headers=[]),
            key(headers=[(b"api-key", b"e")]),
            key(headers=[(b"x-api-key", b"d")]),
            key(headers=[(b"api-key", b"d"), (b"x-source", b"sdk")]),
        ]
        assert len({key(), *others}) == 8
        assert b"d" * 40 not in key(headers=[(b"api-key", b"d" * 40)])
        assert cache_of(0).key(asked) != key()  # type: ignore[arg-type]  # nobody can guess at credentials outside
