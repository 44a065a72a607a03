"""Every sentence of the `Ledger` port, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, StatementError

from meterhouse.domain.directory import OrganizationSearch
from meterhouse.domain.errors import (
    AlreadyExists,
    FolderError,
    InsufficientStorage,
    NotFound,
    StorageDamaged,
    Unavailable,
)
from meterhouse.domain.grant import Grant, Recurrence, Rollover
from meterhouse.domain.organization import Key, Organization, hash_secret
from meterhouse.domain.period import Interval
from meterhouse.domain.plan import Addon, Flex, Subscription
from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger import tables
from meterhouse.storage.ledger.cache import ReadCache
from meterhouse.storage.ledger.migrations import HEAD
from meterhouse.storage.ledger.shared_ledger import SharedLedger
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.storage.reserved_space import ReservedSpace

NOW = datetime(2026, 1, 31, 9, 30, 0, 123457, tzinfo=UTC)
LATER = NOW + timedelta(microseconds=1)
ACME = Organization("acme", "Acme", "octolens", NOW)
KEY = Key("key_1", "acme", "mh_abc", hash_secret("s1"), frozenset({"usage:read", "events:write"}), "user-7", NOW)
MONTHLY = Subscription("pro", NOW, Interval(1, 0))
GRANT = Grant("bought", "acme", "posts", Decimal(1000), 10, NOW, NOW)
NO_FLEX = Flex(enabled=False, budget_cents=Decimal(0), unit_price_cents=Decimal(0))


@pytest.fixture
def acme(ledger: Ledger) -> Ledger:
    """A ledger with one organization."""
    ledger.add_organization(ACME)
    return ledger


def in_parallel(actions: list[Callable[[], object]]) -> list[str]:
    """Starts all actions at the same moment, each in a thread; how they ended, sorted: "done", the error, "stuck"."""
    start = threading.Barrier(len(actions))
    ends = ["stuck"] * len(actions)

    def run(index: int, action: Callable[[], object]) -> None:
        start.wait()
        try:
            action()
            ends[index] = "done"
        except Exception as wrong:  # noqa: BLE001
            ends[index] = type(wrong).__name__

    threads = [threading.Thread(target=run, args=pair, daemon=True) for pair in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(ends)


@contextmanager
def listening(name: str, listener: Callable[..., None]) -> Iterator[None]:
    """Hears an event of every database engine."""
    event.listen(Engine, name, listener)
    try:
        yield
    finally:
        event.remove(Engine, name, listener)


@contextmanager
def recorded_statements() -> Iterator[list[str]]:
    statements: list[str] = []

    def record(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    with listening("before_cursor_execute", record):
        yield statements


@contextmanager
def raw(ledger_url: str) -> Iterator[Any]:
    """A connection beside the ledger's own, committed at the end."""
    engine = create_engine(ledger_url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


class TestOrganizations:
    def test_comes_back_as_it_was_added(self, ledger: Ledger) -> None:
        added = Organization("a.b_c:d@e-F", 'Zoë’s 株式会社 "quoted" \'n more; --', "octolens", NOW)
        ledger.add_organization(added)
        assert ledger.organization("a.b_c:d@e-F") == added

    def test_none_of_that_id(self, acme: Ledger) -> None:
        assert acme.organization("ACME") is None

    @pytest.mark.parametrize(
        "instant",
        [
            datetime(1900, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2261, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))),
        ],
    )
    def test_instants_are_exact_to_the_microsecond_and_come_back_in_utc(
        self, ledger: Ledger, instant: datetime
    ) -> None:
        ledger.add_organization(replace(ACME, created_at=instant))
        read = ledger.organization("acme")
        assert read is not None
        assert read.created_at == instant
        assert read.created_at.tzinfo is UTC

    def test_an_instant_without_a_zone_is_refused(self, ledger: Ledger) -> None:
        with pytest.raises(StatementError, match="offset-naive"):
            ledger.add_organization(replace(ACME, created_at=datetime(2026, 1, 1)))  # noqa: DTZ001
        assert ledger.organization("acme") is None

    def test_an_id_is_taken_once_and_the_first_stands(self, acme: Ledger) -> None:
        with pytest.raises(AlreadyExists, match="'acme' is taken"):
            acme.add_organization(replace(ACME, name="Other", namespace="onepin"))
        assert acme.organization("acme") == ACME

    def test_a_deleted_organization_keeps_its_id(self, acme: Ledger) -> None:
        acme.delete_organization("acme", LATER)
        with pytest.raises(AlreadyExists, match="'acme' is taken"):
            acme.add_organization(ACME)

    def test_the_list_is_by_id_without_the_deleted_ones(self, ledger: Ledger) -> None:
        assert ledger.organizations() == []
        for name in ["b", "a.1", "B", "a", "a-1", "a_1", "Z", "0", "gone"]:
            ledger.add_organization(replace(ACME, id=name))
        ledger.delete_organization("gone", NOW)
        assert [each.id for each in ledger.organizations()] == ["0", "B", "Z", "a", "a-1", "a.1", "a_1", "b"]
        assert ledger.organizations()[0] == replace(ACME, id="0")

    def test_they_are_found_by_any_part_of_id_or_name_by_namespace_and_by_plan(self, ledger: Ledger) -> None:
        named = {"a-1": "Zebra", "A-2": "Ant 100%", "b": "Bee_hive", "c": "ant", "gone": "ant"}
        for name, title in named.items():
            namespace = "onepin" if name == "c" else ACME.namespace
            ledger.add_organization(replace(ACME, id=name, name=title, namespace=namespace))
        ledger.delete_organization("gone", NOW)
        ledger.put_subscription("b", MONTHLY)

        def found(**wanted: Any) -> tuple[list[tuple[str, str | None]], int]:
            page = ledger.find_organizations(OrganizationSearch(**wanted))
            return [(each.organization.id, each.plan) for each in page.found], page.total

        everything = [("A-2", None), ("a-1", None), ("b", "pro"), ("c", None)]
        assert found() == (everything, 4)
        assert found(text="ANT") == ([("A-2", None), ("c", None)], 2)
        assert found(text="a-") == (everything[:2], 2)
        assert found(text="%") == ([("A-2", None)], 1)
        assert found(text="_") == ([("b", "pro")], 1)
        assert found(text="ant", namespace="onepin") == ([("c", None)], 1)
        assert found(plan="pro") == ([("b", "pro")], 1)
        assert found(plan="free") == ([], 0)
        assert found(ids=("c", "b", "gone", "none")) == (everything[2:], 2)
        assert found(ids=()) == ([], 0)
        assert found(offset=1, limit=2) == (everything[1:3], 4)
        assert found(offset=9) == ([], 4)
        [first, *_] = ledger.find_organizations(OrganizationSearch()).found
        assert first.organization == replace(ACME, id="A-2", name="Ant 100%")

    def test_deleted_ones_are_known_with_their_namespace_purged_or_not(self, ledger: Ledger) -> None:
        assert ledger.deleted() == set()
        for name in ("a", "b", "c"):
            ledger.add_organization(replace(ACME, id=name))
        assert ledger.deleted() == set()
        for name in ("a", "b"):
            ledger.delete_organization(name, NOW)
        assert ledger.deleted() == {(ACME.namespace, "a"), (ACME.namespace, "b")}
        ledger.mark_purged("a", LATER)
        ledger.restore_organization("b", None)
        assert ledger.deleted() == {(ACME.namespace, "a")}

    def test_deleting_marks_it_and_keeps_everything_known(self, acme: Ledger) -> None:
        acme.add_key(KEY)
        acme.put_subscription("acme", MONTHLY)
        acme.delete_organization("acme", LATER)
        assert acme.organization("acme") == replace(ACME, deleted_at=LATER)
        assert acme.key_by_hash(KEY.secret_hash) == KEY
        assert acme.keys("acme") == [KEY]
        assert acme.subscription("acme") == MONTHLY

    def test_deleting_what_is_not_there(self, acme: Ledger) -> None:
        with pytest.raises(NotFound, match="'umbrella'"):
            acme.delete_organization("umbrella", NOW)
        assert acme.organizations() == [ACME]

    def test_deleting_twice_keeps_the_first_instant(self, acme: Ledger) -> None:
        acme.delete_organization("acme", NOW)
        with pytest.raises(NotFound, match=r"'acme'.*deleted already"):
            acme.delete_organization("acme", LATER)
        assert acme.organization("acme") == replace(ACME, deleted_at=NOW)


