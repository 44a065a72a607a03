"""OpenMeter's clients, which have different names for the same methods, each with a namespace of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx

from support.official import OfficialClient
from support.server import Server
from support.server import event as cloud_event

NEW, OLD, JS = "1.0.0b236", "1.0.0b188", "js"
_numbers = count(1)
NOW = "2026-03-15T12:00:00Z"
EMPTY = 'namespace = "{}"\nmeters = []\n'


@dataclass
class Wire:
    """One of the clients, with a namespace of its own, and the names that it has for the same methods."""

    kind: str
    call: OfficialClient
    namespace: str
    key: str
    server: Server

    def create_meter(self, **meter: Any) -> Any:
        return self.call("create_meter" if self.kind == OLD else "meters.create", meter)

    def ingest(self, *events: dict[str, Any]) -> None:
        name = {NEW: "events.ingest_events", OLD: "ingest_events", JS: "events.ingest"}[self.kind]
        self.call(name, [*events])

    def query(self, meter: str, **asked: Any) -> Any:
        if self.kind == JS:
            return self.call("meters.query", meter, asked)
        names = {
            "from": "from_parameter",
            "windowSize": "window_size",
            "windowTimeZone": "window_time_zone",
            "groupBy": "group_by",
            "subject": "subject",
            "to": "to",
            "filterGroupBy": "filter_group_by",
            "filterCustomerId": "filter_customer_id",
        }
        given = {names[name]: value for name, value in asked.items()}
        return self.call("query_meter" if self.kind == OLD else "meters.query_json", meter, **given)

    def create_feature(self, **feature: Any) -> Any:
        return self.call("create_feature" if self.kind == OLD else "features.create", feature)

    def create_customer(self, **customer: Any) -> Any:
        return self.call("create_customer" if self.kind == OLD else "customers.create", customer)

    def list_events(self, **asked: Any) -> Any:
        if self.kind == JS:
            return self.call("events.list", asked)
        return self.call("list_events" if self.kind == OLD else "events.list", **asked)


def connected(kind: str, server: Server, call: OfficialClient) -> Wire:
    namespace = f"app{next(_numbers)}"
    key = namespace_key(server, namespace)
    login(kind, server, call, key)
    return Wire(kind, call, namespace, key, server)


def namespace_key(server: Server, namespace: str) -> str:
    """A key of a new namespace without meters."""
    catalog = EMPTY.format(namespace).encode()
    made = server.admin(
        "PUT", f"/v1/namespaces/{namespace}/catalog", content=catalog, headers={"content-type": "application/toml"}
    )
    assert made.status_code == 200, made.text
    key = server.admin("POST", "/v1/operator-keys", {"name": namespace, "role": "namespace", "namespace": namespace})
    assert key.status_code == 201, key.text
    return str(key.json()["key"])


def login(kind: str, server: Server, call: OfficialClient, key: str, prefix: str = "/openmeter") -> None:
    url = f"http://127.0.0.1:{server.port}{prefix}"
    if kind == JS:
        call.make("", "OpenMeter", {"baseUrl": url, "apiKey": key})
    elif kind == OLD:
        call.make("openmeter", "Client", endpoint=url, headers={"Authorization": f"Bearer {key}"})
    else:
        call.make("openmeter", "Client", endpoint=url, token=key)


def event(subject: str = "customer-1", at: str = "2026-03-10T10:00:00Z", /, **data: Any) -> dict[str, Any]:
    return cloud_event("prompt", subject, data, at=at)


TOKENS = {
    "slug": "tokens_total",
    "aggregation": "SUM",
    "eventType": "prompt",
    "valueProperty": "$.tokens",
    "groupBy": {"model": "$.model", "region": "$.where.region"},
}
QUERY = "/api/v1/meters/tokens_total/query"


@dataclass
class Raw:
    """Requests with the key of a namespace."""

    server: Server
    namespace: str
    key: str
    prefix: str = "/openmeter"

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.server.http.request(method, self.prefix + path, headers=headers, **options)

    def send(self, *events: Any, status: int = 204) -> httpx.Response:
        answer = self("POST", "/api/v1/events", json=[*events])
        assert answer.status_code == status, answer.text
        return answer

    def rows(self, **asked: Any) -> list[dict[str, Any]]:
        answer = self("GET", QUERY, params=asked)
        assert answer.status_code == 200, answer.text + self.server.printed()[-4000:]
        rows: list[dict[str, Any]] = answer.json()["data"]
        return rows


def metered(raw: Raw) -> Raw:
    assert raw("POST", "/api/v1/meters", json=TOKENS).status_code == 201
    return raw


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["instance"] == f"urn:request:{answer.headers['x-request-id']}"
    return body
