"""House rules that a linter does not know."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
TEXTS = [
    path
    for pattern in ("*.md", "*.toml", "*.lock", "Makefile", ".ci/run", "docs/**/*.md", "src/**/*.py", "src/**/*.toml")
    for path in ROOT.glob(pattern)
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_float_touches_a_quantity(path: Path) -> None:
    """No `float(…)` and no float literal where quantities live; demo data and HTTP timings are not quantities."""
    package = path.relative_to(ROOT / "src" / "meterhouse").parts[0]
    if package not in ("domain", "services", "storage", "contracts", "ports.py"):
        return
    literals = package not in ("storage",)  # which waits for parts of a second
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"float in line {node.lineno}"
        literal = literals and isinstance(node, ast.Constant) and isinstance(node.value, float)
        assert not literal, f"float in line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_has_one_readers_worth_of_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_module_for_leftovers(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "manager", "misc", "base")


@pytest.mark.parametrize("path", [each for each in SOURCES if "domain" in each.parts], ids=name)
def test_the_domain_reads_no_clock_and_no_environment(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"\.now\(|\.today\(|\.utcnow\(|time\.time\(|import (os|random|secrets)|open\(", text.partition('"""\n')[2]
    )


def test_sql_is_spoken_in_one_place_only() -> None:
    spoken = [
        name(path)
        for path in SOURCES
        if re.search(r"\b(SELECT .* FROM|INSERT INTO|CREATE TABLE)\b", path.read_text()) and "ledger" not in path.parts
    ]
    assert spoken == [
        "src/meterhouse/storage/clickhouse/chdb_engine.py",
        "src/meterhouse/storage/clickhouse/fold_queries.py",
        "src/meterhouse/storage/clickhouse/inspection_queries.py",
        "src/meterhouse/storage/clickhouse/mutation_queries.py",
        "src/meterhouse/storage/clickhouse/queries.py",
        "src/meterhouse/storage/clickhouse/reduction_queries.py",
        "src/meterhouse/storage/clickhouse/rollup_queries.py",
    ]


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_package_index_is_named(path: Path) -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "--" + "index-url", "--" + "extra-index-url", "--" + "find-links")
    assert not [host for host in hosts if host in path.read_text()]
