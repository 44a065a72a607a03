"""The nodes of a cluster, as its pages show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Members:
    """Who is there, and who has what."""

    nodes: Mapping[str, int]
    """By name, how many milliseconds the node's clock was ahead of the database's when it joined."""
    holders: Mapping[int, str]
    """By shard, the node that has it."""
