"""Meterhouse in a process of its own, without the second that Python takes to import it.

A process that has imported all but the engine forks for each one that is asked for. That one has a working directory,
an environment, files and an exit code of its own, and can be killed, like any other. Documentation is tested with
`python -m meterhouse` itself.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

_context = multiprocessing.get_context("forkserver")
# Not the engine: its threads would not be in what is forked.
_context.set_forkserver_preload(
    [
        "meterhouse.cli",
        "meterhouse.cli.client",
        "meterhouse.cli.in_process",
        "meterhouse.wiring",
        "meterhouse.storage.clickhouse.store",
        "granian.http",
        "granian.server.embed",
        "sqlalchemy.dialects.sqlite.pysqlite",
        "support.processes",
    ]
)


class Process:
    """A running `meterhouse`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stdin: Path | None = None,
        printed: Path,
        errors: Path | None = None,
    ):
        """What it says on standard error goes where its output goes, unless `errors` says where else."""
        files = [stdin or Path(os.devnull), printed, errors or printed]
        self._process = _context.Process(
            target=_run,
            args=([*arguments], dict(environment), str(cwd or Path.cwd()), [str(each) for each in files]),
            daemon=True,
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("meterhouse", timeout or 0)
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def send_signal(self, number: int) -> None:
        if self._process.exitcode is None:
            os.kill(self.pid, number)


def run_meterhouse(
    *arguments: str, environment: Mapping[str, str], cwd: Path | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Runs a command to its end."""
    with TemporaryDirectory(prefix="meterhouse-") as folder:
        given, printed, errors = (Path(folder, name) for name in ("in", "out", "err"))
        given.write_bytes(stdin)
        printed.touch()
        errors.touch()
        process = Process(arguments, environment, cwd=cwd, stdin=given, printed=printed, errors=errors)
        try:
            code = process.wait(120)
        finally:
            process.kill()
        return subprocess.CompletedProcess([*arguments], code, printed.read_bytes(), errors.read_bytes())


def _run(arguments: list[str], environment: dict[str, str], cwd: str, files: list[str]) -> NoReturn:
    for number, (name, flags) in enumerate(zip(files, (os.O_RDONLY, *[os.O_WRONLY | os.O_APPEND] * 2), strict=True)):
        file = os.open(name, flags)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as it is in every other process
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["meterhouse", *arguments]
    from meterhouse.cli import main

    main()
    raise AssertionError("it ends with a code")
