"""Sessions of the dashboard end in time."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meterhouse.contracts.contract import BASE62
from meterhouse.dashboard.sessions import IDLE, LIFETIME, Sessions
from meterhouse.domain.catalog import Catalog
from meterhouse.domain.operator_key import Role
from meterhouse.domain.organization import KeyFormat
from meterhouse.http.problems import Forbidden
from meterhouse.services.accounts import USAGE_READ, Accounts, KeyPolicy
from meterhouse.services.catalogs import BaseCatalog, Catalogs
from meterhouse.services.operators import THE_ADMIN_KEY, OperatorKeyDraft, Operators
from meterhouse.storage.ledger.sql_ledger import SqlLedger

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class MovableClock:
    """Stands where the test puts it."""

    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def accounts(tmp_path: Path, clock: MovableClock) -> Accounts:
    reading = frozenset({USAGE_READ})
    policy = KeyPolicy(KeyFormat("mh_", BASE62, 32), reading, reading, reading)
    catalogs = Catalogs([BaseCatalog(Catalog("acme", None, {}, {}), "")])
    ledger = SqlLedger.open(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    made = Accounts(ledger, catalogs, {"acme": policy}, clock, os.urandom)
    made.create_organization("initech", "Initech", "acme")
    return made


def operators_of(accounts: Accounts) -> Operators:
    return Operators(accounts.ledger, accounts.catalogs, accounts.clock, os.urandom)


@pytest.fixture
def sessions(accounts: Accounts) -> Sessions:
    return Sessions(b"a secret of thirty-two bytes ....", "hash", accounts, operators_of(accounts), os.urandom)


def test_a_session_idles_out(sessions: Sessions, clock: MovableClock) -> None:
    cookie = sessions.cookie(sessions.signed_in(THE_ADMIN_KEY))
    clock.moment = NOW + IDLE - SECOND
    session = sessions.read(cookie)
    assert sessions.viewer(session) is not None
    clock.moment = NOW + IDLE
    assert sessions.read(cookie) is None


def test_being_used_keeps_a_session_but_not_forever(sessions: Sessions, clock: MovableClock) -> None:
    cookie = sessions.cookie(sessions.signed_in(THE_ADMIN_KEY))
    while clock.moment + timedelta(hours=1) < NOW + LIFETIME:
        clock.moment += timedelta(hours=1)
        session = sessions.read(cookie)
        assert session is not None
        cookie = sessions.cookie(session)
    clock.moment = NOW + LIFETIME
    assert sessions.read(cookie) is None


def test_another_admin_key_ends_the_operators_sessions(sessions: Sessions, accounts: Accounts) -> None:
    session = sessions.signed_in(THE_ADMIN_KEY)
    assert sessions.viewer(session) is not None
    later = Sessions(b"a secret of thirty-two bytes ....", "another hash", accounts, operators_of(accounts), os.urandom)
    read = later.read(sessions.cookie(session))
    assert read == session
    assert later.viewer(read) is None


def test_a_key_that_expires_ends_its_sessions(sessions: Sessions, accounts: Accounts, clock: MovableClock) -> None:
    _, secret = accounts.create_key("initech", expires_at=NOW + timedelta(minutes=5))
    session = sessions.signed_in(accounts.resolve(secret, ["acme"]))
    assert sessions.viewer(session) is not None
    clock.moment = NOW + timedelta(minutes=5)
    assert sessions.viewer(session) is None


def test_nobody_is_a_viewer_before_signing_in(sessions: Sessions) -> None:
    session = sessions.anonymous()
    assert sessions.read(sessions.cookie(session)) == session
    assert sessions.viewer(session) is None
    with pytest.raises(Forbidden):
        sessions.check_form(session, sessions.form_token(sessions.anonymous()))
    assert sessions.check_form(session, sessions.form_token(session)) == session


def test_an_operators_session_ends_with_its_key_and_has_its_role(accounts: Accounts, sessions: Sessions) -> None:
    operators = operators_of(accounts)
    key, secret = operators.create(OperatorKeyDraft("ada", Role.READ), "a test")
    operator = operators.resolve(secret)
    assert operator is not None
    session = sessions.signed_in(operator)
    viewer = sessions.viewer(session)
    assert viewer is not None
    assert (viewer.is_operator, viewer.may(Role.READ), viewer.may(Role.OPERATE)) == (True, True, False)
    operators.revoke(key.id)
    assert sessions.viewer(session) is None


def test_who_only_ingests_has_nothing_to_look_at(accounts: Accounts, sessions: Sessions) -> None:
    _, secret = operators_of(accounts).create(OperatorKeyDraft("meter", Role.INGEST, "acme"), "a test")
    operator = operators_of(accounts).resolve(secret)
    assert operator is not None
    with pytest.raises(Forbidden, match="reads nothing"):
        sessions.signed_in(operator)
