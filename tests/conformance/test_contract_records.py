"""Every sentence of `ports.ContractRecords`, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meterhouse.domain.contract_record import ContractRecord, RecordPlace
from meterhouse.domain.errors import AlreadyExists, NotFound
from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger.sql_ledger import SqlLedger

NOW = datetime(2026, 1, 31, 9, 30, 0, 123457, tzinfo=UTC)
PLACE = RecordPlace("openmeter", "shop", "customer")
FIRST = ContractRecord("openmeter", "shop", "customer", "01", "acme", {"name": "Ünï", "n": [1, None, "0.10"]}, NOW, NOW)


def test_a_record_comes_back_as_it_was_added(ledger: Ledger, ledger_url: str) -> None:
    second = replace(FIRST, id="02", key=None, deleted_at=NOW + timedelta(days=1), parent="p")
    ledger.add_record(FIRST)
    ledger.add_record(second)
    with closing(SqlLedger.open(ledger_url)) as again:
        assert again.record(PLACE, "01") == FIRST
        assert again.record(PLACE, "02") == second
        assert again.record(PLACE, "03") is None
        assert again.records(PLACE) == [FIRST, second]
        assert again.record_by_key(PLACE, "acme") == FIRST
        assert again.record_by_key(PLACE, "other") is None
        assert again.records_of(PLACE, "p") == [second]


@pytest.mark.parametrize("other", [{"contract": "stripe"}, {"namespace": "else"}, {"kind": "subject"}])
def test_places_do_not_see_each_other(ledger: Ledger, other: dict[str, str]) -> None:
    elsewhere = replace(FIRST, parent="p", **other)  # type: ignore[arg-type]
    ledger.add_record(FIRST)
    ledger.add_record(elsewhere)
    assert ledger.records(PLACE) == [FIRST]
    assert ledger.records(elsewhere.place) == [elsewhere]
    assert ledger.records_of(PLACE, "p") == []
    assert ledger.record_by_key(PLACE, "acme") == FIRST
    ledger.remove_records(elsewhere.place, NOW + timedelta(seconds=1))
    assert ledger.records(elsewhere.place) == []
    assert ledger.records(PLACE) == [FIRST]


def test_a_key_and_an_id_are_taken_once(ledger: Ledger) -> None:
    ledger.add_record(FIRST)
    for taken in (replace(FIRST, id="02"), replace(FIRST, key="other")):
        with pytest.raises(AlreadyExists, match="customer"):
            ledger.add_record(taken)
    for number in range(3):  # none is no key
        ledger.add_record(replace(FIRST, id=f"1{number}", key=None))
    other = replace(FIRST, id="02", key="other")
    ledger.add_record(other)
    with pytest.raises(AlreadyExists):
        ledger.replace_record(replace(other, key="acme"))
    ledger.replace_record(replace(FIRST, key=None))
    ledger.replace_record(replace(other, key="acme"))
    found = ledger.record_by_key(PLACE, "acme")
    assert found is not None
    assert found.id == "02"


def test_it_is_replaced_whole(ledger: Ledger) -> None:
    ledger.add_record(FIRST)
    changed = replace(FIRST, key="b", body={}, updated_at=NOW + timedelta(seconds=1), parent="p")
    ledger.replace_record(changed)
    assert ledger.records(PLACE) == [changed]
    with pytest.raises(NotFound):
        ledger.replace_record(replace(FIRST, id="02"))


def test_a_key_is_found_in_any_namespace(ledger: Ledger) -> None:
    elsewhere = replace(FIRST, namespace="else")
    for each in (FIRST, elsewhere, replace(FIRST, contract="stripe"), replace(FIRST, kind="subject")):
        ledger.add_record(each)
    assert {each.namespace for each in ledger.records_with_key("openmeter", "customer", "acme")} == {"shop", "else"}


def test_old_ones_are_removed(ledger: Ledger) -> None:
    later = replace(FIRST, id="02", key="b", created_at=NOW + timedelta(microseconds=1))
    ledger.add_record(FIRST)
    ledger.add_record(later)
    ledger.remove_records(PLACE, NOW + timedelta(microseconds=1))
    assert ledger.records(PLACE) == [later]
