"""The comparison of checks and reservations runs."""

from __future__ import annotations

from pathlib import Path

from bench.quota import measured


def test_checks_and_reservations_are_measured(tmp_path: Path) -> None:
    for load in measured(tmp_path, 64):
        assert load.answered == 64
        assert load.failures == 0
