"""`meterhouse alert …`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from ..domain.alert_rule import Basis
from .arguments import Json, given
from .target import Target, connect
from .terminal import out, print_json, print_table

_LOCAL = Target()
_Space = Annotated[str, Parameter(help="The namespace.")]
_Rule = Annotated[str, Parameter(help="The rule's id: 1 to 64 letters, digits and . _ -")]

alert = App(name="alert", help="Rules on usage, percent, forecast or balance, and what they have raised.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(alert)


@alert.command(name="add")
def add_rule(
    namespace: _Space,
    rule: _Rule,
    meter: str,
    basis: Basis,
    threshold: str,
    *,
    organization: str | None = None,
    tell_resolved: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes a rule, or puts it in the place of the one of its id.

    Parameters
    ----------
    meter
        The meter; for a balance also a pool.
    basis
        What is compared: used, percent or forecast (of the limit), or balance.
    threshold
        The number it is compared with.
    organization
        Whom it is about; every organization of the namespace when absent.
    tell_resolved
        Tells it, too, when the threshold is not crossed any more.
    """
    body = {
        "meter": meter,
        "basis": str(basis),
        "threshold": threshold,
        "organization": organization,
        "tell_resolved": tell_resolved,
    }
    with connect(target, engine=False) as client:
        made = client.call("PUT", f"/v1/alert-rules/{rule}", body, query={"namespace": namespace})
    _print_rules(namespace, [made], json)


@alert.command(name="rules")
def list_rules(namespace: _Space, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the rules of a namespace."""
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/alert-rules", query={"namespace": namespace})
    _print_rules(namespace, found, json)


@alert.command(name="remove")
def remove_rule(namespace: _Space, rule: _Rule, *, target: Target = _LOCAL) -> None:
    """Removes a rule. What it has raised stays listed."""
    with connect(target, engine=False) as client:
        client.call("DELETE", f"/v1/alert-rules/{rule}", query={"namespace": namespace})
    out.print(f"removed {rule}", markup=False)


@alert.command(name="list")
def list_alerts(
    namespace: _Space,
    *,
    organization: str | None = None,
    state: str | None = None,
    limit: int = 100,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Lists what rules have raised, the newest first.

    Parameters
    ----------
    organization
        Of this one only.
    state
        raised or resolved: those that are so now.
    limit
        How many at most, up to 1000.
    """
    query = given(namespace=namespace, organization=organization, state=state, limit=limit)
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/alerts", query=query)["alerts"]
    if json:
        print_json(found)
        return
    columns = ["organization", "rule", "meter", "basis", "threshold #", "value #", "limit #", "state", "raised_at"]
    rows = [[each[name.removesuffix(" #")] for name in columns] for each in found]
    print_table(f"Alerts of {namespace}", columns, rows)


def _print_rules(namespace: str, rules: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(rules)
        return
    columns = ["id", "meter", "basis", "threshold #", "organization", "event_type", "problem"]
    rows = [[each[name.removesuffix(" #")] for name in columns] for each in rules]
    print_table(f"Alert rules of {namespace}", columns, rows)
