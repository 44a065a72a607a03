"""Alert rules, and what they raise, through the real server."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from support.receivers import Receiver, eventually, receiving
from support.server import Server, event, serve

NOW = "2026-03-15T12:00:00Z"
MONTHLY = {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"credits": 100}}
ANY = {"METERHOUSE_WEBHOOK_ADDRESSES": "any"}
_numbers = count(1)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("telling") / "data", now=NOW, environment=ANY) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def rule(server: Server, organization: str | None, basis: str, threshold: object, **more: Any) -> str:
    name = f"rule-{next(_numbers)}"
    body = {"meter": "credits", "basis": basis, "threshold": threshold, "organization": organization, **more}
    made = server.admin("PUT", f"/v1/namespaces/unsiloed/alert-rules/{name}", body)
    assert made.status_code == 201, made.text
    return name


def endpoint(server: Server, receiver: Receiver, **more: Any) -> dict[str, Any]:
    name = f"endpoint-{next(_numbers)}"
    made = server.admin("PUT", f"/v1/namespaces/unsiloed/webhook-endpoints/{name}", {"url": receiver.url, **more})
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def use(server: Server, organization: str, amount: object, **more: Any) -> dict[str, Any]:
    sent = event("credit.used", organization, {"amount": str(amount)}, at="2026-03-10T00:00:00Z", **more)
    server.send("unsiloed", [sent])
    return sent


def alerts(server: Server, organization: str, **query: Any) -> list[dict[str, Any]]:
    asked = {"organization": organization, **query}
    answer = server.admin("GET", "/v1/namespaces/unsiloed/alerts", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["alerts"]  # type: ignore[no-any-return]


def test_a_crossed_threshold_reaches_its_webhook_once(telling: Server, receiver: Receiver) -> None:
    organization = telling.organization("unsiloed", MONTHLY)
    name = rule(telling, organization, "percent", 80)
    endpoint(telling, receiver)
    use(telling, organization, 79)
    use(telling, organization, "1.5")
    [told] = receiver.wait_for(1)
    data = told.event["data"]
    assert (told.event["type"], data["rule"], data["organization"]) == ("limit.threshold_reached", name, organization)
    assert (data["value"], data["limit"], data["percent"], data["state"]) == (80.5, 100, 80.5, "raised")
    use(telling, organization, 3)
    [raised] = eventually(lambda: alerts(telling, organization))
    assert (raised["id"], raised["state"], raised["crossing"]) == (data["alert"], "raised", 1)
    assert len(receiver.received) == 1
