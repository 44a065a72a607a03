"""`meterhouse org …` and `meterhouse key …`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from ..domain.errors import Invalid
from ..domain.quantity import parse_quantity
from .arguments import Json, Organization
from .target import Target, connect
from .terminal import Failed, out, print_json, print_table

_LOCAL = Target()

org = App(name="org", help="Organizations and their subscriptions.")
key = App(name="key", help="API keys of an organization.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(org)
    app.command(key)


@org.command(name="add")
def add_organization(
    organization: str, *, namespace: str, name: str | None = None, json: Json = False, target: Target = _LOCAL
) -> None:
    """Adds an organization to a namespace. Makes the data folder when there is none.

    Parameters
    ----------
    organization
        Its id: letters, digits and . _ - : only, for good.
    namespace
        The namespace whose meters and plans are its.
    name
        Its name; its id when absent.
    """
    body = {"id": organization, "name": name or organization, "namespace": namespace}
    with connect(target, engine=False, makes=True) as client:
        added = client.call("POST", "/v1/organizations", body)
    _print_organizations([added], json)


@org.command(name="list")
def list_organizations(*, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists all organizations."""
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/organizations")
    _print_organizations(found, json)


@org.command(name="delete")
def delete_organization(organization: Organization, *, target: Target = _LOCAL) -> None:
    """Deletes an organization."""
    with connect(target, engine=False) as client:
        client.call("DELETE", f"/v1/organizations/{organization}")
    out.print(f"deleted {organization}", markup=False)


@org.command(name="restore")
def restore_organization(organization: Organization, *, target: Target = _LOCAL) -> None:
    """Takes the deletion of an organization back, while its events are still stored."""
    with connect(target, engine=False) as client:
        client.call("POST", f"/v1/organizations/{organization}/restore")
    out.print(f"restored {organization}", markup=False)


@org.command(name="subscribe")
def subscribe(
    organization: Organization,
    *,
    anchor: str,
    plan: str | None = None,
    interval: str | None = None,
    limit: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Replaces an organization's subscription.

    Parameters
    ----------
    anchor
        The date or RFC 3339 instant that usage periods are counted from.
    plan
        A plan of its namespace's catalog.
    interval
        P1M, P30D …; without one the usage never resets.
    limit
        METER=NUMBER, overrides the plan's; may be repeated.
    """
    limits = {}
    for pair in limit:
        meter, _, amount = pair.partition("=")
        try:
            limits[meter] = str(parse_quantity(amount))
        except Invalid as wrong:
            raise Failed(f"--limit {pair}: write METER=NUMBER; {wrong}") from None
    body = {"plan": plan, "anchor": anchor, "interval": interval, "limits": limits}
    with connect(target, engine=False) as client:
        subscription = client.call("PUT", f"/v1/organizations/{organization}/subscription", body)
    if json:
        print_json(subscription)
    else:
        listed = ", ".join(f"{meter} {amount}" for meter, amount in subscription["limits"].items())
        rows = [(name, subscription[name]) for name in ("plan", "anchor", "interval")]
        print_table(f"Subscription of {organization}", ["", "value"], [*rows, ("limits", listed or None)])


@key.command(name="add")
def add_key(
    organization: Organization,
    *,
    scope: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    user_id: str | None = None,
    expires_at: str | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes a key; its secret is shown this once.

    Parameters
    ----------
    scope
        What it may do; may be repeated. What its contract needs for reading, when absent.
    user_id
        The user that it stands for.
    expires_at
        Until when it is good, an RFC 3339 instant; for good when absent.
    """
    body = {"scopes": list(scope) or None, "user_id": user_id, "expires_at": expires_at}
    with connect(target, engine=False) as client:
        made = client.call("POST", f"/v1/organizations/{organization}/keys", body)
    if json:
        print_json(made)
    else:
        out.print(made["key"], markup=False, highlight=False, soft_wrap=True)


@key.command(name="list")
def list_keys(organization: Organization, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists an organization's keys, without their secrets."""
    with connect(target, engine=False) as client:
        keys = client.call("GET", f"/v1/organizations/{organization}/keys")
    if json:
        print_json(keys)
        return
    columns = ["id", "prefix", "scopes", "user_id", "created_at", "expires_at", "revoked_at"]
    rows = [[" ".join(each[name]) if name == "scopes" else each[name] for name in columns] for each in keys]
    print_table(f"Keys of {organization}", columns, rows)


@key.command(name="revoke")
def revoke_key(organization: Organization, key_id: str, *, target: Target = _LOCAL) -> None:
    """Ends a key at once.

    Parameters
    ----------
    key_id
        The key's id, as `meterhouse key list` tells it.
    """
    with connect(target, engine=False) as client:
        client.call("DELETE", f"/v1/organizations/{organization}/keys/{key_id}")
    out.print(f"revoked {key_id}", markup=False)


def _print_organizations(organizations: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(organizations)
        return
    columns = ["id", "name", "namespace", "created_at"]
    print_table("Organizations", columns, ([each[name] for name in columns] for each in organizations))
