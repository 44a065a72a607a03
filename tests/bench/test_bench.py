"""The benchmarks, tiny, so that they cannot rot. Nothing here is about how fast."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.__main__ import app
from bench.workload import CATALOGS, NOW, PRODUCTS, batches

from meterhouse.catalog_files import load_catalogs
from meterhouse.domain.event_parser import parse_event


def test_runs_and_measures_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "figures.json"
    sizes = ["--events", "1000", "--sent", "600", "--requests", "3", "--seconds", "0.5"]
    app([*sizes, "--output", str(output)], exit_on_error=False)
    figures = json.loads(output.read_text())
    names = [line["name"] for line in figures["lines"]]
    assert {name.split(",")[0] for name in names if name.startswith("summary ")} == {
        f"summary {product.namespace}" for product in PRODUCTS[:5]
    }
    assert all(line["figure"] > 0 for line in figures["lines"]), figures
    assert all(line["ratio"] > 0 for line in figures["lines"] if line.get("comparator")), figures
    assert {line["compared_with"] for line in figures["lines"] if "compared_with" in line} == {
        *("engine", "PostgreSQL", "HTTP", "bare HTTP", "at 100")
    }
    assert "targets met" in capsys.readouterr().out


def test_measures_one_phase_alone(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    sizes = ["--events", "600", "--requests", "3", "--seconds", "0.2", "--only", "http"]
    app([*sizes, "--output", str(output)], exit_on_error=False)
    lines = json.loads(output.read_text())["lines"]
    assert [line["name"].split(",")[0] for line in lines] == ["a constant over HTTP"] * 2


def test_the_workload_is_the_same_every_time() -> None:
    assert list(batches(PRODUCTS[0], 300, 100)) == list(batches(PRODUCTS[0], 300, 100))


def test_every_one_of_thirty_meters_counts_something() -> None:
    catalogs = load_catalogs(tuple(CATALOGS))
    assert sum(len(catalog.meters) for catalog in catalogs) == 30
    for product in PRODUCTS:
        meters = catalogs.get(product.namespace).meters_by_event_type
        lines = b"\n".join(batches(product, 1_000, 100)).split(b"\n")
        events = [parse_event(line, product.namespace, meters, NOW) for line in lines]
        assert {event.type for event in events} == set(meters)
        assert 0.3 < sum(event.organization == product.organization(0) for event in events) / len(events) < 0.4
