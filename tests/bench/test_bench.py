"""The benchmarks, tiny, so that they cannot rot. Nothing here is about how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import app
from bench.workload import CATALOGS, NOW, PRODUCTS, batches

from meterhouse.catalog_files import load_catalogs
from meterhouse.domain.event_parser import parse_event


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure is judged here: whether a server has come to rest is looked at more often."""
    monkeypatch.setattr("bench.servers._LOOKS_EVERY_S", 0.1)


@pytest.mark.thorough
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


@pytest.mark.thorough
def test_measures_several_shards_beside_one(tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    sizes = ["--events", "600", "--requests", "3", "--seconds", "0.2", "--shards", "2", "--turns", "1"]
    app([*sizes, "--output", str(output)], exit_on_error=False)
    lines = json.loads(output.read_text())["lines"]
    rates = [line for line in lines if line["unit"] != "µs"]
    assert [line["name"] for line in rates] == [
        f"{what}, turn 1"
        for what in ("ingest by the thousand", "ingest by the hundred", "ingest one by one", "summaries, uncached")
    ]
    assert all(line["ratio"] > 0 for line in rates), lines
    assert [line["unit"] for line in lines if line["name"] == "  to hand on a request"] == ["µs"] * 4


def test_tells_what_the_journal_is_written() -> None:
    command = [sys.executable, "-m", "bench.journal_bytes", "120", "20"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
    assert 100 < float(told) < 2_000


@pytest.mark.thorough
def test_tells_what_many_small_organizations_take() -> None:
    command = [sys.executable, "-m", "bench.sparse", "120", "1"]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
    assert float(told) > 0


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
