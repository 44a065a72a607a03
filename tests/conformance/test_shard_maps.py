"""Shards are kept in either kind of ledger."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from meterhouse.cli.client import client_of
from meterhouse.domain.errors import FolderError
from meterhouse.domain.shards import ShardMap
from meterhouse.offline import reshard, verify
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.wiring import open_meterhouse
from support.shards import SETTINGS, add_organizations, some_events


def test_a_folder_is_resharded_with_the_ledger_that_it_has(ledger_url: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = replace(SETTINGS, data=data, ledger_url=ledger_url)
    sent = [each.json().encode() for each in some_events(100) if each.namespace == "onepin"]
    with open_meterhouse(settings) as meterhouse, client_of(meterhouse) as client:
        add_organizations(client)
        assert client.send_batch("onepin", sent)["ingested"] == len(sent)
    assert reshard(data, settings, 3).events == len(sent)
    with closing(SqlLedger.open(ledger_url)) as ledger:
        assert ledger.shard_map() == ShardMap.even(3)
    assert verify(data, settings) == []
    with pytest.raises(FolderError, match="has 3 shards"), open_meterhouse(settings):
        pass
    with open_meterhouse(settings, engine=False) as meterhouse, client_of(meterhouse) as client:
        assert len(client.call("GET", "/v1/organizations")) == 8
    assert reshard(data, settings, 3).events == 0
    assert reshard(data, settings, 1).events == len(sent)
    with open_meterhouse(settings) as meterhouse, client_of(meterhouse) as client:
        assert client.send_batch("onepin", sent)["duplicates"] == len(sent)
    assert not (data / "ledger.sqlite").exists()
