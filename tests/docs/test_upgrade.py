"""The page about installing and upgrading, followed; and what completes commands in a shell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from walkthrough import DOCS, shell, walk

from meterhouse.cli import app

PAGE = DOCS / "how-to/upgrade.md"
ROOT = DOCS.parent
# What a shell does when somebody presses the tabulator at the end of these words.
PRESS = """
press() {
  COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
  local completes; completes=$(complete -p meterhouse | sed 's/.*-F \\([^ ]*\\).*/\\1/')
  "$completes" meterhouse "${COMP_WORDS[$COMP_CWORD]}" "${COMP_WORDS[$COMP_CWORD-1]}"
  echo "${COMPREPLY[*]}"
}
"""


@pytest.mark.thorough
def test_the_page_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert walk(PAGE, tmp_path) > 15
    assert (tmp_path / "home/.local/share/bash-completion/completions/meterhouse").stat().st_size > 1_000


def test_what_the_page_installs_from_is_there() -> None:
    text = PAGE.read_text("utf-8")
    for name in (
        "requirements.lock",
        "deploy/Dockerfile",
        "deploy/meterhouse.env",
        "deploy/compose.yaml",
        "CHANGELOG.md",
    ):
        assert name in text
        assert (ROOT / name).exists()
    extras = (ROOT / "pyproject.toml").read_text("utf-8").partition("[project.optional-dependencies]")[2]
    for extra in re.findall(r"`\[(\w+)\]`", text):
        assert re.search(rf"^{extra} = \[", extras, re.MULTILINE)


def test_bash_completes_commands_options_and_values(tmp_path: Path) -> None:
    [command] = re.findall(r"^\$ (meterhouse completion .*) > ~", PAGE.read_text("utf-8"), re.MULTILINE)
    with shell(tmp_path) as bash:
        assert bash.run(f"{command} > completion.bash") == ("", 0)
        bash.run(f". ./completion.bash\n{PRESS}")
        assert bash.run("press meterhouse rest") == ("restore\n", 0)
        assert bash.run("press meterhouse org subs") == ("subscribe\n", 0)
        assert bash.run("press meterhouse serve --po") == ("--port\n", 0)
        assert bash.run("press meterhouse export --format p") == ("parquet\n", 0)
        assert bash.run("press meterhouse completion f") == ("fish\n", 0)
        shown, _ = bash.run("press meterhouse ''")
    commands = {name for name in app if not name.startswith("-")}
    assert set(shown.split()) == commands
    assert {"serve", "ingest", "restore"} <= commands


@pytest.mark.parametrize("other", ["zsh", "fish"])
def test_other_shells_can_read_theirs(tmp_path: Path, other: str) -> None:
    assert f"`meterhouse completion {other}`" in PAGE.read_text("utf-8")
    command = [sys.executable, "-m", "meterhouse", "completion", other]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "subscribe" in text
    if (path := shutil.which(other)) is not None:
        (tmp_path / "completion").write_text(text)
        subprocess.run([path, "-n", str(tmp_path / "completion")], check=True, timeout=30)


@pytest.mark.thorough
def test_uvx_runs_it_from_a_checkout(tmp_path: Path) -> None:
    """With the build as anybody has it: an environment of its own, the charting library from npm."""
    [command] = re.findall(r"^uvx (.*) meterhouse serve", PAGE.read_text("utf-8"), re.MULTILINE)
    uvx = Path(sys.executable).with_name("uvx")
    wheel_of = tmp_path / "checkout"
    taken = ("setup.py", "pyproject.toml", "requirements.lock", "README.md", "LICENSE")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "vendor")
    shutil.copytree(ROOT / "src", wheel_of / "src", ignore=ignored)
    for name in taken:
        shutil.copy(ROOT / name, wheel_of)
    done = subprocess.run(
        [uvx, *command.split(), "meterhouse", "--version"],
        cwd=wheel_of,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0.1.0"), done.stderr
