"""Which shard an organization lives in. Its events are there: another hash would lose them."""

from __future__ import annotations

from collections import Counter

import pytest

from meterhouse.domain.shards import VIRTUAL_SHARDS, ShardMap, virtual_shard


@pytest.mark.parametrize(
    ("namespace", "organization", "virtual"),
    [
        ("unsiloed", "acme", 56),
        ("unsiloed", "emca", 19),
        ("autoposting", "acme", 62),
        ("ns", "1", 0),
        ("ns", "2", 47),
        ("ns", "it's", 51),
        ("ns", "Zürich", 32),
        ("ns", "🪙", 32),
        ("ns", "0190a6c2-5d2e-7b7a-9c1f-2f5f3b0d4e11", 21),
        ("ns", "x" * 300, 43),
        ("ns", "\ud800", 46),
        ("ns", "", 50),
        ("", "acme", 63),
    ],
)
def test_the_hash_never_changes(namespace: str, organization: str, virtual: int) -> None:
    assert virtual_shard(namespace, organization) == virtual


@pytest.mark.parametrize("count", range(1, VIRTUAL_SHARDS + 1))
def test_an_even_map_has_every_shard_about_as_often(count: int) -> None:
    shards = ShardMap.even(count)
    assert (len(shards.shards), shards.count) == (VIRTUAL_SHARDS, count)
    times = Counter(shards.shards)
    assert sorted(times) == [*range(count)]
    assert max(times.values()) - min(times.values()) <= 1


def test_a_map_decides_where_a_virtual_shard_is() -> None:
    moved = list(ShardMap.even(2).shards)
    moved[virtual_shard("ns", "acme")] = 2
    assert ShardMap(tuple(moved)).count == 3
    assert ShardMap(tuple(moved)).shard_of("ns", "acme") == 2
    assert ShardMap(tuple(moved)).shard_of("ns", "1") == ShardMap.even(2).shard_of("ns", "1") == 0


@pytest.mark.parametrize("count", [1, 2, 3, 4, 8, VIRTUAL_SHARDS])
@pytest.mark.parametrize("name", ["{}", "org-{}", "{:08x}-0000-4000-8000-000000000000"])
def test_organizations_are_spread_over_the_shards(count: int, name: str) -> None:
    shards = ShardMap.even(count)
    found = Counter(shards.shard_of("ns", name.format(number)) for number in range(10_000))
    for shard in range(count):
        expected = 10_000 * shards.shards.count(shard) / VIRTUAL_SHARDS
        assert abs(found[shard] - expected) < 5 * expected**0.5, "five standard deviations"
