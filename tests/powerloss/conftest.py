"""A disk for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from powerloss.disk import Disk, disk


@pytest.fixture
def some_disk(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path) as made:
        yield made
