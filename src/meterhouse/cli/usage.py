"""`meterhouse usage`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from .arguments import Json, Organization
from .prices import costs_text
from .target import Target, connect
from .terminal import print_json, print_table

_LOCAL = Target()


def register(app: App) -> None:
    """Adds the command."""
    app.command(usage)


def usage(
    organization: Organization,
    *,
    costs: Annotated[bool, Parameter(help="Adds what the usage costs.", negative="")] = False,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Shows what an organization has used, its limits, what is left, and when it resets."""
    with connect(target, engine=True) as client:
        summary = client.call(
            "GET", f"/v1/organizations/{organization}/usage", query={"costs": "true"} if costs else None
        )
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
    if "costs" in summary:
        columns.append("costs #")
        for row, each in zip(rows, summary["meters"].values(), strict=True):
            row.append(costs_text(each["costs"]) if "costs" in each else None)
        rows.append(["in all", *[None] * 5, costs_text(summary["costs"])])
    plan = f", plan {summary['plan']}" if summary["plan"] else ""
    print_table(f"{summary['name']} ({summary['namespace']}{plan})", columns, rows)
