"""Which node is to have which shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def assign(shards: int, nodes: Sequence[str], holders: Mapping[int, str]) -> dict[int, str]:
    """By shard, the node that is to have it: all nodes equally many, give or take one, and as few as possible move.

    `holders` are those that have a shard now. Every node that knows the same comes to the same. Empty without nodes.
    """
    if not nodes:
        return {}
    held = {node: [shard for shard in range(shards) if holders.get(shard) == node] for node in sorted(nodes)}
    least, more = divmod(shards, len(held))
    fullest_first = sorted(held, key=lambda node: (-len(held[node]), node))
    room = {node: least + (place < more) for place, node in enumerate(fullest_first)}
    assigned = {shard: node for node in held for shard in held[node][: room[node]]}
    counts = {node: min(len(held[node]), room[node]) for node in held}
    for shard in range(shards):
        if shard not in assigned:
            node = min((node for node in held if counts[node] < room[node]), key=lambda node: (counts[node], node))
            assigned[shard] = node
            counts[node] += 1
    return assigned
