"""`meterhouse migrate` that kills itself, hard, before or after one of its steps: `dying.py STEP before|after`.

A step is a call to the server that is moved, or to the cluster; it is told by its number or by its name.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from meterhouse.cli import main
from meterhouse.cli.source import RunningServer
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.storage.postgresql.arriving_shard import ArrivingShard
from meterhouse.storage.postgresql.membership import Membership

STEPS: dict[type, tuple[str, ...]] = {
    RunningServer: ("state", "begin", "pause", "rows", "content", "ledger", "moved"),
    Membership: ("join", "change_arrival", "leave"),
    SqlLedger: ("replace",),
    ArrivingShard: ("__init__", "begin_anew", "insert", "finish", "close"),
}


def noting(name: str, method: Callable[..., Any], step: Callable[[str, str], None]) -> Callable[..., Any]:
    @wraps(method)
    def called(*arguments: Any, **more: Any) -> Any:
        step(name, "before")
        try:
            return method(*arguments, **more)
        finally:
            step(name, "after")

    return called


def run(wanted: str, when: str) -> None:
    taken = 0

    def step(name: str, at: str) -> None:
        nonlocal taken
        taken += at == "before"
        if (wanted == name or (wanted.isdigit() and taken >= int(wanted))) and at == when:
            os.kill(os.getpid(), signal.SIGKILL)

    for kind, names in STEPS.items():
        for name in names:
            setattr(kind, name, noting(f"{kind.__name__}.{name}", getattr(kind, name), step))
    main(["migrate"])


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2])
