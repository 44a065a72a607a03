"""The benchmarks, tiny, so that they cannot rot. Nothing here is about how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.__main__ import app
from bench.workload import PRODUCTS, batches

from server import free_port


def test_runs_and_measures_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "figures.json"
    app(
        ["--events", "1000", "--requests", "3", "--port", str(free_port()), "--output", str(output)],
        exit_on_error=False,
    )
    figures = json.loads(output.read_text())
    assert set(figures["summary_ms"]) == {product.namespace for product in PRODUCTS}
    assert all(value for value in figures.values())
    assert "events/s" in capsys.readouterr().out


def test_the_workload_is_the_same_every_time() -> None:
    assert list(batches(PRODUCTS[0], 300, 100)) == list(batches(PRODUCTS[0], 300, 100))