class TestSubscriptions:
    def test_none_when_it_has_none(self, acme: Ledger) -> None:
        assert acme.subscription("acme") is None
        assert acme.subscription("umbrella") is None

    @pytest.mark.parametrize(
        "subscription",
        [
            Subscription(None, NOW, None),
            Subscription("pro", LATER, Interval(0, 30)),
            Subscription(
                plan="Pro_v3",
                anchor=NOW,
                interval=Interval(12, 0),
                limits={"posts": Decimal(0), "ai_tokens": Decimal("123.450")},
                addons={"posts": Addon(Decimal(5), Decimal("2.5"), LATER), "runs": Addon(recurring=Decimal(1))},
                flex=Flex(enabled=True, budget_cents=Decimal("5000"), unit_price_cents=Decimal("0.25")),
            ),
            Subscription("pro", NOW, Interval(1, 0), flex=NO_FLEX),
        ],
    )
    def test_comes_back_as_it_was_put(self, acme: Ledger, subscription: Subscription) -> None:
        acme.put_subscription("acme", subscription)
        assert acme.subscription("acme") == subscription

    @pytest.mark.parametrize(
        "digits",
        [
            "12345678901234567890123456789012345678",
            "-99999999999999999999999999999999999999",
            "1234567890.1234567890123456789012345678",
            "0.0000000000000000000000000001",
            "12345678901234567890.123456789",
            "9007199254740993",
            "0.10",
            "1000.00",
            "1E+3",
        ],
    )
    def test_amounts_keep_every_digit(self, acme: Ledger, digits: str) -> None:
        amount = Decimal(digits)
        put = Subscription(
            "pro",
            NOW,
            None,
            {"posts": amount},
            {"posts": Addon(amount, amount)},
            Flex(enabled=True, budget_cents=amount, unit_price_cents=amount),
        )
        acme.put_subscription("acme", put)
        read = acme.subscription("acme")
        assert read is not None
        assert read.flex is not None
        grant = read.addons["posts"]
        amounts = [read.limits["posts"], grant.one_time, grant.recurring]
        amounts += [read.flex.budget_cents, read.flex.unit_price_cents]
        assert [each.as_tuple() for each in amounts] == [amount.as_tuple()] * 5

    def test_putting_again_replaces_all_of_it(self, acme: Ledger) -> None:
        rich = replace(MONTHLY, limits={"posts": Decimal(1)}, addons={"posts": Addon(Decimal(1))}, flex=NO_FLEX)
        bare = Subscription(None, LATER, None)
        acme.put_subscription("acme", rich)
        assert acme.subscription("acme") == rich
        acme.put_subscription("acme", bare)
        assert acme.subscription("acme") == bare

    def test_each_organization_has_its_own(self, acme: Ledger) -> None:
        acme.add_organization(replace(ACME, id="umbrella"))
        acme.put_subscription("acme", MONTHLY)
        acme.put_subscription("umbrella", replace(MONTHLY, plan="free"))
        assert acme.subscription("acme") == MONTHLY
        assert acme.subscription("umbrella") == replace(MONTHLY, plan="free")

    def test_needs_its_organization(self, acme: Ledger) -> None:
        with pytest.raises(NotFound, match="no organization 'umbrella': create it"):
            acme.put_subscription("umbrella", MONTHLY)
        assert acme.subscription("umbrella") is None


