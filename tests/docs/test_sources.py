"""The page about sources, followed with a real PostgreSQL, and a Kafka in this process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import Producer
from walkthrough import DOCS, walk

from support.clusters import postgresql

PAGE = DOCS / "how-to" / "read-from-postgresql-and-kafka.md"


@pytest.mark.thorough
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    [broker] = kafka.list_topics(timeout=30).brokers.values()
    page = tmp_path / PAGE.name
    page.write_text(PAGE.read_text("utf-8").replace("localhost:9092", f"{broker.host}:{broker.port}"), "utf-8")
    with postgresql() as database:
        monkeypatch.setenv("PGHOST", str(database.server.pgdata))
        monkeypatch.setenv("PGUSER", "postgres")
        monkeypatch.setenv("PATH", f"{database.server.bin_path}{os.pathsep}{os.environ['PATH']}")
        assert walk(page, tmp_path) > 9
