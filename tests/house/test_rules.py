"""House rules that a linter does not know."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

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
    if package not in ("domain", "services", "storage", "cluster", "contracts", "ports.py"):
        return
    literals = package not in ("storage", "cluster")  # which wait for parts of a second
    for node in ast.walk(ast.parse(path.read_text())):
        assert not (isinstance(node, ast.Name) and node.id == "float"), f"float in line {node.lineno}"
        literal = literals and isinstance(node, ast.Constant) and isinstance(node.value, float)
        assert not literal, f"float in line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_module_has_one_readers_worth_of_lines(path: Path) -> None:
    longer = {"src/meterhouse/contracts/autoposting.py": 350}  # all of one product's wire format stands in one module
    assert len(path.read_text().splitlines()) <= longer.get(name(path), 300)


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_no_module_for_leftovers(path: Path) -> None:
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "manager", "misc", "base")


@pytest.mark.parametrize("path", [each for each in SOURCES if "domain" in each.parts], ids=name)
def test_the_domain_reads_no_clock_and_no_environment(path: Path) -> None:
    text = path.read_text()
    assert not re.search(
        r"\.now\(|\.today\(|\.utcnow\(|time\.time\(|import (os|random|secrets)|open\(", text.partition('"""\n')[2]
    )


def test_sql_is_spoken_in_modules_of_queries_only() -> None:
    spoken = [
        path
        for path in SOURCES
        if re.search(r"\b(SELECT .* FROM|INSERT INTO|CREATE TABLE)\b", path.read_text()) and "ledger" not in path.parts
    ]
    assert [name(path) for path in spoken if not path.stem.endswith("_queries")] == [
        "src/meterhouse/storage/clickhouse/engine/chdb_engine.py"  # a block goes into a table
    ]
    assert all({"clickhouse", "postgresql"} & {*path.parts} for path in spoken)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_package_index_is_named(path: Path) -> None:
    hosts = ("pypi" + ".org", "python" + "hosted", "--" + "index-url", "--" + "extra-index-url", "--" + "find-links")
    assert not [host for host in hosts if host in path.read_text()]


@pytest.mark.parametrize("path", [*ROOT.glob(".github/workflows/*.yml"), *ROOT.glob("tests/**/*.yml")], ids=name)
def test_a_workflow_is_yaml_and_names_files_that_there_are(path: Path) -> None:
    text = path.read_text()
    read = yaml.safe_load(text)
    assert set(read) & {"jobs", "services"}
    named = {ROOT / each for each in re.findall(r"\btests/[\w/.-]+\w", text)}
    named |= {path.parent / each for each in re.findall(r"\./([\w.-]+):/", text)}
    assert named
    assert [name(each) for each in named if not each.exists()] == []


@pytest.mark.parametrize("path", [*ROOT.glob("tests/clickhouse_server/*.xml")], ids=name)
def test_the_configuration_of_a_server_is_xml(path: Path) -> None:
    assert ElementTree.parse(path).getroot().tag == "clickhouse"


def test_no_package_defines_two_classes_of_one_name() -> None:
    found: dict[tuple[Path, str], list[str]] = {}
    for path in SOURCES:
        if path.parent.name == "contracts":
            continue  # each wire format has its own words
        for name_of_class in re.findall(r"^class ([A-Za-z]\w*)", path.read_text(), re.MULTILINE):
            found.setdefault((path.parent, name_of_class), []).append(name(path))
    assert {key[1]: paths for key, paths in found.items() if len(paths) > 1} == {}
