"""The ledger's counters and secrets, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from meterhouse.domain.errors import NotFound
from meterhouse.domain.organization import Organization
from meterhouse.ports.ledger import Ledger
from meterhouse.services.rate_limits import RateLimits
from meterhouse.storage.ledger.sql_ledger import SqlLedger

HOUR = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture
def acme(ledger: Ledger) -> Ledger:
    """A ledger with two organizations."""
    for name in ("acme", "globex"):
        ledger.add_organization(Organization(name, name, "octolens", HOUR))
    return ledger


def test_counts_up_to_the_limit_and_then_no_further(acme: Ledger) -> None:
    assert acme.requests("acme", HOUR) == 0
    assert [acme.count_request("acme", HOUR, 3) for _ in range(5)] == [1, 2, 3, None, None]
    assert acme.requests("acme", HOUR) == 3
    assert acme.count_request("acme", HOUR, 4) == 4


def test_each_hour_and_each_organization_begins_anew(acme: Ledger) -> None:
    assert acme.count_request("acme", HOUR, 1) == 1
    assert acme.count_request("globex", HOUR, 1) == 1
    next_hour = HOUR + timedelta(hours=1)
    assert acme.requests("acme", next_hour) == 0
    assert acme.count_request("acme", next_hour, 1) == 1
    assert acme.count_request("acme", next_hour, 1) is None


def test_needs_its_organization(acme: Ledger) -> None:
    with pytest.raises(NotFound):
        acme.count_request("nobody", HOUR, 1)


def test_parallel_requests_are_counted_exactly(acme: Ledger) -> None:
    counts: list[int | None] = []

    def ask() -> None:
        counts.extend(acme.count_request("acme", HOUR, 25) for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(count for count in counts if count is not None) == list(range(1, 26))
    assert counts.count(None) == 15


def test_a_count_survives_kill(ledger_url: str, acme: Ledger) -> None:
    script = """
import os, signal, sys
from datetime import datetime
from meterhouse.storage.ledger.sql_ledger import SqlLedger
ledger = SqlLedger.open(sys.argv[1])
for _ in range(7):
    ledger.count_request("acme", datetime.fromisoformat(sys.argv[2]), 500)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.run([sys.executable, "-c", script, ledger_url, HOUR.isoformat()], check=False, env=environment)
    assert killed.returncode == -9
    assert acme.requests("acme", HOUR) == 7


def test_an_allowance_counts_down_to_the_next_full_hour(acme: Ledger) -> None:
    limits, now = RateLimits(acme), HOUR + timedelta(minutes=59, seconds=59, microseconds=999_999)
    assert limits.peek("acme", 2, now).remaining == 2
    first = limits.consume("acme", 2, now)
    assert first is not None
    assert (first.remaining, first.resets_at) == (1, HOUR + timedelta(hours=1))
    assert limits.consume("acme", 2, now) is not None
    assert limits.consume("acme", 2, now) is None
    assert limits.peek("acme", 1, now).remaining == 0
    assert limits.peek("acme", 2, now + timedelta(microseconds=1)).remaining == 2


def test_a_secret_is_kept_from_the_first_time_on(ledger_url: str, ledger: Ledger) -> None:
    assert ledger.secret("cursors", b"first") == b"first"
    assert ledger.secret("cursors", b"second") == b"first"
    assert ledger.secret("other", b"third") == b"third"
    with closing(SqlLedger.open(ledger_url)) as again:
        assert again.secret("cursors", b"fourth") == b"first"


def test_a_ledger_of_the_first_version_is_migrated_with_what_is_in_it(ledger_url: str) -> None:
    engine = create_engine(ledger_url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", "meterhouse.storage.ledger:migrations")
        command.upgrade(config, "0001")
        connection.execute(text("INSERT INTO organizations VALUES ('acme', 'Acme', 'octolens', 0, NULL)"))
    with closing(SqlLedger.open(ledger_url)) as ledger:
        assert [organization.id for organization in ledger.organizations()] == ["acme"]
        assert ledger.count_request("acme", HOUR, 1) == 1
    assert {"request_counts", "secrets"} <= set(inspect(engine).get_table_names())
    engine.dispose()
