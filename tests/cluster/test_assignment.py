"""Which node is to have which shard."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from meterhouse.cluster.assignment import assign

NODES = st.sets(st.sampled_from("abcdefgh"), min_size=1).map(sorted)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[int, list[str], dict[int, str]]:
    """Shards, nodes, and who has which shard; some holders are gone, some shards have none."""
    shards, nodes = draw(st.integers(1, 64)), draw(NODES)
    holders = draw(st.dictionaries(st.integers(0, shards - 1), st.sampled_from("abcdefgh")))
    return shards, nodes, holders


@given(clusters())
def test_every_shard_has_a_node_and_all_nodes_equally_many(cluster: tuple[int, list[str], dict[int, str]]) -> None:
    shards, nodes, holders = cluster
    assigned = assign(shards, nodes, holders)
    assert sorted(assigned) == [*range(shards)]
    counts = Counter(assigned.values())
    assert {*counts} <= {*nodes}
    assert max(counts[node] for node in nodes) - min(counts[node] for node in nodes) <= 1


@given(clusters())
def test_no_more_move_than_must(cluster: tuple[int, list[str], dict[int, str]]) -> None:
    shards, nodes, holders = cluster
    assigned = assign(shards, nodes, holders)
    held = Counter(node for node in holders.values() if node in nodes)
    moved = sum(assigned[shard] != node for shard, node in holders.items() if node in nodes)
    least, more = divmod(shards, len(nodes))
    most = sorted(held.values(), reverse=True)
    surplus = sum(max(0, count - least - (place < more)) for place, count in enumerate(most))
    assert moved == surplus


@given(clusters())
def test_nodes_that_know_the_same_come_to_the_same(cluster: tuple[int, list[str], dict[int, str]]) -> None:
    shards, nodes, holders = cluster
    assigned = assign(shards, nodes, holders)
    assert assign(shards, [*reversed(nodes)], dict(reversed(holders.items()))) == assigned
    assert assign(shards, nodes, assigned) == assigned  # and stays there


def test_without_nodes_nobody_has_anything() -> None:
    assert assign(4, [], {0: "a"}) == {}