class TestGrants:
    @pytest.mark.parametrize(
        "grant",
        [
            GRANT,
            replace(
                GRANT,
                amount=Decimal("1234567890.1234567890123456789012345678"),
                priority=255,
                expires_at=LATER,
                recurrence=Recurrence(Interval(1, 0), LATER),
                rollover=Rollover(Decimal("0.10"), Decimal("1E+3")),
                voided_at=LATER,
                reason='Zoë’s "株式会社"; --',
            ),
            replace(GRANT, recurrence=Recurrence(Interval(0, 30), NOW)),
        ],
    )
    def test_comes_back_as_it_was_added(self, acme: Ledger, ledger_url: str, grant: Grant) -> None:
        acme.add_grant(grant)
        assert acme.grants("acme") == (grant,)
        with closing(SqlLedger.open(ledger_url)) as again:
            [read] = again.grants("acme")
        assert read == grant
        assert read.amount.as_tuple() == grant.amount.as_tuple()

    def test_each_organization_has_its_own_the_oldest_first(self, acme: Ledger) -> None:
        acme.add_organization(replace(ACME, id="umbrella"))
        later = replace(GRANT, id="Zebra", created_at=LATER)
        for grant in (
            later,
            replace(GRANT, id="b"),
            GRANT,
            replace(GRANT, id="a"),
            replace(GRANT, organization="umbrella"),
        ):
            acme.add_grant(grant)
        assert [grant.id for grant in acme.grants("acme")] == ["a", "b", "bought", "Zebra"]
        assert [grant.id for grant in acme.grants("umbrella")] == ["bought"]
        assert acme.grants("nobody") == ()

    def test_an_id_is_taken_once_and_the_first_stands(self, acme: Ledger) -> None:
        acme.add_grant(GRANT)
        with pytest.raises(AlreadyExists, match="another grant 'bought': choose another id"):
            acme.add_grant(replace(GRANT, amount=Decimal(5)))
        assert acme.grants("acme") == (GRANT,)

    def test_needs_its_organization(self, acme: Ledger) -> None:
        with pytest.raises(NotFound, match="no organization 'umbrella': create it"):
            acme.add_grant(replace(GRANT, organization="umbrella"))

    def test_it_is_voided_once(self, acme: Ledger) -> None:
        acme.add_grant(GRANT)
        assert acme.grants("acme") == (GRANT,)
        acme.void_grant("acme", "bought", LATER)
        assert acme.grants("acme") == (replace(GRANT, voided_at=LATER),)
        for named in (("acme", "bought"), ("acme", "another"), ("umbrella", "bought")):
            with pytest.raises(NotFound, match="voided already"):
                acme.void_grant(*named, NOW)
        assert acme.grants("acme") == (replace(GRANT, voided_at=LATER),)

    def test_another_process_sees_its_changes_at_once(self, acme: Ledger, ledger_url: str) -> None:
        with closing(SharedLedger.open(ledger_url)) as other:
            assert other.grants("acme") == ()
            before = other.changed("acme")
            acme.add_grant(GRANT)
            assert other.grants("acme") == (GRANT,)
            assert before < other.changed("acme")
            before = other.changed("acme")
            acme.void_grant("acme", "bought", LATER)
            assert before < other.changed("acme")
            assert other.grants("acme") == (replace(GRANT, voided_at=LATER),)


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        [
            KEY,
            replace(KEY, scopes=frozenset(), user_id=None, expires_at=NOW - timedelta(days=1)),
            replace(KEY, expires_at=LATER, revoked_at=LATER),
        ],
    )
    def test_is_found_by_its_hash_as_it_was_added(self, acme: Ledger, key: Key) -> None:
        acme.add_key(key)
        assert acme.key_by_hash(key.secret_hash) == key
        assert acme.keys("acme") == [key]

    def test_a_hash_that_was_missing_is_found_once_it_is_added(self, acme: Ledger) -> None:
        assert acme.key_by_hash(KEY.secret_hash) is None
        acme.add_key(KEY)
        assert acme.key_by_hash(KEY.secret_hash) == KEY

    @pytest.mark.parametrize(
        "second", [replace(KEY, secret_hash=hash_secret("s2"), user_id="x"), replace(KEY, id="key_2", user_id="x")]
    )
    def test_its_id_and_hash_are_new(self, acme: Ledger, second: Key) -> None:
        acme.add_key(KEY)
        with pytest.raises(AlreadyExists, match=f"'{second.id}'") as refusal:
            acme.add_key(second)
        assert second.secret_hash not in str(refusal.value)
        assert acme.keys("acme") == [KEY]

    def test_needs_its_organization(self, acme: Ledger) -> None:
        with pytest.raises(NotFound, match="no organization 'umbrella': create it"):
            acme.add_key(replace(KEY, organization="umbrella"))
        assert acme.key_by_hash(KEY.secret_hash) is None

    def test_are_listed_oldest_first_with_the_revoked_ones(self, acme: Ledger) -> None:
        acme.add_organization(replace(ACME, id="umbrella"))
        mine = [
            replace(KEY, id=str(number % 7 * 10 + number), secret_hash=hash_secret(str(number)), created_at=created_at)
            for number, created_at in enumerate([LATER, NOW, LATER, NOW, NOW] * 8)
        ]
        for key in mine:
            acme.add_key(key)
        acme.add_key(replace(KEY, id="not-mine", organization="umbrella"))
        acme.revoke_key("acme", mine[3].id, LATER)
        mine[3] = replace(mine[3], revoked_at=LATER)
        assert acme.keys("acme") == sorted(mine, key=lambda key: key.created_at)  # among equals, as they were added
        assert acme.keys("nobody") == []

    def test_revoking_is_seen_at_once(self, acme: Ledger) -> None:
        acme.add_key(KEY)
        other = replace(KEY, id="key_2", secret_hash=hash_secret("s2"))
        acme.add_key(other)
        assert acme.key_by_hash(KEY.secret_hash) == KEY
        acme.revoke_key("acme", "key_1", LATER)
        assert acme.key_by_hash(KEY.secret_hash) == replace(KEY, revoked_at=LATER)
        assert acme.key_by_hash(other.secret_hash) == other

    def test_revoking_what_the_organization_does_not_have(self, acme: Ledger) -> None:
        acme.add_organization(replace(ACME, id="umbrella"))
        acme.add_key(KEY)
        for organization, key in [("acme", "key_2"), ("umbrella", "key_1"), ("nobody", "key_1")]:
            with pytest.raises(NotFound, match=f"'{organization}' has no key '{key}'"):
                acme.revoke_key(organization, key, NOW)
        assert acme.keys("acme") == [KEY]

    def test_revoking_twice_keeps_the_first_instant(self, acme: Ledger) -> None:
        acme.add_key(KEY)
        acme.revoke_key("acme", "key_1", NOW)
        with pytest.raises(NotFound, match=r"'key_1'.*revoked already"):
            acme.revoke_key("acme", "key_1", LATER)
        assert acme.key_by_hash(KEY.secret_hash) == replace(KEY, revoked_at=NOW)


