"""Alert rules, and what they raise, through the real server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
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
    made = server.admin("PUT", f"/v1/alert-rules/{name}?namespace=unsiloed", body)
    assert made.status_code == 201, made.text
    return name


def endpoint(server: Server, receiver: Receiver, **more: Any) -> dict[str, Any]:
    name = f"endpoint-{next(_numbers)}"
    made = server.admin("PUT", f"/v1/webhook-endpoints/{name}?namespace=unsiloed", {"url": receiver.url, **more})
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def use(server: Server, organization: str, amount: object, **more: Any) -> dict[str, Any]:
    sent = event("credit.used", organization, {"amount": str(amount)}, at="2026-03-10T00:00:00Z", **more)
    server.send("unsiloed", [sent])
    return sent


def alerts(server: Server, organization: str, **query: Any) -> list[dict[str, Any]]:
    asked = {"namespace": "unsiloed", "organization": organization, **query}
    answer = server.admin("GET", "/v1/alerts", params=asked)
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


def test_what_a_correction_takes_back_is_resolved_and_crossed_anew_it_is_raised_anew(
    telling: Server, receiver: Receiver
) -> None:
    organization = telling.organization("unsiloed", MONTHLY)
    rule(telling, organization, "percent", 100, tell_resolved=True)
    endpoint(telling, receiver, event_types=["limit.exceeded"])
    wrong = use(telling, organization, 120)
    receiver.wait_for(1)
    named = {"source": wrong["source"], "id": wrong["id"], "organization": organization}
    body = {"actor": "ada", "reason": "a test", "void": [named]}
    assert telling.admin("POST", "/v1/corrections?namespace=unsiloed", body).status_code == 200
    receiver.wait_for(2)
    [found] = alerts(telling, organization)
    assert (found["state"], found["resolved_at"]) == ("resolved", NOW)
    use(telling, organization, 110)
    told = [each.event["data"] for each in receiver.wait_for(3)]
    assert [(each["state"], each["value"]) for each in told] == [("raised", 120), ("resolved", 120), ("raised", 110)]
    assert len({each.id for each in receiver.received}) == 3
    assert [each["crossing"] for each in alerts(telling, organization)] in ([2, 1], [1, 2])  # of one instant
    assert [each["value"] for each in alerts(telling, organization, state="raised")] == [110]


def test_a_correction_is_told_to_each_organization(telling: Server, receiver: Receiver) -> None:
    organizations = [telling.organization("unsiloed", MONTHLY) for _ in range(2)]
    endpoint(telling, receiver, event_types=["correction.made"])
    sent = [use(telling, each, 1) for each in organizations]
    names = [{"source": each["source"], "id": each["id"], "organization": each["subject"]} for each in sent]
    body = {"id": f"c-{next(_numbers)}", "actor": "ada", "reason": "twice", "void": names}
    assert telling.admin("POST", "/v1/corrections?namespace=unsiloed", body).status_code == 200
    told = [each.event["data"] for each in receiver.wait_for(2)]
    assert sorted(each["organization"] for each in told) == sorted(organizations)
    assert {(each["correction"], each["actor"], each["reason"], each["steps"]) for each in told} == {
        (body["id"], "ada", "twice", 1)
    }
    undone = telling.admin(
        "POST", f"/v1/corrections/{body['id']}/undo?namespace=unsiloed", {"actor": "bob", "reason": "no"}
    )
    assert undone.status_code == 200
    assert {each.event["data"]["undoes"] for each in receiver.wait_for(4)[2:]} == {body["id"]}


def test_a_rule_is_about_one_organization_or_about_each(telling: Server) -> None:
    organizations = [telling.organization("unsiloed", MONTHLY) for _ in range(3)]
    own = rule(telling, organizations[0], "used", 10)
    every = rule(telling, None, "used", 1000)
    for each in organizations:
        use(telling, each, 1000)
    for each in organizations:
        eventually(lambda each=each: every in [alert["rule"] for alert in alerts(telling, each)])
    found = [sorted(alert["rule"] for alert in alerts(telling, each)) for each in organizations]
    assert found == [sorted([own, every]), [every], [every]]
    assert telling.admin("DELETE", f"/v1/alert-rules/{every}?namespace=unsiloed").status_code == 204
    assert telling.admin("GET", f"/v1/alert-rules/{every}?namespace=unsiloed").status_code == 404
    assert len(alerts(telling, organizations[1])) == 1


def test_a_rule_that_is_made_or_changed_later_raises_what_is_crossed_already(telling: Server) -> None:
    organization = telling.organization("unsiloed", MONTHLY)
    use(telling, organization, 50)
    name = rule(telling, organization, "used", 50)
    eventually(lambda: len(alerts(telling, organization)) == 1)
    path, body = f"/v1/alert-rules/{name}?namespace=unsiloed", {"meter": "credits", "basis": "used", "threshold": 50}
    before = telling.admin("GET", path).json()
    same = telling.admin("PUT", path, {**body, "organization": organization, "tell_resolved": True})
    assert (same.status_code, same.json()["revised_at"]) == (200, before["revised_at"])
    changed = telling.admin("PUT", path, {**body, "organization": organization, "threshold": 40})
    assert changed.json()["revised_at"] != before["revised_at"]
    eventually(lambda: len(alerts(telling, organization)) == 2)
    assert sorted(alert["threshold"] for alert in alerts(telling, organization)) == [40, 50]
    assert {alert["crossing"] for alert in alerts(telling, organization)} == {1}


def test_balances_and_limits_are_looked_at_without_a_commit_too(telling: Server, receiver: Receiver) -> None:
    organization = telling.organization("unsiloed", MONTHLY)
    rule(telling, organization, "balance", 20, tell_resolved=True)
    rule(telling, organization, "balance", 0)
    endpoint(telling, receiver, event_types=["balance.low", "balance.exhausted"])
    grant = {"id": "g", "meter": "credits", "amount": 50}
    assert telling.admin("POST", f"/v1/organizations/{organization}/grants", grant).status_code == 201
    use(telling, organization, 100)
    telling.admin("POST", f"/v1/organizations/{organization}/grants/g/void")
    told = [each.event for each in receiver.wait_for(2)]
    assert sorted(each["type"] for each in told) == ["balance.exhausted", "balance.low"]
    assert {each["data"]["value"] for each in told} == {0}
    telling.subscribe(organization, {**MONTHLY, "limits": {"credits": 200}})
    [*_, over] = receiver.wait_for(3)
    assert (over.event["type"], over.event["data"]["state"]) == ("balance.low", "resolved")
    eventually(lambda: {each["state"] for each in alerts(telling, organization)} == {"resolved"})


def test_of_what_was_never_granted_nothing_is_exhausted(telling: Server) -> None:
    without = telling.organization("unsiloed", {**MONTHLY, "limits": {}, "plan": None})
    some = telling.organization("unsiloed", MONTHLY)
    rules = [rule(telling, each, "balance", 0) for each in (without, some)]
    use(telling, without, 5)
    use(telling, some, 100)
    [alert] = eventually(lambda: alerts(telling, some))
    assert alert["rule"] == rules[1]
    assert alerts(telling, without) == []


def test_what_means_nothing_is_refused(telling: Server) -> None:
    organization = telling.organization("unsiloed")
    stranger = telling.organization("octolens")
    good = {"meter": "credits", "basis": "used", "threshold": 1}
    path = "/v1/alert-rules/refused?namespace=unsiloed"
    for changed, status, said in (
        ({"threshold": 10**38}, 400, "threshold: '1000000000000000000000000000000000000"),
        ({"threshold": "1" * 39}, 400, "has more than 38 digits"),
        ({"threshold": "0." + "0" * 28 + "1"}, 400, "has more than 28 decimal places"),
        ({"threshold": 0}, 400, "threshold: must be more than 0"),
        ({"threshold": -1}, 400, "threshold must not be negative"),
        ({"meter": "nothing"}, 400, "meter: the namespace unsiloed has no meter 'nothing'"),
        ({"meter": "nothing", "basis": "balance"}, 400, "meter: the namespace unsiloed has no meter and no pool"),
        ({"basis": "mood"}, 400, "Invalid enum value 'mood'"),
        ({"organization": "nobody"}, 404, "there is no organization 'nobody'"),
        ({"organization": stranger}, 404, "has no organization"),
        ({"more": 1}, 400, "unknown field"),
    ):
        asked = telling.admin("PUT", path, {**good, **changed})
        assert (asked.status_code, said in asked.json()["detail"]) == (status, True), asked.text
    assert telling.admin("PUT", "/v1/alert-rules/r?namespace=nowhere", good).status_code == 404
    assert telling.admin("PUT", "/v1/alert-rules/-r?namespace=unsiloed", good).status_code == 400
    assert telling.admin("GET", path).status_code == telling.admin("DELETE", path).status_code == 404
    for query, status in (
        ({"before": "yesterday"}, 400),
        ({"before": f"{NOW}_alert_x"}, 400),
        ({"before": "_alert_" + "0" * 32}, 400),
        ({"organization": "\x00"}, 400),
        ({"limit": 0}, 400),
        ({"state": "odd"}, 400),
        ({"x": 1}, 400),
    ):
        assert telling.admin("GET", "/v1/alerts", params={"namespace": "unsiloed", **query}).status_code == status
    key = {"authorization": f"Bearer {telling.key(organization)}"}
    for method, where in (("PUT", path), ("GET", "/v1/alerts?namespace=unsiloed"), ("DELETE", path)):
        assert telling.http.request(method, where, headers=key, json=good).status_code == 403
        assert telling.http.request(method, where, json=good).status_code == 401


def test_the_largest_threshold_is_compared_exactly(telling: Server) -> None:
    organization = telling.organization("unsiloed")
    name = rule(telling, organization, "used", "9" * 38)
    told = telling.admin("GET", f"/v1/alert-rules/{name}?namespace=unsiloed")
    assert f'"threshold":{"9" * 38},' in told.text
    use(telling, organization, "9" * 37 + "8")
    other = rule(telling, organization, "used", 1)
    eventually(lambda: [alert["rule"] for alert in alerts(telling, organization)] == [other])
    use(telling, organization, 1)
    eventually(lambda: {alert["rule"] for alert in alerts(telling, organization)} == {other, name})


def test_pages_of_alerts_join(telling: Server) -> None:
    organization = telling.organization("unsiloed")
    names = {rule(telling, organization, "used", threshold) for threshold in range(1, 8)}
    use(telling, organization, 10)
    eventually(lambda: len(alerts(telling, organization)) == 7)
    found: list[str] = []
    query: dict[str, Any] = {"organization": organization, "limit": 3}
    while query.get("before", "") is not None:
        page = telling.admin("GET", "/v1/alerts", params={"namespace": "unsiloed", **query}).json()
        found += [alert["rule"] for alert in page["alerts"]]
        query["before"] = page["next"]
    assert sorted(found) == sorted(names)


def test_a_rule_on_a_meter_that_is_gone_says_so_and_keeps_nothing_else_from_being_raised(tmp_path: Path) -> None:
    meters = {
        slug: f'[[meters]]\nslug = "{slug}"\nevent_type = "{slug}"\naggregation = "COUNT"\n'
        for slug in ("calls", "clips")
    }
    catalog = tmp_path / "shop.toml"

    def running(*slugs: str) -> AbstractContextManager[Server]:
        catalog.write_text('namespace = "shop"\n' + "".join(meters[slug] for slug in slugs))
        return serve(tmp_path / "data", now=NOW, arguments=("--catalog", str(catalog)))

    with running("calls", "clips") as server:
        organization = server.organization("shop")
        for slug in meters:
            body = {"meter": slug, "basis": "used", "threshold": 2}
            assert server.admin("PUT", f"/v1/alert-rules/{slug}?namespace=shop", body).status_code == 201
        server.send("shop", [event(slug, organization, {}) for slug in meters])
        server.stop()
    with running("calls") as server:
        server.send("shop", [event("calls", organization, {})])

        def raised() -> list[str]:
            return [each["rule"] for each in server.admin("GET", "/v1/alerts?namespace=shop").json()["alerts"]]

        assert eventually(raised) == ["calls"]
        rules = server.admin("GET", "/v1/alert-rules?namespace=shop").json()
        problems = {each["id"]: each["problem"] for each in rules}
        assert problems == {"calls": None, "clips": "the namespace shop has no meter 'clips'"}
        server.stop()
    with running("calls", "clips") as server:
        server.send("shop", [event("clips", organization, {})])
        eventually(lambda: len(server.admin("GET", "/v1/alerts?namespace=shop").json()["alerts"]) == 2)
