"""Every sentence of `ports.CatalogVersions`, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from meterhouse.domain.catalog_version import CatalogFormat, CatalogVersion
from meterhouse.domain.errors import AlreadyExists
from meterhouse.domain.grant import Grant
from meterhouse.domain.meter import Aggregation, EarlierMeaning, Meter
from meterhouse.domain.organization import Organization
from meterhouse.domain.plan import Addon, Subscription
from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger.shared_ledger import SharedLedger
from meterhouse.storage.ledger.sql_ledger import SqlLedger

NOW = datetime(2026, 1, 31, 9, 30, 0, 123457, tzinfo=UTC)
FIRST = CatalogVersion("shop", 1, CatalogFormat.TOML, 'namespace = "shop" # ünï', NOW, "ada")
MEANT = Meter("tokens", "ai", Aggregation.SUM, values=("n",), where=(("status", ("ok", "fine")),))
SUBSCRIPTION = Subscription("pro", NOW, None, {"tokens": Decimal("0.10")}, {"calls": Addon(Decimal(1))})


def test_a_version_comes_back_as_it_was_added(ledger: Ledger, ledger_url: str) -> None:
    second = replace(
        FIRST,
        number=2,
        format=CatalogFormat.JSON,
        reason="why not",
        restored=1,
        earlier={"tokens": (EarlierMeaning(NOW, MEANT), EarlierMeaning(NOW + timedelta(days=1), MEANT))},
    )
    for version in (FIRST, second):
        ledger.add_catalog_version(version)
    with closing(SqlLedger.open(ledger_url)) as again:
        assert [again.catalog_version("shop", number) for number in (1, 2, 3)] == [FIRST, second, None]
        assert again.catalog_version("other", 1) is None
        assert again.newest_catalogs() == {"shop": 2}


def test_versions_are_listed_the_newest_first(ledger: Ledger) -> None:
    for number in range(1, 6):
        ledger.add_catalog_version(replace(FIRST, number=number))
    ledger.add_catalog_version(replace(FIRST, namespace="other"))
    assert [each.number for each in ledger.catalog_versions("shop", 6, 10)] == [5, 4, 3, 2, 1]
    assert [each.number for each in ledger.catalog_versions("shop", 4, 2)] == [3, 2]
    assert ledger.newest_catalogs() == {"shop": 5, "other": 1}


def test_a_number_is_taken_once(ledger: Ledger) -> None:
    ledger.add_catalog_version(FIRST)
    with pytest.raises(AlreadyExists, match="changed at the same moment"):
        ledger.add_catalog_version(replace(FIRST, text="another"))
    assert ledger.catalog_version("shop", 1) == FIRST


def test_the_same_mapping_until_something_changes_and_then_every_answer_is_older(ledger: Ledger) -> None:
    before, change = ledger.newest_catalogs(), ledger.changed("acme")
    assert ledger.newest_catalogs() is before
    ledger.add_catalog_version(FIRST)
    assert ledger.newest_catalogs() == {"shop": 1}
    assert ledger.changed("acme") > change
    assert ledger.changed("anybody else") > change


def test_another_process_sees_it_at_once(ledger: Ledger, ledger_url: str) -> None:
    with closing(SharedLedger.open(ledger_url)) as other:
        assert other.newest_catalogs() == {}
        before = other.changed("acme")
        ledger.add_catalog_version(FIRST)
        assert other.newest_catalogs() == {"shop": 1}
        assert other.changed("acme") > before


def test_who_is_under_a_catalog(ledger: Ledger) -> None:
    for name, namespace in (("a", "shop"), ("b", "shop"), ("gone", "shop"), ("other", "else")):
        ledger.add_organization(Organization(name, name, namespace, NOW))
        ledger.add_grant(Grant("g", name, "tokens", Decimal(1), 0, NOW, NOW))
        ledger.add_grant(Grant("v", name, "calls", Decimal(1), 0, NOW, NOW))
        ledger.void_grant(name, "v", NOW)
    for name in ("a", "gone", "other"):
        ledger.put_subscription(name, SUBSCRIPTION)
    ledger.delete_organization("gone", NOW)
    assert ledger.subscriptions_in("shop") == {"a": SUBSCRIPTION}
    assert ledger.granted_in("shop") == {"tokens": frozenset({"a", "b"})}
