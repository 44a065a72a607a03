"""The page about a contract of one's own, followed from outside: the package is installed into a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from walkthrough import DOCS, File, steps, walk

PAGE = DOCS / "how-to" / "add-a-contract.md"


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip installs to without a network and without touching this environment, and Python imports from."""
    site = tmp_path / "site"
    variables = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the other way round: this switches isolation off
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_TARGET": str(site),
        "PYTHONPATH": str(site),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return site


def test_the_page_does_what_it_says(tmp_path: Path, outside: Path) -> None:
    assert walk(PAGE, tmp_path) > 15
    assert (outside / "acme_usage.py").is_file()
    assert "acme-usage" not in {found.name for found in distributions()}


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("right", "wrong", "happened"),
    [
        ('"used": 3.3', '"used": 3.30', r'answered  200 \{"account":"golden-acme","units":\{"used":3\.3,'),
        ("acme_usage:CONTRACT", "acme_usage:CONTRACTS", "error: the contract 'acme' of acme-usage cannot be loaded"),
        ('meterhouse.contracts"]', 'meterhouse.contract"]', "error: acme.toml: the contract 'acme' is not installed"),
    ],
)
@pytest.mark.thorough
def test_what_is_wrong_with_the_files_is_seen(tmp_path: Path, right: str, wrong: str, happened: str) -> None:
    """The page would not pass with other files than those that it shows."""
    page, text = tmp_path / PAGE.name, PAGE.read_text("utf-8").partition("## 6.")[0]
    assert right in text
    page.write_text(text.replace(right, wrong), "utf-8")
    with pytest.raises(AssertionError, match=rf"(?s)mismatches: 0\n--- but it prints\n.*{happened}"):
        walk(page, tmp_path)


def test_the_module_is_as_well_kept_as_our_own(tmp_path: Path) -> None:
    """Formatted and linted by the same rules, since readers begin with it."""
    [module] = [step for step in steps(PAGE) if isinstance(step, File) and step.name.endswith(".py")]
    path = tmp_path / "acme_usage.py"
    path.write_text(module.content, "utf-8")
    rules = ["--config", str(DOCS.parent / "pyproject.toml"), "--no-cache", str(path)]
    for command in (["format", "--diff"], ["check", "--config", 'lint.isort.known-third-party=["meterhouse"]']):
        ruff = [sys.executable, "-m", "ruff", *command, *rules]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
