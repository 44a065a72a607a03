"""Webhook endpoints and deliveries through the real server, whose clock goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from support.receivers import OK, Received, Receiver, answering, eventually, receiving
from support.server import Server, event, serve

ENDPOINTS = "/v1/webhook-endpoints?namespace=unsiloed"
_numbers = count(1)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"METERHOUSE_WEBHOOK_ADDRESSES": "any", "METERHOUSE_WEBHOOK_TIMEOUT_SECONDS": "1"}
    settings |= {"METERHOUSE_LOG_LEVEL": "debug"}
    with serve(tmp_path_factory.mktemp("telling") / "data", environment=settings) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def at(name: object, action: str = "", *, namespace: str = "unsiloed") -> str:
    """Where an endpoint is, or something that is done with it."""
    return f"/v1/webhook-endpoints/{name}{action}?namespace={namespace}"


def again_at(delivery: object, *, namespace: str = "unsiloed") -> str:
    return f"/v1/deliveries/{delivery}/send-again?namespace={namespace}"


def endpoint(server: Server, receiver: Receiver, **more: Any) -> tuple[str, str]:
    """The id of a new endpoint, and its secret."""
    name = f"e-{next(_numbers)}"
    made = server.admin("PUT", at(name), {"url": receiver.url, **more})
    assert made.status_code == 201, made.text
    return name, made.json()["secret"]


def deliveries(server: Server, name: str, **query: Any) -> list[dict[str, Any]]:
    answer = server.admin("GET", "/v1/deliveries", params={"namespace": "unsiloed", "endpoint": name, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["deliveries"]  # type: ignore[no-any-return]


def verifies(secret: str, received: Received) -> bool:
    try:
        Webhook(secret).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True


def send_test(server: Server, name: str) -> dict[str, Any]:
    answer = server.admin("POST", at(name, "/test"))
    assert answer.status_code == 202, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_an_endpoint_tells_its_secret_once(telling: Server, receiver: Receiver) -> None:
    name, secret = endpoint(telling, receiver, event_types=["period.closed", "balance.low"])
    assert secret.startswith("whsec_")
    again = telling.admin("PUT", at(name), {"url": receiver.url + "2", "event_types": ["period.closed"]})
    assert (again.status_code, again.json()["secret"], again.json()["url"]) == (200, None, receiver.url + "2")
    got, listed = telling.admin("GET", at(name)), telling.admin("GET", ENDPOINTS)
    assert got.json() == again.json()
    assert got.json() in listed.json()
    assert secret not in got.text + listed.text + telling.printed()
    assert telling.admin("DELETE", at(name)).status_code == 204
    assert telling.admin("GET", at(name)).status_code == 404


def test_the_specifications_library_verifies_deliveries_during_a_rotation(telling: Server, receiver: Receiver) -> None:
    name, first = endpoint(telling, receiver)
    send_test(telling, name)
    rotated = telling.admin("POST", at(name, "/rotate"), {})
    second = rotated.json()["secret"]
    assert [each["expires_at"] is None for each in rotated.json()["secrets"]] == [True, False]
    eventually(lambda: deliveries(telling, name)[0]["status"] == "delivered")
    send_test(telling, name)
    [one, both] = receiver.wait_for(2)
    assert (verifies(first, one), verifies(second, one)) == (True, False)
    assert (verifies(first, both), verifies(second, both)) == (True, True)
    third = telling.admin("POST", at(name, "/rotate"), {"overlap_seconds": 0}).json()["secret"]
    send_test(telling, name)
    last = receiver.wait_for(3)[2]
    assert [verifies(secret, last) for secret in (first, second, third)] == [False, False, True]
    for secret in (first, second, third):
        assert secret not in telling.printed()


def test_what_fails_is_repeated_under_the_same_id_and_told_with_its_attempts(
    telling: Server, receiver: Receiver
) -> None:
    name, secret = endpoint(telling, receiver)
    receiver.answer = answering(503, b"later")
    send_test(telling, name)
    receiver.wait_for(1)
    [failed] = eventually(lambda: [each for each in deliveries(telling, name) if each["attempts"]])
    assert (failed["status"], failed["attempts"][0]["error"]) == ("pending", "answered 503")
    assert telling.admin("GET", at(name)).json()["failing_since"] is not None
    receiver.answer = OK
    [one, two] = receiver.wait_for(2)
    assert (one.id, one.body) == (two.id, two.body)
    assert verifies(secret, two)
    [made] = eventually(lambda: deliveries(telling, name, status="delivered"))
    assert [(each["number"], each["status"], each["answer"]) for each in made["attempts"]] == [
        (1, 503, "later"),
        (2, 200, "thanks"),
    ]
    assert made["next_attempt_at"] is None
    assert telling.admin("GET", at(name)).json()["failing_since"] is None


def test_send_again_delivers_the_same_message_once_more(telling: Server, receiver: Receiver) -> None:
    name, _ = endpoint(telling, receiver)
    sent = send_test(telling, name)
    eventually(lambda: deliveries(telling, name, status="delivered"))
    other, _ = endpoint(telling, receiver)
    again = telling.admin("POST", again_at(sent["id"]))
    assert (again.status_code, again.json()["message"], again.json()["id"] > sent["id"]) == (202, sent["message"], True)
    [one, two] = receiver.wait_for(2)
    assert (one.id, one.body) == (two.id, two.body)
    assert (len(deliveries(telling, name)), deliveries(telling, other)) == (2, [])
    for number in (sent["id"] + 10_000, "one", "9" * 30, "-1"):
        assert telling.admin("POST", again_at(number)).status_code == 404
    assert telling.admin("PUT", at(name, namespace="octolens"), {"url": receiver.url}).status_code == 201
    for namespace in ("octolens", "nowhere"):
        assert telling.admin("POST", again_at(sent["id"], namespace=namespace)).status_code == 404


def test_an_organizations_events_keep_their_order_while_the_first_one_fails(
    telling: Server, receiver: Receiver
) -> None:
    name, _ = endpoint(telling, receiver, event_types=["limit.threshold_reached"])
    failing, going = (telling.organization("unsiloed") for _ in range(2))

    def answer(handler: Any, received: Received) -> None:
        first = received.event["data"]["threshold"] == 1 and received.event["data"]["organization"] == failing
        waits = first and len([each for each in receiver.received if each.id == received.id]) == 1
        answering(500 if waits else 200)(handler, received)

    receiver.answer = answer
    for organization in (failing, going):
        for threshold in (1, 2, 3):
            body = {"meter": "credits", "basis": "used", "threshold": threshold, "organization": organization}
            rule = f"/v1/alert-rules/order-{next(_numbers)}?namespace=unsiloed"
            assert telling.admin("PUT", rule, body).status_code == 201
    for number in (1, 2, 3):
        for organization in (failing, going):
            telling.send("unsiloed", [event("credit.used", organization, {"amount": 1})])
        eventually(lambda number=number: len(deliveries(telling, name)) == 2 * number)
    receiver.wait_for(7)
    order: dict[str, list[int]] = {failing: [], going: []}
    for each in receiver.received:
        order[each.event["data"]["organization"]].append(each.event["data"]["threshold"])
    assert order == {failing: [1, 1, 2, 3], going: [1, 2, 3]}


@pytest.mark.thorough
def test_an_endpoint_that_is_switched_off_is_sent_nothing(telling: Server, receiver: Receiver) -> None:
    name, _ = endpoint(telling, receiver)
    receiver.answer = answering(410)
    sent = send_test(telling, name)
    off = eventually(lambda: (found := telling.admin("GET", at(name)).json())["switched_off"] and found)
    assert (off["enabled"], off["switched_off"]) == (False, "it answered 410 Gone")
    assert "a webhook endpoint is switched off" in telling.printed()
    for asked in (at(name, "/test"), again_at(sent["id"])):
        refused = telling.admin("POST", asked)
        assert (refused.status_code, "is switched off" in refused.json()["detail"]) == (400, True)
    receiver.answer = OK
    on = telling.admin("PUT", at(name), {"url": receiver.url})
    assert (on.json()["enabled"], on.json()["switched_off"], on.json()["failing_since"]) == (True, None, None)
    assert [each.id for each in receiver.wait_for(2)] == [sent["message"]] * 2


def test_who_does_not_answer_in_time_has_failed(telling: Server, receiver: Receiver) -> None:
    name, _ = endpoint(telling, receiver)

    over = threading.Event()

    def late(handler: Any, received: Received) -> None:
        over.wait(29)
        OK(handler, received)

    receiver.answer = late
    send_test(telling, name)
    [failed] = eventually(lambda: [each for each in deliveries(telling, name) if each["attempts"]])
    assert failed["attempts"][0]["error"] == "no answer within 1 s"
    over.set()


def test_metrics_tell_what_is_delivered_and_what_waits(telling: Server, receiver: Receiver) -> None:
    name, _ = endpoint(telling, receiver)
    send_test(telling, name)
    receiver.wait_for(1)

    def figure(name: str) -> float:
        text = telling.http.get("/metrics").text
        return float(next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name + " ")))

    eventually(lambda: figure('meterhouse_webhook_attempts_total{outcome="delivered"}') > 0)
    receiver.answer = answering(500)
    send_test(telling, name)
    eventually(lambda: figure("meterhouse_webhook_pending_deliveries") > 0)
    eventually(lambda: figure("meterhouse_webhook_oldest_pending_seconds") > 0)
    assert telling.admin("DELETE", at(name)).status_code == 204


def test_what_means_nothing_is_refused(telling: Server, receiver: Receiver) -> None:
    for body, said in (
        ({"url": "file:///etc/passwd"}, "url: must begin with https://, not file:"),
        ({"url": "nonsense"}, "url: must begin with https://"),
        ({"url": "https://a:b@example.com"}, "url: must have no user"),
        ({"url": receiver.url, "event_types": ["tea.time"]}, "Invalid enum value 'tea.time'"),
        ({"url": receiver.url, "event_types": ["test"]}, "event_types: a test goes to any endpoint"),
        ({"url": receiver.url, "secret": "mine"}, "unknown field"),
        ({}, "url"),
    ):
        refused = telling.admin("PUT", at("refused"), body)
        assert (refused.status_code, said in refused.json()["detail"]) == (400, True), refused.text
    assert telling.admin("PUT", at("..x"), {"url": receiver.url}).status_code == 400
    assert telling.admin("PUT", at("e", namespace="nowhere"), {"url": receiver.url}).status_code == 404
    for method, action in (("GET", ""), ("DELETE", ""), ("POST", "/test")):
        assert telling.admin(method, at("refused", action)).status_code == 404
    real, _ = endpoint(telling, receiver)
    for overlap in (-1, 8 * 86_400, 10**30):
        assert telling.admin("POST", at(real, "/rotate"), {"overlap_seconds": overlap}).status_code == 400
    for query in ({"limit": 1001}, {"before": 0}, {"organization": "\x00"}, {"status": "lost"}, {"page": 1}):
        listed = telling.admin("GET", "/v1/deliveries", params={"namespace": "unsiloed", "endpoint": real, **query})
        assert listed.status_code == 400
    for space, known in (("unsiloed", "refused"), ("octolens", real), ("nowhere", real)):
        listed = telling.admin("GET", "/v1/deliveries", params={"namespace": space, "endpoint": known})
        assert listed.status_code == 404
    organization = telling.organization("unsiloed")
    key = {"authorization": f"Bearer {telling.key(organization)}"}
    for method, action in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate")):
        assert telling.http.request(method, at(real, action), headers=key, json={}).status_code == 403


def test_a_namespace_has_twenty_endpoints(tmp_path: Any, receiver: Receiver) -> None:
    with serve(tmp_path / "data", environment={"METERHOUSE_WEBHOOK_ADDRESSES": "any"}) as server:
        for number in range(20):
            assert server.admin("PUT", at(number), {"url": receiver.url}).status_code == 201
        refused = server.admin("PUT", at(20), {"url": receiver.url})
        assert (refused.status_code, "has 20 webhook endpoints already" in refused.json()["detail"]) == (400, True)
        assert server.admin("PUT", at(7), {"url": receiver.url}).status_code == 200


class TestPublicAddressesOnly:
    """The server as it is without a setting."""

    def test_private_addresses_and_http_are_refused_when_they_are_named(self, server: Server) -> None:
        for url in ("http://example.com/", "https://127.0.0.1/", "https://[fd00::1]/", "https://169.254.169.254/"):
            refused = server.admin("PUT", at("private"), {"url": url})
            assert (refused.status_code, "METERHOUSE_WEBHOOK_ADDRESSES" in refused.text) == (400, True)

    def test_a_name_that_leads_to_one_is_refused_when_it_is_connected_to(
        self, server: Server, receiver: Receiver
    ) -> None:
        made = server.admin("PUT", at("by-name"), {"url": f"https://localhost:{receiver.port}/hook"})
        assert made.status_code == 201
        send_test(server, "by-name")
        [tried] = eventually(lambda: [each for each in deliveries(server, "by-name") if each["attempts"]])
        assert "is not an address of the public internet" in tried["attempts"][0]["error"]
        assert receiver.received == []
        assert server.admin("DELETE", at("by-name")).status_code == 204


def test_nothing_is_told_of_other_namespaces(telling: Server, receiver: Receiver) -> None:
    name, _ = endpoint(telling, receiver)
    asked = (("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate"))
    answers = [telling.admin(method, at(name, action, namespace="octolens"), {}) for method, action in asked]
    assert [each.status_code for each in answers] == [404, 404, 404, 404]
    assert telling.admin("GET", at(name)).status_code == 200
