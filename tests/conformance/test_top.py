"""The groups that have most, taken in the engine: the same as by looking at all of them."""

from __future__ import annotations

import itertools
import random
from datetime import timedelta
from pathlib import Path

import pytest

from conformance.test_rollups import METERS, MINUTE, NOON, NOW, STRANGER, correction, event
from meterhouse.domain.event import Event
from meterhouse.domain.meter import MeterQuery
from meterhouse.storage.clickhouse.read import single_events
from support.depth import by_depth
from support.reference import ReferenceStore
from support.stores import open_store

COUNT, SUM, BOTH, ANY = METERS["ns"][:4]
[SOME] = [meter for meter in METERS["ns"] if meter.slug == "some"]
[THEN] = [meter for meter in METERS["ns"] if meter.slug == "now SUM"]
ASKED = [
    (SUM, COUNT),
    (COUNT, SUM),
    (BOTH, SUM, COUNT),
    (BOTH,),
    (COUNT,),
    (ANY, COUNT),
    (STRANGER, SUM),
    (SOME, SUM),
    (THEN, COUNT),
]
EDGES = [(None, None), (NOON + MINUTE, None), (None, NOON + 100 * MINUTE), (NOON, NOON + 60 * MINUTE), (NOON, NOON)]
NUMBERS = [
    0,
    1,
    -1,
    "0.1",
    "0.2",
    -7,
    "99999999999999999999999999999999999999",
    "99999999999999999999999999999999999998",
]


@pytest.mark.parametrize("few", [0, pytest.param(3, marks=pytest.mark.thorough), 1_000])
@pytest.mark.parametrize("seed", range(by_depth(1, 2, 20)))
def test_the_top_is_that_of_all_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, few: int) -> None:
    monkeypatch.setattr(single_events, "_FEW_GROUPS", few)  # up to which they are ranked in memory
    rng, numbers = random.Random(seed), itertools.count()
    store, reference = open_store(tmp_path, METERS), ReferenceStore()

    def happening() -> Event:
        data = {name: rng.choice(NUMBERS) for name in ("n", "m") if rng.random() < 0.8}
        data |= {"group": rng.choice(["a", "b", "B", "é", "it's", "ﬀ", "😀", 1.5])} if rng.random() < 0.9 else {}
        kind = rng.choice(["thing", "thing", "other"])
        return event(
            f"e{next(numbers)}", NOON + rng.randrange(200) * MINUTE + timedelta(seconds=1), data, event_type=kind
        )

    sent: list[Event] = []
    try:
        for _ in range(5):
            batch = [happening() for _ in range(rng.randrange(1, 25))]
            sent += batch
            batch += [correction(each, void=rng.random() < 0.7) for each in sent if rng.random() < 0.04]
            assert store.append(batch, NOW) == reference.append(batch, NOW)
            for meters, edges in rng.sample([*itertools.product(ASKED, EDGES)], 8):
                commit = rng.choice([reference.latest_commit(), max(0, reference.latest_commit() - 1)])
                query = MeterQuery("ns", "acme", meters, edges, commit, ("group",))
                count = rng.choice([1, 3, 100])
                assert store.top(query, count) == reference.top(query, count), (query, count)
            if rng.random() < 0.6:
                while store.materialize(store.latest_commit()):
                    pass
            elif rng.random() < 0.5:
                store.close()
                store = open_store(tmp_path, METERS)
    finally:
        store.close()


def test_nobody_has_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path, METERS)
    try:
        assert store.top(MeterQuery("ns", "nobody", (SUM, COUNT), (None, None), 0, ("group",)), 5) == []
    finally:
        store.close()
