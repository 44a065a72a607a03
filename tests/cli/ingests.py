"""`meterhouse ingest` as tests call it."""

from __future__ import annotations

import json
from decimal import Decimal

from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server

AT = "2026-03-01T00:00:00Z"


def remote(server: Server) -> dict[str, str]:
    """The environment of a command about a server."""
    return {"METERHOUSE_ADMIN_KEY": ADMIN_KEY, "METERHOUSE_URL": str(server.http.base_url), "COLUMNS": "200"}


def ingest(server: Server, file: str, *options: str, stdin: bytes = b"") -> tuple[int, dict[str, int], str]:
    """The exit code, the totals, and what is told beside them."""
    command = ["ingest", file, "--namespace", "unsiloed", "--json", *options]
    done = run_meterhouse(*command, environment=remote(server), stdin=stdin)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()


def mapped(org: str, *more: str) -> tuple[str, ...]:
    zone = ("--csv.time-zone", "UTC", "--csv.column.amount", "amount", *more)
    return ("--csv.type", "credit.used", "--csv.subject", org, "--csv.time", "time", *zone)


def used(server: Server, org: str) -> Decimal:
    return Decimal(server.usage(org)["meters"]["credits"]["used"])
