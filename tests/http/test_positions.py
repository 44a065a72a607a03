"""Positions name the shard that an answer is of; those that are waited for may name others as well."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.twins import ADMIN_KEY, Twins, twins_at

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def twins(tmp_path: Path) -> Iterator[Twins]:
    with twins_at(tmp_path, NOW, shard=3) as made:
        yield made


def test_every_position_is_of_the_shard_that_answers(twins: Twins) -> None:
    organization = twins.organization("unsiloed", NOW)
    sent = {"specversion": "1.0", "id": "1", "source": "t", "type": "credit.used", "subject": organization}
    report = twins.plain.post("/v1/events?namespace=unsiloed", json=[sent | {"data": {"amount": 1}}], headers=ADMIN)
    usage = twins.plain.get(f"/v1/organizations/{organization}/usage", headers=ADMIN)
    query = f"/v1/query?organization={organization}&meter=credits&range=24h"
    found = twins.plain.get(query, headers=ADMIN)
    assert [each.json()["position"] for each in (report, usage, found)] == ["3-1"] * 3
    for position, status in (("3-1", 200), ("0-99.3-1", 200), ("0-99", 200), ("3-2", 503), ("3-1.0-1", 400)):
        assert twins.plain.get(f"{query}&at_least={position}", headers=ADMIN).status_code == status, position