class TestParallel:
    THREADS = 6

    def test_one_of_them_gets_the_organization_id(self, ledger: Ledger) -> None:
        for round_ in range(5):
            versions = [replace(ACME, id=f"org-{round_}", name=str(number)) for number in range(self.THREADS)]
            ends = in_parallel([partial(ledger.add_organization, each) for each in versions])
            assert ends == ["AlreadyExists"] * (self.THREADS - 1) + ["done"]

    def test_one_of_them_gets_the_key(self, acme: Ledger) -> None:
        for round_ in range(5):
            same = replace(KEY, secret_hash=hash_secret(str(round_)))
            versions = [replace(same, id=f"{round_}-{number}") for number in range(self.THREADS)]
            ends = in_parallel([partial(acme.add_key, each) for each in versions])
            assert ends == ["AlreadyExists"] * (self.THREADS - 1) + ["done"]

    def test_one_of_them_deletes_and_one_revokes(self, acme: Ledger) -> None:
        acme.add_key(KEY)
        one = ["NotFound"] * (self.THREADS - 1) + ["done"]
        assert in_parallel([lambda: acme.revoke_key("acme", "key_1", NOW)] * self.THREADS) == one
        assert in_parallel([lambda: acme.delete_organization("acme", NOW)] * self.THREADS) == one

    def test_subscriptions_are_put_whole_and_read_meanwhile(self, acme: Ledger) -> None:
        def whole(number: int) -> Subscription:
            return Subscription(str(number), NOW, None, {"posts": Decimal(number)})

        def put_and_read(number: int) -> None:
            for _ in range(20):
                acme.put_subscription("acme", whole(number))
                read = acme.subscription("acme")
                assert read is not None
                assert read == whole(int(read.plan or ""))

        ends = in_parallel([partial(put_and_read, number) for number in range(self.THREADS)])
        assert ends == ["done"] * self.THREADS


