"""`meterhouse grant …` and `meterhouse balance`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from .arguments import Json, Organization
from .target import Target, connect
from .terminal import Failed, out, print_json, print_table

_LOCAL = Target()
_Meter = Annotated[str, Parameter(help="A COUNT or SUM meter, or a pool, of its namespace's catalog.")]

grant = App(name="grant", help="Amounts that an organization may use beside its plan.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(grant)
    app.command(balance)


@grant.command(name="add")
def add_grant(
    organization: Organization,
    meter: _Meter,
    amount: str,
    *,
    id: str | None = None,
    priority: int | None = None,
    effective_at: str | None = None,
    expires_at: str | None = None,
    interval: str | None = None,
    anchor: str | None = None,
    rollover: str | None = None,
    reason: str | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Grants an amount of a meter or a pool.

    Parameters
    ----------
    amount
        How much, more than 0.
    id
        An id of yours: repeated, the command grants nothing twice. One is made when absent.
    priority
        0 to 255; the lowest is burned first. 100 when absent.
    effective_at
        From when on it can be used, an RFC 3339 instant; now when absent.
    expires_at
        Until when, an RFC 3339 instant; for good when absent.
    interval
        P1M, P30D …: it is given anew whenever one has passed; once when absent.
    anchor
        The date or RFC 3339 instant that intervals are counted from; --effective-at when absent.
    rollover
        MAX, or MIN..MAX: how much of what is left is carried over when it is given anew; nothing when absent.
    reason
        Why, for people.
    """
    if anchor is not None and interval is None:
        raise Failed("--anchor is about --interval: give both")
    body = {
        "id": id,
        "meter": meter,
        "amount": amount,
        "effective_at": effective_at,
        "expires_at": expires_at,
        "recurrence": None if interval is None else {"interval": interval, "anchor": anchor},
        "rollover": None if rollover is None else _rollover(rollover),
        "reason": reason,
        **({} if priority is None else {"priority": priority}),
    }
    with connect(target, engine=False) as client:
        made = client.call("POST", f"/v1/organizations/{organization}/grants", body)
    _print_grants(organization, [made], json)


@grant.command(name="list")
def list_grants(organization: Organization, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists an organization's grants, those that have ended included."""
    with connect(target, engine=False) as client:
        found = client.call("GET", f"/v1/organizations/{organization}/grants")
    _print_grants(organization, found, json)


@grant.command(name="void")
def void_grant(organization: Organization, grant_id: str, *, target: Target = _LOCAL) -> None:
    """Ends a grant at once. What was burned of it stays burned.

    Parameters
    ----------
    grant_id
        The grant's id, as `meterhouse grant list` tells it.
    """
    with connect(target, engine=False) as client:
        client.call("POST", f"/v1/organizations/{organization}/grants/{grant_id}/void")
    out.print(f"voided {grant_id}", markup=False)


def balance(
    organization: Organization,
    meter: _Meter,
    *,
    as_of: str | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Shows what an organization can still use of a meter or a pool, and of which grant.

    Parameters
    ----------
    as_of
        An RFC 3339 instant: the balance as it was known then.
    """
    with connect(target, engine=True) as client:
        query = {} if as_of is None else {"as_of": as_of}
        found = client.call("GET", f"/v1/organizations/{organization}/balances/{meter}", query=query)
    if json:
        print_json(found)
        return
    allowance = found["allowance"]
    rows = [["plan", None, allowance["limit"], allowance["burned"], allowance["left"], found["period"]["end"]]]
    rows += [
        [each["grant"], each["priority"], each["granted"], each["burned"], each["left"], each["expires_at"]]
        for each in found["grants"]
    ]
    rows.append(["in all", None, None, None, found["balance"], None])
    columns = ["", "priority #", "granted #", "burned #", "left #", "ends"]
    print_table(f"Balance of {organization}: {meter}", columns, rows)


def _rollover(text: str) -> dict[str, str]:
    least, dots, most = text.partition("..")
    return {"min": least, "max": most} if dots else {"max": least}


def _print_grants(organization: str, grants: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(grants)
        return
    columns = ["id", "meter", "amount #", "priority #", "effective_at", "expires_at", "voided_at", "reason"]
    rows = [[each[name.removesuffix(" #")] for name in columns] for each in grants]
    print_table(f"Grants of {organization}", columns, rows)
