"""Contracts of other packages, and options: what cannot be used ends the start and names what is at fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONTRACT = """
from dataclasses import replace
from meterhouse.contracts.unsiloed import CONTRACT as LIKE

ROUTE = replace(LIKE.routes[0], paths=("/acme/v3/quota",))
CONTRACT = replace(LIKE, name="acme", routes=(ROUTE,))
"""
CATALOG = """
namespace = "acme"
contract = "acme"
meters = [{slug = "credits", event_type = "credit.used", aggregation = "COUNT"}]
"""


def install(site: Path, package: str, module: str, *, name: str = "acme") -> None:
    """A package with one module and one contract, as pip leaves it in a folder."""
    information = site / f"{package}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[meterhouse.contracts]\n{name} = {package}_module:CONTRACT\n")
    (site / f"{package}_module.py").write_text(module)


def meterhouse(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with the packages in `folder/site`, started in that folder."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("METERHOUSE_")}
    environment = {**ours, "PYTHONPATH": str(folder / "site"), "COLUMNS": "200", **variables}
    command = [sys.executable, "-m", "meterhouse", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def refused(folder: Path, *arguments: str, **variables: str) -> str:
    """What `meterhouse serve` says when it refuses to start: one line. Nothing may have been stored."""
    done = meterhouse(folder, "serve", *arguments, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (folder / "meterhouse-data").exists()
    return done.stderr.removeprefix("error: ").rstrip("\n")


def test_a_contract_of_another_package_can_be_named(tmp_path: Path) -> None:
    """What the refusals below are held against: the very same package, well made, and an option of its contract."""
    install(tmp_path / "site", "acme", CONTRACT)
    (tmp_path / "acme.toml").write_text(CATALOG)
    added = ("org", "add", "initech", "--namespace", "acme", "--catalog", "acme.toml")
    done = meterhouse(tmp_path, *added, METERHOUSE_ACME_REQUESTS_PER_HOUR="7")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            "import a_module_that_is_absent\n",
            "the contract 'acme' of acme_broken cannot be loaded: "
            "ModuleNotFoundError(\"No module named 'a_module_that_is_absent'\")",
        ),
        (
            "1 / 0\n",
            "the contract 'acme' of acme_broken cannot be loaded: ZeroDivisionError('division by zero')",
        ),
        ("CONTRACT = 'acme'\n", "acme_broken_module:CONTRACT of acme_broken must be a Contract whose name is 'acme'"),
        (
            CONTRACT.replace('name="acme"', 'name="acne"'),
            "acme_broken_module:CONTRACT of acme_broken must be a Contract whose name is 'acme'",
        ),
        (
            CONTRACT.replace("/acme/v3/quota", "/api/v2/org/usage"),
            "meterhouse and acme_broken both have the contract or path '/api/v2/org/usage'",
        ),
        (
            CONTRACT.replace("/acme/v3/quota", "/v1/analytics/usage/summary/{org}"),
            "meterhouse and acme_broken both have the contract or path '/v1/analytics/usage/summary/{org_id}'",
        ),
        (
            CONTRACT.replace("/acme/v3/quota", "/v1/organizations/{org}/usage"),
            "the path '/v1/organizations/{org}/usage' of acme_broken is Meterhouse's own; choose another",
        ),
        ("raise SystemExit(5)\n", "the contract 'acme' of acme_broken cannot be loaded: SystemExit(5)"),
    ],
)
def test_a_package_that_is_broken_is_named(tmp_path: Path, module: str, said: str) -> None:
    """Also when the catalogs do not name its contract: what is installed is served."""
    install(tmp_path / "site", "acme_broken", module)
    assert refused(tmp_path) == said


def test_a_name_can_stand_in_the_name_of_a_variable(tmp_path: Path) -> None:
    install(tmp_path / "site", "acme_eu", CONTRACT.replace('"acme"', '"acme_eu"'), name="acme_eu")
    assert refused(tmp_path) == "the contract 'acme_eu' of acme_eu must be named with a-z and 0-9 only"


def test_an_option_without_a_description_is_named_all_the_same(tmp_path: Path) -> None:
    options = """
from meterhouse.contracts.contract import Options

class Mine(Options, frozen=True):
    plain: int = 1

CONTRACT = replace(CONTRACT, options=Mine())
"""
    install(tmp_path / "site", "acme", CONTRACT + options)
    said = refused(tmp_path, METERHOUSE_ACME_PLAIN="many")
    assert said.startswith("METERHOUSE_ACME_PLAIN is 'many': Expected `int`")


def test_a_contract_may_be_named_like_the_beginning_of_a_setting(tmp_path: Path) -> None:
    install(tmp_path / "site", "log", CONTRACT.replace('"acme"', '"log"'), name="log")
    assert meterhouse(tmp_path, "plan", "list", METERHOUSE_LOG_LEVEL="error").returncode == 0


def test_two_packages_cannot_have_one_name(tmp_path: Path) -> None:
    install(tmp_path / "site", "acme_first", CONTRACT)
    install(tmp_path / "site", "acme_other", CONTRACT.replace("/v3/", "/v4/"))
    said = refused(tmp_path)
    assert "acme_first" in said
    assert "acme_other" in said
    assert said.endswith(" both have the contract or path 'acme'")


def test_a_catalog_with_a_contract_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    said = refused(tmp_path, "--catalog", "acme.toml")
    known = "aitronos, autoposting, octolens, onepin, unsiloed"
    assert said == f"acme.toml: the contract 'acme' is not installed; there is {known}"


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR", "many", "int"),
        ("METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR", "-1", ">= 0"),
        ("METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR", "1.5", "int"),
        ("METERHOUSE_ONEPIN_END_STYLE", "late", "late"),
        ("METERHOUSE_ONEPIN_TYPO", "1", "not a setting of onepin"),
    ],
)
def test_an_option_that_means_nothing_is_named(tmp_path: Path, variable: str, value: str, said: str) -> None:
    line = refused(tmp_path, **{variable: value})
    assert line.startswith(f"{variable} is ")
    assert said in line


def test_an_option_that_is_empty_is_as_good_as_none(tmp_path: Path) -> None:
    assert meterhouse(tmp_path, "plan", "list", METERHOUSE_ONEPIN_END_STYLE="").returncode == 0
