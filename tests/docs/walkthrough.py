"""Does what a page says, and holds what happens against what the page shows.

A fenced block ```` ```toml acme.toml ```` is a file that the reader writes. A ```` ```console ```` block has commands
after `$ ` (continued after a backslash) and their output below. `…` in an output stands for whatever differs from one
run to the next. All commands of a page run in one bash, in one folder; ports 8000 and 8099 are exchanged for free ones.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.server import free_port

DOCS = Path(__file__).parents[2] / "docs"
CLIENT = DOCS.parent / "clients/python/src"
"""What `pip install ./clients/python` would install."""
_FENCE = re.compile(r"^```([a-z]+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "--- end of output, status "
# What bash itself says about a background process that was killed: an interactive shell says it in its own way.
_SHELL_NOTICE = re.compile(r"^\S*bash: line \d+: +\d+ (Killed|Terminated) .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command of a page, and the output below it."""

    text: str
    output: str


@dataclass(frozen=True)
class File:
    """A file that the page tells the reader to write."""

    name: str
    content: str


def steps(page: Path) -> list[Command | File]:
    """What the reader of a page does, in order."""
    found: list[Command | File] = []
    for language, name, content in _FENCE.findall(page.read_text("utf-8")):
        if name:
            found.append(File(name, content))
        elif language == "console":
            found += _commands(content)
    return found


def _commands(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        length = next((number for number, line in enumerate(lines, 1) if not line.endswith("\\")), len(lines))
        yield Command("\n".join(lines[:length]), "\n".join(lines[length:]))


def matches(shown: str, happened: str) -> bool:
    """Whether an output is the one shown, line by line; spaces at the end of a line do not show."""
    pattern = "\n".join(
        ".+".join(map(re.escape, line.rstrip().split("…"))) + r"[ \t]*" for line in shown.strip("\n").split("\n")
    )
    return re.fullmatch(pattern, happened.strip("\n")) is not None


class Shell:
    """A bash in a folder, where `meterhouse` is the one under test, and `python` the one that runs the tests."""

    def __init__(self, process: subprocess.Popen[str], ports: Mapping[str, str]):
        self._process = process
        self._ports = ports

    def run(self, command: str) -> tuple[str, int]:
        """Output and exit status of a command."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for shown_port, port in self._ports.items():
            command = command.replace(shown_port, port)
        self._process.stdin.write(f"eval {shlex.quote(command)} </dev/null 2>&1\nprintf '\\n{_END}%s\\n' $?\n")
        self._process.stdin.flush()
        output = ""
        for line in self._process.stdout:
            if line.startswith(_END):
                shown = _SHELL_NOTICE.sub("", output).removesuffix("\n")
                for shown_port, port in self._ports.items():
                    shown = shown.replace(port, shown_port)
                return shown, int(line.removeprefix(_END))
            output += line
        raise AssertionError(f"bash ended in {command!r}: {output}")


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """Begins in the folder `work`; ends the servers that were started there, and no others."""
    (folder / "bin").mkdir()
    for name, arguments in (("meterhouse", "-m meterhouse "), ("python", "")):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments}"$@"\n')
        command.chmod(0o755)
    work, port = folder / "work", free_port()
    work.mkdir()
    ours = {name: value for name, value in os.environ.items() if not name.startswith("METERHOUSE_")}
    environment = {
        **ours,
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "METERHOUSE_PORT": str(port),
        "COLUMNS": "80",
        "NO_PROXY": "*",
        "PYTHONUTF8": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(CLIENT), os.environ.get("PYTHONPATH", "")])),
    }
    with subprocess.Popen(
        ["bash", "--norc"],
        cwd=work,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as bash:
        assert bash.stdin is not None
        bash.stdin.write("trap 'kill -9 $(jobs -p) 2>/dev/null; wait' EXIT\n")
        try:
            yield Shell(bash, {":8000": f":{port}", ":8099": f":{free_port()}"})
        finally:
            bash.stdin.close()
            bash.wait(60)


def walk(page: Path, folder: Path, files: dict[str, bytes] | None = None) -> int:
    """Follows a page, with `files` in the folder from the beginning; the number of commands that were run."""
    commands = 0
    with shell(folder) as bash:
        for name, content in (files or {}).items():
            (folder / "work" / name).write_bytes(content)
        for step in steps(page):
            if isinstance(step, File):
                directory, _ = bash.run("pwd")
                (Path(directory.strip()) / step.name).write_text(step.content, "utf-8")
                continue
            commands += 1
            happened, status = bash.run(step.text)
            assert matches(step.output, happened), (
                f"{page.name}: $ {step.text}\n--- the page shows\n{step.output}\n--- but it prints\n{happened}"
            )
            assert status == 0 or "$?" in step.text or step.output, f"{page.name}: $ {step.text} ended with {status}"
    return commands
