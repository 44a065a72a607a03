"""Every sentence of `ports.OperatorKeys` and `ports.AuditLog`, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from meterhouse.domain.audit import Act, AuditQuery
from meterhouse.domain.errors import NotFound
from meterhouse.domain.grant import Grant
from meterhouse.domain.operator_key import OperatorKey, Role
from meterhouse.domain.organization import Organization
from meterhouse.ports.audit_log import acting
from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger.shared_ledger import SharedLedger
from meterhouse.storage.ledger.sql_ledger import SqlLedger

NOW = datetime(2026, 1, 31, 9, 30, 0, 123457, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = OperatorKey("k1", "Zoë 株式会社", Role.OPERATE, None, "mh_op_abc", "hash-1", NOW, "the admin key")
ACT = Act(NOW, "ada", "192.0.2.1", "request-1", "createGrant")
ACME = Organization("acme", "Acme", "shop", NOW)
ALL = AuditQuery(100)


@contextmanager
def answering(act: Act) -> Iterator[None]:
    token = acting.set(act)
    try:
        yield
    finally:
        acting.reset(token)


class TestOperatorKeys:
    def test_a_key_comes_back_as_it_was_added(self, ledger: Ledger, ledger_url: str) -> None:
        other = OperatorKey("k2", "meter", Role.INGEST, "shop", "p", "hash-2", NOW + HOUR, "ada", NOW + 2 * HOUR, NOW)
        for key in (other, ADA):
            ledger.add_operator_key(key)
        with closing(SqlLedger.open(ledger_url)) as again:
            assert again.operator_keys() == [ADA, other]
            assert again.operator_key_by_hash("hash-2") == other
            assert again.operator_key_by_hash("hash-3") is None

    def test_it_is_revoked_once(self, ledger: Ledger) -> None:
        ledger.add_operator_key(ADA)
        assert ledger.operator_key_by_hash("hash-1") == ADA
        ledger.revoke_operator_key("k1", NOW)
        assert ledger.operator_key_by_hash("hash-1") == replace(ADA, revoked_at=NOW)
        for key in ("k1", "k2"):
            with pytest.raises(NotFound, match="revoked already"):
                ledger.revoke_operator_key(key, NOW + HOUR)

    def test_one_takes_the_place_of_another_which_never_lasts_longer_for_it(self, ledger: Ledger) -> None:
        ledger.add_operator_key(ADA)
        second, third = (replace(ADA, id=f"k{n}", secret_hash=f"hash-{n}") for n in (2, 3))
        ledger.replace_operator_key("k1", second, NOW + HOUR)
        assert ledger.operator_key_by_hash("hash-1") == replace(ADA, expires_at=NOW + HOUR)
        ledger.replace_operator_key("k1", third, NOW + 2 * HOUR)
        assert ledger.operator_key_by_hash("hash-1") == replace(ADA, expires_at=NOW + HOUR)
        assert len(ledger.operator_keys()) == 3
        with pytest.raises(NotFound):
            ledger.replace_operator_key("none", replace(ADA, id="k4", secret_hash="hash-4"), NOW)
        assert len(ledger.operator_keys()) == 3

    def test_another_process_sees_its_changes_at_once(self, ledger: Ledger, ledger_url: str) -> None:
        with closing(SharedLedger.open(ledger_url)) as other:
            assert other.operator_key_by_hash("hash-1") is None
            ledger.add_operator_key(ADA)
            assert other.operator_key_by_hash("hash-1") == ADA
            ledger.revoke_operator_key("k1", NOW)
            assert other.operator_keys() == [replace(ADA, revoked_at=NOW)]


class TestAuditLog:
    def test_a_change_is_there_with_its_request_and_what_the_server_does_by_itself_is_not(
        self, ledger: Ledger, ledger_url: str
    ) -> None:
        ledger.add_organization(ACME)
        with answering(ACT):
            ledger.add_grant(Grant("g", "acme", "tokens", Decimal(1), 0, NOW, NOW))
        ledger.void_grant("acme", "g", NOW)
        with closing(SqlLedger.open(ledger_url)) as again:
            [entry] = again.audit_entries(ALL)
        told = (entry.at, entry.actor, entry.address, entry.request_id, entry.action)
        assert told == (ACT.at, ACT.actor, ACT.address, ACT.request_id, ACT.action)
        assert (entry.organization, entry.namespace) == ("acme", None)
        assert entry.about == {"grant": "g", "meter": "tokens"}

    def test_what_fails_leaves_nothing(self, ledger: Ledger) -> None:
        with answering(ACT):
            with pytest.raises(NotFound):
                ledger.add_grant(Grant("g", "nobody", "tokens", Decimal(1), 0, NOW, NOW))
            with pytest.raises(NotFound):
                ledger.void_grant("acme", "g", NOW)
            with pytest.raises(NotFound):
                ledger.delete_organization("acme", NOW)
        assert ledger.audit_entries(ALL) == []

    def test_what_is_changed_elsewhere_is_recorded_by_name(self, ledger: Ledger) -> None:
        ledger.record_act(organization="acme", correction="c")
        with answering(ACT):
            ledger.record_act(namespace="shop", organization="acme", correction="c")
        [entry] = ledger.audit_entries(ALL)
        assert (entry.namespace, entry.organization, entry.about) == ("shop", "acme", {"correction": "c"})

    def test_it_is_read_by_what_it_is_about_the_newest_first(self, ledger: Ledger) -> None:
        for number in range(6):
            actor, about = f"actor-{number % 2}", f"org-{number % 3}"
            with answering(replace(ACT, actor=actor, action=f"action-{number}")):
                ledger.record_act(organization=about)
        assert [each.action for each in ledger.audit_entries(AuditQuery(3))] == ["action-5", "action-4", "action-3"]
        newest = ledger.audit_entries(AuditQuery(1))[0].number
        assert [each.action for each in ledger.audit_entries(AuditQuery(2, before=newest))] == ["action-4", "action-3"]
        assert [each.action for each in ledger.audit_entries(AuditQuery(9, actor="actor-1"))] == [
            *("action-5", "action-3", "action-1")
        ]
        [entry] = ledger.audit_entries(AuditQuery(9, actor="actor-1", organization="org-2"))
        assert entry.action == "action-5"
        assert ledger.audit_entries(AuditQuery(9, action="action-1", namespace="shop")) == []

    def test_a_copy_has_it_and_goes_on_with_its_numbers(self, ledger: Ledger, ledger_url: str, tmp_path: Path) -> None:
        assert isinstance(ledger, SqlLedger)
        with closing(SqlLedger.open(f"sqlite:///{tmp_path / 'source.sqlite'}")) as source, answering(ACT):
            source.add_organization(ACME)
            source.record_act(organization="acme")
            for _ in range(1 if ledger_url.startswith("sqlite") else 2):  # a move into a cluster may be repeated
                ledger.replace(source.rows(), lambda _: None)
            copied = ledger.audit_entries(ALL)
            assert copied == source.audit_entries(ALL)
            ledger.record_act(organization="acme", correction="c")
        assert [each.number for each in ledger.audit_entries(ALL)] == [3, 2, 1]

    @pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log"])
    def test_the_database_refuses_to_change_it(self, ledger: Ledger, ledger_url: str, statement: str) -> None:
        with answering(ACT):
            ledger.record_act()
        engine = create_engine(ledger_url)
        with pytest.raises(DBAPIError, match="the audit log is only added to"), engine.begin() as connection:
            connection.execute(text(statement))
        engine.dispose()
        assert len(ledger.audit_entries(ALL)) == 1
