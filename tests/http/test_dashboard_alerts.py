"""The page of alerts: what it shows, and what its forms do, for the operator alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from support.pages import Read, form_token, visitor
from support.receivers import Receiver, eventually, receiving
from support.server import ADMIN_KEY, Server, event, serve

PAGE = "/alerts/unsiloed"
_numbers = count(1)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"METERHOUSE_WEBHOOK_ADDRESSES": "any"}
    with serve(tmp_path_factory.mktemp("telling") / "data", environment=settings) as running:
        yield running


@pytest.fixture
def operator(telling: Server) -> Iterator[httpx.Client]:
    with visitor(telling, ADMIN_KEY) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def sends(client: httpx.Client, place: str, **fields: Any) -> httpx.Response:
    """What is answered to a form of the page."""
    token = form_token(client.get(PAGE).text)
    return client.post(f"{PAGE}/{place}", data={"form_token": token, **fields})


def test_a_rule_and_an_endpoint_are_made_and_what_they_tell_is_shown_and_sent_again(
    telling: Server, operator: httpx.Client, receiver: Receiver
) -> None:
    name, organization = f"page-{next(_numbers)}", telling.organization("unsiloed")
    made = sends(operator, "endpoints", action="add", id=name, url=receiver.url, event_types="limit.threshold_reached")
    assert (made.status_code, "whsec_" in made.text) == (200, True)
    assert "whsec_" not in operator.get(PAGE).text
    rule = {"id": name, "meter": "credits", "basis": "used", "threshold": "12.5", "organization": organization}
    assert sends(operator, "rules", **rule, tell_resolved="on").status_code == 303
    telling.send("unsiloed", [event("credit.used", organization, {"amount": 13})])
    receiver.wait_for(1)

    def cells() -> list[str]:
        return [cell["text"].strip() for table in Read(operator.get(PAGE).text).tables for row in table for cell in row]

    eventually(lambda: "delivered" in cells())
    shown = cells()
    assert {organization, "13", "raised"} <= {*shown}
    listed = telling.admin("GET", f"/v1/deliveries?namespace=unsiloed&endpoint={name}")
    [delivery] = listed.json()["deliveries"]
    assert sends(operator, "endpoints", action="send-again", id=name, delivery=delivery["id"]).status_code == 303
    assert receiver.wait_for(2)[1].id == delivery["message"]
    assert sends(operator, "endpoints", action="test", id=name).status_code == 303
    assert receiver.wait_for(3)[2].event["type"] == "test"
    assert "whsec_" in sends(operator, "endpoints", action="rotate", id=name).text
    path = f"/v1/webhook-endpoints/{name}?namespace=unsiloed"
    for action, enabled in (("disable", False), ("enable", True)):
        assert sends(operator, "endpoints", action=action, id=name).status_code == 303
        state = telling.admin("GET", path).json()
        assert (state["enabled"], state["event_types"]) == (enabled, ["limit.threshold_reached"])
    assert sends(operator, "endpoints", action="remove", id=name).status_code == 303
    assert sends(operator, "rules", action="remove", id=name).status_code == 303
    assert telling.admin("GET", path).status_code == 404
    assert telling.admin("GET", f"/v1/alert-rules/{name}?namespace=unsiloed").status_code == 404


@pytest.mark.parametrize(
    ("place", "fields", "said"),
    [
        ("rules", {"id": "r", "meter": "credits", "basis": "used", "threshold": "many"}, "threshold: must be a number"),
        ("rules", {"id": "r", "meter": "credits", "basis": "used", "threshold": "NaN"}, "is not a decimal number"),
        ("rules", {"id": "r", "meter": "credits", "basis": "used", "threshold": "9" * 39}, "more than 38 digits"),
        (
            "rules",
            {"id": "r", "meter": "credits", "basis": "mood", "threshold": "1"},
            "basis: &#39;mood&#39; is none of",
        ),
        ("rules", {"id": "", "meter": "credits", "basis": "used", "threshold": "1"}, "id: must be filled in"),
        ("rules", {"id": "gone", "action": "remove"}, "has no alert rule"),
        ("endpoints", {"id": "e", "action": "add", "url": "file:///etc/passwd"}, "url: must begin with https://"),
        ("endpoints", {"id": "e", "action": "add", "url": "https://a.example", "event_types": "tea"}, "is none of"),
        ("endpoints", {"id": "gone", "action": "test"}, "has no webhook endpoint"),
        ("endpoints", {"id": "gone", "action": "dance"}, "is not known"),
        ("endpoints", {"id": "<b>x", "action": "add", "url": "https://a.example"}, "id: &#39;&lt;b&gt;x&#39;"),
        ("endpoints", {"id": "e", "action": "send-again", "delivery": "1 OR 1"}, "delivery: must be the number"),
    ],
)
def test_what_means_nothing_is_said_on_the_page(
    operator: httpx.Client, place: str, fields: dict[str, str], said: str
) -> None:
    answer = sends(operator, place, **fields)
    assert (answer.status_code, said in answer.text) == (400, True), answer.text


def test_a_form_of_nobody_of_another_session_or_of_an_organization_does_nothing(
    telling: Server, operator: httpx.Client
) -> None:
    fields = {"action": "remove", "id": "x"}
    assert operator.post(f"{PAGE}/rules", data=fields).status_code == 403
    assert operator.post(f"{PAGE}/rules", data={**fields, "form_token": "0" * 64}).status_code == 403
    with visitor(telling, ADMIN_KEY) as other:
        token = form_token(other.get(PAGE).text)
    assert operator.post(f"{PAGE}/rules", data={**fields, "form_token": token}).status_code == 403
    key = telling.key(telling.organization("unsiloed"))
    with visitor(telling, key) as customer:
        assert customer.get(PAGE).status_code == 403
        token = form_token(
            customer.get("/").text if customer.get("/").status_code == 200 else customer.get("/events").text
        )
        assert customer.post(f"{PAGE}/rules", data={**fields, "form_token": token}).status_code == 403
    with visitor(telling) as nobody:
        assert nobody.get(PAGE).status_code == 303
        assert nobody.post(f"{PAGE}/endpoints", data=fields).status_code == 403


def test_the_first_namespace_is_shown_and_an_unknown_one_is_not_found(operator: httpx.Client) -> None:
    assert operator.get("/alerts").headers["location"].startswith("/alerts/")
    assert operator.get("/alerts/nowhere").status_code == 404


def test_texts_of_receivers_are_text(telling: Server, operator: httpx.Client, receiver: Receiver) -> None:
    name = f"page-{next(_numbers)}"
    made = telling.admin(
        "PUT", f"/v1/webhook-endpoints/{name}?namespace=unsiloed", {"url": f"{receiver.url}?<script>alert(1)</script>"}
    )
    assert made.status_code == 201, made.text
    assert "<script>alert" not in operator.get(PAGE).text
    assert telling.admin("DELETE", f"/v1/webhook-endpoints/{name}?namespace=unsiloed").status_code == 204


def test_a_form_takes_the_role_to_operate_and_is_in_the_audit_log(server: Server) -> None:
    names = {role: f"forms {role}" for role in ("read", "operate")}
    keys = {
        role: server.admin("POST", "/v1/operator-keys", {"name": name, "role": role}).json()["key"]
        for role, name in names.items()
    }
    fields = {"id": "by-role", "meter": "credits", "basis": "percent", "threshold": "80"}
    for role, status in (("read", 403), ("operate", 303)):
        with visitor(server, keys[role]) as operator:
            token = form_token(operator.get(PAGE).text)
            sent = operator.post(f"{PAGE}/rules", data={**fields, "form_token": token})
            assert sent.status_code == status, sent.text
    found = server.admin("GET", "/v1/audit-log", params={"limit": 20}).json()
    told = [(each["actor"], each["action"], each["about"]) for each in found if each["actor"] in names.values()]
    assert told == [("forms operate", "/alerts/{namespace}/rules", {"rule": "by-role"})]
