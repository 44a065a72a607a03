"""The comparison of a node with a server of its own runs, and measures what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.cluster import compare
from bench.run import SIZES


@pytest.mark.thorough
def test_a_node_beside_a_server_of_its_own(tmp_path: Path) -> None:
    own, node = compare(tmp_path, 300)
    assert own.keys() == node.keys() == SIZES.keys()
    for took in (*own.values(), *node.values()):
        assert took.events_per_s > 0
        assert took.microseconds > 0
    assert all(took.wal_bytes > 0 for took in node.values())
