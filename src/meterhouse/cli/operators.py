"""`meterhouse operator-key …` and `meterhouse audit`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from ..domain.operator_key import Role
from .arguments import Json, given
from .target import Target, connect
from .terminal import print_json, print_table

_LOCAL = Target()
_COLUMNS = ["id", "name", "role", "namespace", "prefix", "created_at", "created_by", "expires_at", "revoked_at"]
_Key = Annotated[str, Parameter(help="The key's id.")]

operator_key = App(name="operator-key", help="Keys of the operator's people and programs, with roles.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(operator_key)
    app.command(audit)


@operator_key.command
def add(
    name: str,
    *,
    role: Role,
    namespace: str | None = None,
    expires_at: str | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes a key and prints it; its secret is shown this once.

    Parameters
    ----------
    name
        Whose it is: the audit log says it with every change.
    role
        read: see everything. ingest: send the events of a namespace. namespace: all that contracts of namespaces offer,
        in one. operate: read and ingest, and change accounts, grants, corrections, alerts. admin: everything.
    namespace
        The namespace of a key with the role ingest or namespace.
    expires_at
        The RFC 3339 instant from which on it is not valid.
    """
    body = {"name": name, "role": role, "namespace": namespace, "expires_at": expires_at}
    with connect(target, engine=False) as client:
        _print_made(client.call("POST", "/v1/operator-keys", body), json=json)


@operator_key.command(name="list")
def list_keys(*, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists all operator keys, without their secrets, those that have ended included."""
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/operator-keys")
    if json:
        print_json(found)
        return
    print_table("Operator keys", _COLUMNS, [[each[name] for name in _COLUMNS] for each in found])


@operator_key.command
def rotate(key_id: _Key, *, overlap_seconds: int = 0, json: Json = False, target: Target = _LOCAL) -> None:
    """Makes a key of the same name and role in the place of another, and prints it.

    Parameters
    ----------
    overlap_seconds
        How much longer the old one is good, at most 2592000 (30 days).
    """
    with connect(target, engine=False) as client:
        body = {"overlap_seconds": overlap_seconds}
        _print_made(client.call("POST", f"/v1/operator-keys/{key_id}/rotate", body), json=json)


@operator_key.command
def revoke(key_id: _Key, *, target: Target = _LOCAL) -> None:
    """Ends a key at once."""
    with connect(target, engine=False) as client:
        client.call("DELETE", f"/v1/operator-keys/{key_id}")


def audit(
    *,
    organization: str | None = None,
    namespace: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    limit: int = 100,
    before: int | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Prints what was changed, by whom, the newest first.

    Parameters
    ----------
    organization
        Only what is about this one.
    namespace
        Only what is about this one.
    actor
        Only what was done with the key of this name.
    action
        Only this operation, like createGrant.
    limit
        The most entries, at most 1000.
    before
        Only entries with a smaller number.
    """
    about = given(organization=organization, namespace=namespace, actor=actor, action=action)
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/audit-log", query=about | given(before=before, limit=limit))
    if json:
        print_json(found)
        return
    columns = ["number #", "at", "actor", "action", "namespace", "organization", "about", "address"]
    print_table("Audit log", columns, [_row(each) for each in found])


def _row(entry: dict[str, Any]) -> list[Any]:
    about = ", ".join(f"{name} {value}" for name, value in entry["about"].items())
    told = [entry[name] for name in ("number", "at", "actor", "action", "namespace", "organization")]
    return [*told, about or None, entry["address"]]


def _print_made(made: dict[str, Any], *, json: bool) -> None:
    if json:
        print_json(made)
    else:
        sys.stdout.write(made["key"] + "\n")
