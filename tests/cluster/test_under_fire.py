"""Nothing acknowledged is lost, nothing counts twice, and no answer misses what was acknowledged before, whatever dies.

By hand: `TEST_DEPTH=deep FIRE_ROUNDS=20 FIRE_SEED=7 pytest -s tests/cluster/test_under_fire.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from cluster.fire import play, shuffled
from support.clusters import postgresql
from support.depth import by_depth


@pytest.mark.thorough
def test_under_fire(tmp_path: Path) -> None:
    seed = int(os.environ.get("FIRE_SEED", "0")) or Random().randrange(1, 10**6)
    rounds = int(os.environ.get("FIRE_ROUNDS", "0")) or by_depth(quick=1, default=1, deep=5)
    faults = shuffled(Random(seed), rounds)
    print(f"FIRE_SEED={seed}")
    with postgresql() as database:
        tally = play(tmp_path, database, "fire", seed, faults)
    print(tally)
    assert not tally.missed, tally.missed[:5]
    assert tally.lost == tally.doubled == 0, tally
    assert tally.acknowledged > 0
    assert tally.read > 0
