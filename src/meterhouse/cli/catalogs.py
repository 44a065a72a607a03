"""`meterhouse meter` and `meterhouse plan`: what the catalogs say."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cyclopts import App

from .arguments import Json, Namespace
from .target import Target, connect
from .terminal import Failed, print_json, print_table

_LOCAL = Target()

meter = App(name="meter", help="Meters of the catalogs.")
plan = App(name="plan", help="Plans of the catalogs.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(meter)
    app.command(plan)


@meter.command(name="list")
def list_meters(*, namespace: Namespace = None, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the meters of all namespaces, or of one."""
    found = [
        {"namespace": each["namespace"], **row} for each in catalogs_of(target, namespace) for row in each["meters"]
    ]
    if json:
        print_json(found)
        return
    columns = ["namespace", "slug", "aggregation", "event_type", "value", "group_by", "unit"]
    rows = [[_cell(each[name]) for name in columns] for each in found]
    print_table("Meters", columns, rows)


@plan.command(name="list")
def list_plans(*, namespace: Namespace = None, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the plans of all namespaces, or of one."""
    found = [
        {"namespace": each["namespace"], **row} for each in catalogs_of(target, namespace) for row in each["plans"]
    ]
    if json:
        print_json(found)
        return
    rows = [[each["namespace"], each["slug"], _cell(each["limits"]), each["description"]] for each in found]
    print_table("Plans", ["namespace", "slug", "limits", "description"], rows)


def catalogs_of(target: Target, namespace: str | None) -> list[dict[str, Any]]:
    """The catalogs of all namespaces, or of one, as the API tells them. Raises `Failed` where there is none."""
    with ExitStack() as stack:
        if target.url is None and not target.data.exists():  # catalogs need no data folder, so none is made
            target = replace(target, data=Path(stack.enter_context(TemporaryDirectory(prefix="meterhouse-"))))
        client = stack.enter_context(connect(target, engine=False))
        catalogs: list[dict[str, Any]] = client.call("GET", "/v1/namespaces")
    found = [each for each in catalogs if namespace in (None, each["namespace"])]
    if not found:
        known = ", ".join(each["namespace"] for each in catalogs)
        raise Failed(f"unknown namespace {namespace!r}; there is {known}")
    return found


def _cell(value: object) -> object:
    if isinstance(value, dict):
        return ", ".join(f"{name} {amount}" for name, amount in value.items())
    return ", ".join(value) if isinstance(value, list) else value
