"""`meterhouse webhook …`."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from .arguments import Json, given
from .target import Target, connect
from .terminal import out, print_json, print_table

_LOCAL = Target()
_Space = Annotated[str, Parameter(help="The namespace.")]
_Endpoint = Annotated[str, Parameter(help="The endpoint's id: 1 to 64 letters, digits and . _ -")]

webhook = App(name="webhook", help="Endpoints that are told what there is to tell, and their deliveries.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(webhook)


@webhook.command(name="add")
def add_endpoint(
    namespace: _Space,
    endpoint: _Endpoint,
    address: str,
    *,
    event_type: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes an endpoint and prints its secret, once; or changes the one of its id.

    Parameters
    ----------
    address
        The URL that messages are sent to, https.
    event_type
        A type of events that it takes; may be repeated. All when absent.
    """
    body = {"url": address, "event_types": [*event_type]}
    with connect(target, engine=False) as client:
        made = client.call("PUT", _path(endpoint), body, query={"namespace": namespace})
    _print_made(made, json)


@webhook.command(name="list")
def list_endpoints(namespace: _Space, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Lists the endpoints of a namespace."""
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/webhook-endpoints", query={"namespace": namespace})
    if json:
        print_json(found)
        return
    columns = ["id", "url", "event types", "enabled", "failing since", "switched off"]
    rows = [
        [
            each["id"],
            each["url"],
            " ".join(each["event_types"]) or "all",
            "yes" if each["enabled"] else "no",
            each["failing_since"],
            each["switched_off"],
        ]
        for each in found
    ]
    print_table(f"Webhook endpoints of {namespace}", columns, rows)


@webhook.command(name="enable")
def enable(namespace: _Space, endpoint: _Endpoint, *, target: Target = _LOCAL) -> None:
    """Switches an endpoint on; it goes on with what waits."""
    _switch(namespace, endpoint, target, on=True)


@webhook.command(name="disable")
def disable(namespace: _Space, endpoint: _Endpoint, *, target: Target = _LOCAL) -> None:
    """Switches an endpoint off; nothing is sent to it."""
    _switch(namespace, endpoint, target, on=False)


@webhook.command(name="remove")
def remove_endpoint(namespace: _Space, endpoint: _Endpoint, *, target: Target = _LOCAL) -> None:
    """Removes an endpoint with its deliveries."""
    with connect(target, engine=False) as client:
        client.call("DELETE", _path(endpoint), query={"namespace": namespace})
    out.print(f"removed {endpoint}", markup=False)


@webhook.command(name="rotate")
def rotate(
    namespace: _Space,
    endpoint: _Endpoint,
    *,
    overlap_seconds: int = 86_400,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Makes a new secret and prints it, once.

    Parameters
    ----------
    overlap_seconds
        For how long messages are signed with the secrets before it as well, at most seven days.
    """
    with connect(target, engine=False) as client:
        body = {"overlap_seconds": overlap_seconds}
        made = client.call("POST", f"{_path(endpoint)}/rotate", body, query={"namespace": namespace})
    _print_made(made, json)


@webhook.command(name="test")
def send_test(namespace: _Space, endpoint: _Endpoint, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Sends a test to an endpoint; a running server delivers it."""
    with connect(target, engine=False) as client:
        sent = client.call("POST", f"{_path(endpoint)}/test", query={"namespace": namespace})
    _print_deliveries(f"Sent to {endpoint}", [sent], json)


@webhook.command(name="deliveries")
def list_deliveries(
    namespace: _Space,
    endpoint: _Endpoint,
    *,
    organization: str | None = None,
    status: str | None = None,
    limit: int = 100,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Lists what was and is to be delivered to an endpoint, the newest first; attempts in JSON.

    Parameters
    ----------
    organization
        About this one only.
    status
        pending, delivered or failed.
    limit
        How many at most, up to 1000.
    """
    query = given(namespace=namespace, endpoint=endpoint, organization=organization, status=status, limit=limit)
    with connect(target, engine=False) as client:
        found = client.call("GET", "/v1/deliveries", query=query)["deliveries"]
    _print_deliveries(f"Deliveries to {endpoint}", found, json)


@webhook.command(name="send-again")
def send_again(namespace: _Space, delivery: int, *, json: Json = False, target: Target = _LOCAL) -> None:
    """Delivers a message once more, under the same id.

    Parameters
    ----------
    delivery
        The delivery's id, as `meterhouse webhook deliveries` tells it.
    """
    with connect(target, engine=False) as client:
        sent = client.call("POST", f"/v1/deliveries/{delivery}/send-again", query={"namespace": namespace})
    _print_deliveries("Sent again", [sent], json)


def _path(endpoint: str) -> str:
    return f"/v1/webhook-endpoints/{endpoint}"


def _switch(namespace: str, endpoint: str, target: Target, *, on: bool) -> None:
    with connect(target, engine=False) as client:
        path, query = _path(endpoint), {"namespace": namespace}
        known = client.call("GET", path, query=query)
        body = {"url": known["url"], "event_types": known["event_types"], "enabled": on}
        client.call("PUT", path, body, query=query)
    out.print(f"switched {endpoint} {'on' if on else 'off'}", markup=False)


def _print_made(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
    elif made["secret"] is not None:
        out.print(f"secret (shown once): {made['secret']}", markup=False, highlight=False, soft_wrap=True)
    else:
        out.print(f"changed {made['id']}", markup=False)


def _print_deliveries(title: str, deliveries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(deliveries)
        return
    columns = ["id #", "type", "organization", "status", "attempts #", "last answer", "created_at"]
    rows = [
        [
            each["id"],
            each["type"],
            each["organization"],
            each["status"],
            len(each["attempts"]),
            each["attempts"][-1]["error"] or each["attempts"][-1]["status"] if each["attempts"] else None,
            each["created_at"],
        ]
        for each in deliveries
    ]
    print_table(title, columns, rows)