class TestReadsFromMemory:
    @pytest.mark.parametrize(
        ("method", "argument"),
        [("organization", "acme"), ("subscription", "acme"), ("key_by_hash", KEY.secret_hash), ("grants", "acme")],
    )
    def test_the_second_read_asks_no_database(self, acme: Ledger, method: str, argument: str) -> None:
        acme.add_key(KEY)
        acme.put_subscription("acme", MONTHLY)
        with recorded_statements() as first:
            value = getattr(acme, method)(argument)
        with recorded_statements() as second:
            assert getattr(acme, method)(argument) == value
        assert value is not None
        assert first != []
        assert second == []

    @pytest.mark.parametrize("change", ["delete_organization", "put_subscription", "revoke_key", "add_grant"])
    def test_a_read_that_began_before_a_change_is_not_remembered_after_it(self, acme: Ledger, change: str) -> None:
        acme.add_key(KEY)
        acme.put_subscription("acme", MONTHLY)
        read: Callable[[], object]
        write: Callable[[], None]
        new: object
        if change == "delete_organization":
            read, new = partial(acme.organization, "acme"), replace(ACME, deleted_at=LATER)
            write = partial(acme.delete_organization, "acme", LATER)
        elif change == "put_subscription":
            read, new = partial(acme.subscription, "acme"), replace(MONTHLY, plan="free")
            write = partial(acme.put_subscription, "acme", new)
        elif change == "add_grant":
            read, new = partial(acme.grants, "acme"), (GRANT,)
            write = partial(acme.add_grant, GRANT)
        else:
            read, new = partial(acme.key_by_hash, KEY.secret_hash), replace(KEY, revoked_at=LATER)
            write = partial(acme.revoke_key, "acme", "key_1", LATER)
        has_read, has_changed = threading.Event(), threading.Event()
        reader = threading.Thread(target=read)

        def linger(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            if threading.current_thread() is reader and statement.startswith("SELECT"):
                has_read.set()
                assert has_changed.wait(10)

        with listening("after_cursor_execute", linger):
            reader.start()
            assert has_read.wait(10)
            write()
            has_changed.set()
            reader.join()
        assert read() == new

    def test_remembers_no_more_than_its_size_and_drops_what_was_read_longest_ago(self) -> None:
        cache: ReadCache[str] = ReadCache(2)
        loaded: list[str] = []

        def load(key: str) -> str:
            loaded.append(key)
            return key.upper()

        for key in ["a", "b", "a", "c", "a", "b"]:
            assert cache.get(key, partial(load, key)) == key.upper()
        assert loaded == ["a", "b", "c", "b"]

    def test_absence_is_not_remembered_and_pushes_nothing_out(self) -> None:
        cache: ReadCache[str] = ReadCache(1)
        cache.get("real", lambda: "first")
        assert cache.get("guess", lambda: None) is None
        assert cache.get("guess", lambda: None) is None
        assert cache.get("real", lambda: "second") == "first"

    def test_a_change_that_failed_is_forgotten_too(self) -> None:
        cache: ReadCache[str] = ReadCache(1)
        cache.get("key", lambda: "old")
        with pytest.raises(OSError, match="commit"), cache.changing("key"):
            raise OSError("the answer to the commit was lost")
        assert cache.get("key", lambda: "new") == "new"


class TestDurability:
    def test_everything_is_there_after_opening_again(self, ledger_url: str) -> None:
        with closing(SqlLedger.open(ledger_url)) as first:
            first.add_organization(ACME)
            first.add_key(KEY)
            first.revoke_key("acme", "key_1", LATER)
            first.put_subscription("acme", MONTHLY)
            first.delete_organization("acme", LATER)
        with closing(SqlLedger.open(ledger_url)) as second:
            assert second.organization("acme") == replace(ACME, deleted_at=LATER)
            assert second.keys("acme") == [replace(KEY, revoked_at=LATER)]
            assert second.subscription("acme") == MONTHLY

    def test_what_was_answered_survives_kill(self, ledger_url: str) -> None:
        script = """
import os, signal, sys
from datetime import UTC, datetime
from meterhouse.domain.grant import Grant, Recurrence, Rollover
from meterhouse.domain.organization import Key, Organization
from meterhouse.storage.ledger.sql_ledger import SqlLedger
ledger, now = SqlLedger.open(sys.argv[1]), datetime(2026, 1, 1, tzinfo=UTC)
ledger.add_organization(Organization("killed", "Killed", "octolens", now))
ledger.add_key(Key("k", "killed", "mh_", "hash", frozenset(), None, now))
ledger.revoke_key("killed", "k", now)
os.kill(os.getpid(), signal.SIGKILL)
"""
        ended = subprocess.run([sys.executable, "-c", script, ledger_url], check=False, env=_environment())
        assert ended.returncode == -signal.SIGKILL
        with closing(SqlLedger.open(ledger_url)) as after:
            assert [organization.id for organization in after.organizations()] == ["killed"]
            key = after.key_by_hash("hash")
            assert key is not None
            assert key.revoked_at == datetime(2026, 1, 1, tzinfo=UTC)

    def test_a_change_is_flushed_to_disk_before_it_is_answered(self, acme: Ledger, ledger_url: str) -> None:
        question, answer = {
            "sqlite": ("PRAGMA synchronous", 2),  # FULL
            "postgresql": ("SHOW synchronous_commit", "on"),
        }[make_url(ledger_url).get_backend_name()]
        answers: list[object] = []

        def ask(_connection: Any, cursor: Any, statement: str, *_rest: Any) -> None:
            if statement.startswith("UPDATE"):
                answers.append(cursor.connection.execute(question).fetchone()[0])

        with listening("before_cursor_execute", ask):
            acme.delete_organization("acme", LATER)
        assert answers == [answer]


class TestMigration:
    def test_is_silent_and_safe_to_repeat(
        self, ledger_url: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.INFO)
        for number in range(3):
            with closing(SqlLedger.open(ledger_url)) as opened:
                opened.add_organization(replace(ACME, id=str(number)))
                assert len(opened.organizations()) == number + 1
        assert [record.getMessage() for record in caplog.records] == []
        assert capfd.readouterr() == ("", "")

    def test_can_be_asked_for_by_several_at_once(self, ledger_url: str) -> None:
        opened: list[SqlLedger] = []
        ends = in_parallel([lambda: opened.append(SqlLedger.open(ledger_url))] * 4)
        for each in opened:
            each.close()
        assert ends == ["done"] * 4

    def test_waits_until_a_new_file_is_free(self, tmp_path: Path) -> None:
        path = tmp_path / "new.sqlite"
        with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
            other.execute("CREATE TABLE unrelated (id)").close()
            other.execute("BEGIN IMMEDIATE").close()
            release = threading.Timer(0.3, lambda: other.execute("COMMIT").close())
            release.start()
            with closing(SqlLedger.open(f"sqlite:///{path}")) as opened:
                release.join()
                opened.add_organization(ACME)

    def test_makes_the_tables_that_the_code_uses(self, ledger: Ledger, ledger_url: str) -> None:
        ledger.ping()
        with raw(ledger_url) as connection:
            assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []

    def test_the_head_is_the_newest_revision_there_is(self) -> None:
        config = Config()
        config.set_main_option("script_location", "meterhouse.storage.ledger:migrations")
        assert ScriptDirectory.from_config(config).get_heads() == [HEAD]

    def test_refuses_a_newer_schema_and_leaves_it_alone(self, ledger_url: str) -> None:
        with closing(SqlLedger.open(ledger_url)) as opened:
            opened.add_organization(ACME)
        with raw(ledger_url) as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(FolderError, match=r"newer version of meterhouse.*9999.*upgrade meterhouse"):
            SqlLedger.open(ledger_url)
        with raw(ledger_url) as connection:
            assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
            assert connection.scalar(text("SELECT count(*) FROM organizations")) == 1

    def test_opening_what_is_up_to_date_imports_neither_alembic_nor_the_event_engine(self, ledger_url: str) -> None:
        SqlLedger.open(ledger_url).close()
        script = """
import sys
from meterhouse.storage.ledger.sql_ledger import SqlLedger
SqlLedger.open(sys.argv[1]).close()
print({"alembic", "chdb", "pyarrow", "meterhouse.storage.clickhouse"} & set(sys.modules))
"""
        command = [sys.executable, "-c", script, ledger_url]
        ended = subprocess.run(command, check=True, env=_environment(), capture_output=True, text=True)
        assert (ended.stdout, ended.stderr) == ("set()\n", "")

    def test_a_database_that_cannot_be_opened_is_named_without_its_password(self, ledger_url: str) -> None:
        nowhere = {
            "sqlite": make_url(ledger_url).set(database="/nowhere/ledger.sqlite"),
            "postgresql": make_url(ledger_url).set(database="nowhere", password="hunter2"),
        }[make_url(ledger_url).get_backend_name()]
        with pytest.raises(FolderError, match=r"nowhere.*check that it is there") as refusal:
            SqlLedger.open(nowhere.render_as_string(hide_password=False))
        assert "hunter2" not in str(refusal.value)


class TestFullDisk:
    def test_a_key_is_revoked_in_the_room_that_was_kept(
        self, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        reserved = ReservedSpace(tmp_path / "reserved")
        with closing(SqlLedger.open(ledger_url, reserved)) as ledger:
            ledger.add_organization(ACME)
            ledger.add_key(KEY)
            revoke, given = ledger._revoke_key, iter([False, True])

            def full(*arguments: Any) -> None:
                if not next(given):
                    raise InsufficientStorage("told to be full")
                revoke(*arguments)

            monkeypatch.setattr(ledger, "_revoke_key", full)
            reserved.take()
            ledger.revoke_key(KEY.organization, KEY.id, LATER)
            assert not (tmp_path / "reserved").exists()
            assert [key.revoked_at for key in ledger.keys(KEY.organization)] == [LATER]
            given = iter([False, False])
            with pytest.raises(InsufficientStorage):
                ledger.revoke_key(KEY.organization, KEY.id, LATER)


class TestConnections:
    def test_ping_raises_unless_the_database_answers(self, ledger_url: str, ledger: Ledger, tmp_path: Path) -> None:
        ledger.ping()
        ledger.close()
        if ledger_url.startswith("sqlite"):
            (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 1000)
        else:
            elsewhere = make_url(ledger_url).set(database="postgres")
            with psycopg.connect(elsewhere.set(drivername="postgresql").render_as_string(), autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {make_url(ledger_url).database}")
        with pytest.raises((Unavailable, StorageDamaged)):
            ledger.ping()
        ledger.close()

    def test_ping_raises_unless_the_tables_are_there(self, ledger_url: str) -> None:
        with closing(SqlLedger(ledger_url)) as never_migrated, pytest.raises(DBAPIError, match="organizations"):
            never_migrated.ping()

    def test_a_connection_the_server_dropped_is_made_again(self, ledger_url: str, acme: Ledger) -> None:
        if ledger_url.startswith("postgresql"):
            with raw(ledger_url) as connection:
                dropped = connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                )
                assert dropped.rowcount > 0
        assert acme.organizations() == [ACME]


def _environment() -> dict[str, str]:
    """For a Python that finds what this one finds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class TestChanges:
    def test_every_change_of_an_organization_is_numbered_and_counting_requests_is_none(self, ledger: Ledger) -> None:
        writes: list[Callable[[], object]] = [
            lambda: ledger.add_organization(ACME),
            lambda: ledger.put_subscription("acme", MONTHLY),
            lambda: ledger.add_key(KEY),
            lambda: ledger.add_grant(GRANT),
            lambda: ledger.void_grant("acme", "bought", NOW),
            lambda: ledger.revoke_key("acme", "key_1", NOW),
            lambda: ledger.delete_organization("acme", NOW),
        ]
        for write in writes:
            before = ledger.changes()
            write()
            assert before < ledger.changed("acme") <= ledger.changes()
        before = ledger.changes()
        ledger.count_request("acme", NOW, 5)
        ledger.secret("name", b"candidate")
        assert (ledger.changed("acme"), ledger.changes()) == (before, before)

    def test_a_write_that_fails_counts_too(self, acme: Ledger) -> None:
        before = acme.changes()
        with pytest.raises(AlreadyExists):
            acme.add_organization(ACME)
        assert acme.changed("acme") > before

    def test_another_organization_stays_unchanged(self, acme: Ledger) -> None:
        before = acme.changed("acme")
        acme.add_organization(replace(ACME, id="other"))
        assert acme.changed("acme") == before  # unless both have the same of 65,536 places
