"""The power goes at any moment, and what was answered is there. `make powerloss ROUNDS=50` for longer."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import httpx
import pytest

from crash.harness import Crashes
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from powerloss.disk import Disk
from support.depth import by_depth
from support.server import Server, serve

ROUNDS = int(os.environ.get("POWERLOSS_ROUNDS", by_depth(2, 4, 50)))
SEED = int(os.environ.get("POWERLOSS_SEED", "1"))


@dataclass
class PowerLosses(Crashes):
    """Crashes that leave only what was synced."""

    disk: Disk | None = None

    def end(self, server: Server) -> None:
        assert self.disk is not None
        self.disk.lose_power(server)

    def some_time_s(self, random: Random) -> float:
        return random.uniform(0.5, 5)

    def accompany(self, server: Server) -> None:
        """Each question about events has what waits stored as a part of its own, so that parts are merged all the time:
        what is lost is what a merge, not an insert, has written."""
        with suppress(httpx.TransportError):
            while server.admin("GET", "/metrics").status_code == 200:
                pass


def forget_merged_parts_at_once(data: Path) -> None:
    """The engine keeps what it has merged for half a minute, about as long as the kernel keeps in memory what it was
    merged into: which of the two goes first would be chance."""
    with serve(data) as server:
        assert server.stop() == 0
    engine = ChdbEngine(data / "events")
    for table in ("events", "rollups"):
        engine.execute(f"ALTER TABLE {table} MODIFY SETTING cleanup_delay_period = 0, max_cleanup_delay_period = 0")
    engine.close()


@pytest.mark.thorough
def test_without_power_under_load_it_answers_for_what_it_acknowledged_and_nothing_else(some_disk: Disk) -> None:
    losses = PowerLosses(some_disk.mounted / "data", SEED, disk=some_disk)
    forget_merged_parts_at_once(losses.folder)
    try:
        losses.play(ROUNDS)
    except BaseException as failure:
        failure.add_note(
            f"{losses.tally}\nagain: POWERLOSS_SEED={SEED} POWERLOSS_ROUNDS={ROUNDS} pytest tests/powerloss"
        )
        raise
    losses.take_inventory()
    print(f"\nPOWERLOSS_SEED={SEED}: {losses.tally}")
    assert losses.tally.faultless, str(losses.tally)
    assert losses.tally.kills == ROUNDS
