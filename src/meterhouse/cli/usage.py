"""`meterhouse usage`."""

from __future__ import annotations

from typing import Any

from cyclopts import App

from .arguments import Json, Organization
from .target import Target, connect
from .terminal import print_json, print_table

_LOCAL = Target()


def register(app: App) -> None:
    """Adds the command."""
    app.command(usage)


def usage(organization: Organization, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Shows what an organization has used, its limits, what is left, and when it resets."""
    with connect(target, engine=True) as client:
        summary = client.call("GET", f"/v1/organizations/{organization}/usage")
    if json:
        print_json(summary)
    else:
        print_usage(summary)


def print_usage(summary: dict[str, Any]) -> None:
    """The summary as a table."""
    columns = ["meter", "used #", "limit #", "remaining #", "% #", "resets at"]
    rows = [
        [slug, each["used"], each["limit"], each["remaining"], each["percent"], each["resets_at"]]
        for slug, each in summary["meters"].items()
    ]
    plan = f", plan {summary['plan']}" if summary["plan"] else ""
    print_table(f"{summary['name']} ({summary['namespace']}{plan})", columns, rows)
