"""Grants and balances, as clients see them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import httpx
import pytest

from meterhouse.domain.grant import Grant, Recurrence, Rollover
from meterhouse.domain.period import Interval, format_instant
from meterhouse.domain.plan import Subscription
from support.depth import by_depth
from support.server import Server, event
from support.slow_burn_down import SlowBurnDown, halves

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONTHLY = {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"credits": 10}}
GRANT = {"meter": "credits", "amount": 5, "effective_at": "2026-03-10T00:00:00Z"}


def grant(server: Server, organization: str, **fields: Any) -> httpx.Response:
    return server.admin("POST", f"/v1/organizations/{organization}/grants", {**GRANT, **fields})


def granted(server: Server, organization: str, **fields: Any) -> dict[str, Any]:
    made = grant(server, organization, **fields)
    assert made.status_code == 201, made.text
    return made.json()  # type: ignore[no-any-return]


def balance(server: Server, organization: str, meter: str = "credits", **query: Any) -> dict[str, Any]:
    answer = server.admin("GET", f"/v1/organizations/{organization}/balances/{meter}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def use(server: Server, organization: str, amount: object, at: str = "2026-03-12T08:00:00Z") -> dict[str, Any]:
    sent = event("credit.used", organization, {"amount": amount}, at=at)
    server.send("unsiloed", [sent])
    return sent


def credits_of(server: Server, organization: str) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    found = server.usage(organization)["meters"]["credits"]
    return found["used"], found["limit"], found["remaining"], found["overage"]


class TestGranting:
    def test_a_grant_is_told_as_it_was_made(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        asked = {
            "id": "order-7",
            "meter": "credits",
            "amount": "12345678901234567890.123456789",
            "priority": 7,
            "effective_at": "2026-03-01T01:00:00+01:00",
            "expires_at": "2027-01-01T00:00:00Z",
            "recurrence": {"interval": "P1M", "anchor": "2026-01-31"},
            "rollover": {"min": 1, "max": "2.50"},
            "reason": "Order 7",
        }
        made = server.admin("POST", f"/v1/organizations/{organization}/grants", asked)
        assert made.status_code == 201
        assert '"amount":12345678901234567890.123456789,' in made.text
        told = made.json()
        assert told | {"amount": 0} == {
            "id": "order-7",
            "organization": organization,
            "meter": "credits",
            "amount": 0,
            "priority": 7,
            "effective_at": "2026-03-01T00:00:00Z",
            "expires_at": "2027-01-01T00:00:00Z",
            "recurrence": {"interval": "P1M", "anchor": "2026-01-31T00:00:00Z"},
            "rollover": {"max": 2.5, "min": 1},
            "reason": "Order 7",
            "created_at": "2026-03-15T12:00:00Z",
            "voided_at": None,
        }
        assert server.admin("GET", f"/v1/organizations/{organization}/grants").json() == [told]

    def test_the_same_id_grants_nothing_twice_and_is_one_grant(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        body = {"id": "g", "meter": "credits", "amount": "5.0"}
        made = [server.admin("POST", f"/v1/organizations/{organization}/grants", body) for _ in range(3)]
        assert [each.status_code for each in made] == [201, 200, 200]
        assert made[0].json() == made[1].json() == made[2].json()
        assert grant(server, organization, id="g", effective_at=None, amount=5).status_code == 200
        for other in ({"amount": 6}, {"priority": 3}, {"effective_at": "2026-03-10T00:00:00Z"}, {"reason": "another"}):
            refused = grant(server, organization, **{"id": "g", "effective_at": None, **other})
            assert (refused.status_code, refused.json()["code"]) == (409, "already_exists")
        assert balance(server, organization)["balance"] == 15
        assert granted(server, server.organization("unsiloed"), id="g")["amount"] == 5

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"amount": 0}, "amount: must be more than 0"),
            ({"amount": -1}, "amount must not be negative"),
            ({"amount": "9" * 39}, "amount: .* more than 38 digits"),
            ({"amount": "0." + "0" * 28 + "1"}, "amount: .* more than 28 decimal places"),
            ({"amount": "lots"}, "amount"),
            ({"expires_at": "2026-03-10T00:00:00Z"}, "expires_at: .* is not after effective_at, 2026-03-10T00:00:00Z"),
            ({"expires_at": "2026-03-09T00:00:00Z"}, "expires_at: 2026-03-09T00:00:00Z is not after effective_at"),
            ({"effective_at": "2026-03-10T00:00:00"}, "effective_at: .* not an RFC 3339 date-time with a zone"),
            ({"effective_at": "2026-02-30T00:00:00Z"}, "effective_at: .* not an instant"),
            ({"expires_at": "2026-03-10"}, "expires_at: .* not an RFC 3339 date-time with a zone"),
            ({"priority": -1}, "priority: must be a whole number from 0 to 255"),
            ({"priority": 256}, "priority: must be a whole number from 0 to 255"),
            ({"priority": 1.5}, "priority"),
            ({"recurrence": {"interval": "P1Y"}}, "recurrence: interval 'P1Y' is not understood"),
            ({"recurrence": {"interval": "P1M", "anchor": "someday"}}, "recurrence: 'someday' is not an RFC 3339"),
            ({"recurrence": {"anchor": "2026-03-01"}}, "interval"),
            ({"rollover": {"max": 1}}, "rollover: is about what is left at a recurrence"),
            ({"recurrence": {"interval": "P1M"}, "rollover": {"max": "5.01"}}, "rollover: max must not be more than"),
            ({"recurrence": {"interval": "P1M"}, "rollover": {"max": 1, "min": 2}}, "rollover: min must not be"),
            ({"recurrence": {"interval": "P1M"}, "rollover": {"max": -1}}, "rollover.max must not be negative"),
            ({"id": "a/b"}, "id: 'a/b' is not allowed"),
            ({"id": "addon:recurring"}, "id: 'addon:recurring' is not allowed"),
            ({"id": ""}, "id: '' is not allowed"),
            ({"reason": ""}, "reason must have 1 to 200 characters"),
            ({"amont": 5}, "amont"),
        ],
    )
    def test_what_means_nothing_is_refused(self, server: Server, fields: dict[str, Any], said: str) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        refused = grant(server, organization, **fields)
        assert refused.status_code == 400, refused.text
        assert re.search(said, refused.json()["detail"]), refused.text
        assert server.admin("GET", f"/v1/organizations/{organization}/grants").json() == []

    def test_only_what_adds_up_is_granted(self, server: Server) -> None:
        organization = server.organization("autoposting")
        for meter, status, said in (
            ("nothing", 404, "unknown meter 'nothing'; the namespace autoposting has "),
            ("posts", 400, "meter: posts is a STATE_COUNT, which does not add up"),
        ):
            refused = grant(server, organization, meter=meter)
            assert (refused.status_code, refused.json()["detail"][: len(said)]) == (status, said)
            asked = server.admin("GET", f"/v1/organizations/{organization}/balances/{meter}")
            assert (asked.status_code, asked.json()["detail"][: len(said)]) == (status, said)
        assert grant(server, "nobody").status_code == 404
        assert grant(server, organization).status_code == 201

    def test_a_grant_that_would_change_too_often_is_refused(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        daily = {"recurrence": {"interval": "P1D"}, "rollover": {"max": 1}}
        refused = grant(server, organization, effective_at="2006-01-01T00:00:00Z", **daily)
        assert refused.status_code == 400
        assert "5,000 are allowed when a grant is made" in refused.json()["detail"]
        assert grant(server, organization, effective_at="2020-01-01T00:00:00Z", **daily).status_code == 201

    def test_an_organizations_key_reads_its_own_and_writes_nothing(self, server: Server) -> None:
        organization, other = (server.organization("unsiloed", MONTHLY) for _ in range(2))
        granted(server, organization, id="g")
        paths = ("grants", "balances/credits", "balances/credits/history")
        for name, status in ((organization, 200), (other, 403)):
            key = {"authorization": f"Bearer {server.key(name)}"}
            for path in paths:
                asked = server.http.get(f"/v1/organizations/{organization}/{path}", headers=key)
                assert asked.status_code == status, asked.text
            for path in ("grants", "grants/g/void"):
                refused = server.http.post(f"/v1/organizations/{organization}/{path}", json=GRANT, headers=key)
                assert refused.status_code in (401, 403)
        assert [server.http.get(f"/v1/organizations/{organization}/{path}").status_code for path in paths] == [401] * 3
        assert balance(server, organization)["balance"] == 15


class TestBalances:
    def test_the_plan_burns_first_then_priority_then_expiry_then_age(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization, id="late", priority=2)
        granted(server, organization, id="soon", priority=2, expires_at="2026-04-01T00:00:00Z")
        granted(server, organization, id="first", priority=1)
        use(server, organization, "18.5")
        found = balance(server, organization)
        assert found["balance"] == 6.5
        assert found["allowance"] == {"limit": 10, "burned": 10, "left": 0}
        assert [(each["grant"], each["burned"], each["left"]) for each in found["grants"]] == [
            ("first", 5, 0),
            ("soon", 3.5, 1.5),
            ("late", 0, 5),
        ]
        assert (found["overage"], found["until"]) == (0, "2026-04-01T00:00:00Z")
        assert credits_of(server, organization) == (Decimal("18.5"), 25, Decimal("6.5"), 0)

    def test_a_late_event_and_a_correction_burn_anew(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization, id="short", expires_at="2026-03-12T00:00:00Z")
        granted(server, organization, id="long", priority=200)
        use(server, organization, 12)
        assert [(each["grant"], each["left"]) for each in balance(server, organization)["grants"]] == [("long", 3)]
        late = use(server, organization, 13, at="2026-03-11T00:00:00Z")
        # 10 of the plan and 3 of the short one were used before, so that all of the 12 are the long one's, which has 5.
        found = balance(server, organization)
        assert (found["balance"], found["overage"]) == (0, 7)
        named = {"source": late["source"], "id": late["id"], "organization": organization}
        body = {"actor": "ada", "reason": "a test", "void": [named]}
        assert server.admin("POST", "/v1/corrections?namespace=unsiloed", body).status_code in (200, 201)
        assert balance(server, organization)["balance"] == 3

    def test_a_void_ends_a_grant_and_what_was_burned_stays_burned(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization, id="g")
        use(server, organization, 12)
        assert balance(server, organization)["balance"] == 3
        path = f"/v1/organizations/{organization}/grants/g/void"
        voided = [server.admin("POST", path) for _ in range(2)]
        assert [each.json()["voided_at"] for each in voided] == ["2026-03-15T12:00:00Z"] * 2
        found = balance(server, organization)
        assert (found["balance"], found["grants"], found["overage"]) == (0, [], 0)
        assert credits_of(server, organization) == (12, 12, 0, 0)
        assert server.admin("POST", f"/v1/organizations/{organization}/grants/other/void").status_code == 404

    def test_a_grant_to_come_is_not_in_the_balance_yet(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization, effective_at="2026-03-15T12:00:00.000001Z")
        assert balance(server, organization)["balance"] == 10
        assert balance(server, organization)["until"] == "2026-03-15T12:00:00.000001Z"
        assert credits_of(server, organization)[1] == 10

    def test_as_of_an_earlier_moment_grants_were_not_there_yet(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization)
        before = "2026-03-15T11:59:59Z"
        assert balance(server, organization, as_of=before)["balance"] == 10
        usage = server.admin("GET", f"/v1/organizations/{organization}/usage", params={"as_of": before}).json()
        assert usage["meters"]["credits"]["limit"] == 10
        assert balance(server, organization)["balance"] == 15

    def test_where_any_amount_is_allowed_there_is_no_balance(self, server: Server) -> None:
        subscription = {"plan": "Business", "anchor": "2026-03-01", "interval": "P1M"}
        organization = server.organization("aitronos", subscription)
        granted(server, organization, meter="neurons")
        found = balance(server, organization, "neurons")
        assert (found["balance"], found["allowance"]["limit"], found["grants"][0]["left"]) == (None, None, 5)
        assert server.usage(organization)["meters"]["neurons"]["limit"] is None

    def test_an_addon_is_a_part_of_the_balance(self, server: Server) -> None:
        addons = {"credits": {"one_time": 2, "recurring": 3}}
        organization = server.organization("unsiloed", MONTHLY | {"addons": addons})
        use(server, organization, 11, at="2026-03-02T00:00:00Z")
        before = credits_of(server, organization)
        found = balance(server, organization)
        assert [(each["grant"], each["left"]) for each in found["grants"]] == [
            ("addon:one_time", 1),
            ("addon:recurring", 3),
        ]
        assert before == (11, 15, 4, 0)
        granted(server, organization, amount=1)
        assert credits_of(server, organization) == (11, 16, 5, 0)

    def test_a_period_that_is_over_has_the_limit_of_its_last_moment(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY | {"anchor": "2026-02-01"})
        granted(server, organization, effective_at="2026-02-10T00:00:00Z", expires_at="2026-03-10T00:00:00Z")
        use(server, organization, 12, at="2026-02-12T00:00:00Z")
        answer = server.admin("GET", f"/v1/organizations/{organization}/usage", params={"period": "previous"}).json()
        assert [answer["meters"]["credits"][name] for name in ("used", "limit", "remaining")] == [12, 15, 3]
        assert credits_of(server, organization) == (0, 10, 10, 0)

    def test_contracts_and_the_quota_read_the_same_balance(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        key = {"api-key": server.key(organization)}
        use(server, organization, 10)
        quota = f"/v1/organizations/{organization}/quota/credits"
        assert server.admin("GET", quota, params={"amount": 3}).status_code == 402
        granted(server, organization)
        assert server.admin("GET", quota, params={"amount": 5}).status_code == 200
        assert server.admin("GET", quota, params={"amount": "5.1"}).status_code == 402
        told = [server.http.get("/org/get_usage", headers=key).json() for _ in range(2)]
        assert [(each["current_usage"], each["usage_limit"], each["remaining_quota"]) for each in told] == [
            (10, 15, 5)
        ] * 2


class TestHistory:
    def history(self, server: Server, organization: str, **query: Any) -> list[dict[str, Any]]:
        answer = server.admin("GET", f"/v1/organizations/{organization}/balances/credits/history", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["windows"]  # type: ignore[no-any-return]

    def test_it_tells_what_happened_in_each_window(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        granted(server, organization, expires_at="2026-03-13T00:00:00Z")
        use(server, organization, 12, at="2026-03-10T08:00:00Z")
        use(server, organization, 1, at="2026-03-14T08:00:00Z")
        told = [
            [each[name] for name in ("label", "used", "granted", "burned", "expired", "overage", "balance")]
            for each in self.history(server, organization, **{"from": "2026-03-09", "to": "2026-03-15"})
        ]
        assert told == [
            ["2026-03-09", 0, 0, 0, 0, 0, 10],
            ["2026-03-10", 12, 5, 2, 0, 0, 3],
            ["2026-03-11", 0, 0, 0, 0, 0, 3],
            ["2026-03-12", 0, 0, 0, 0, 0, 3],
            ["2026-03-13", 0, 0, 0, 3, 0, 0],
            ["2026-03-14", 1, 0, 0, 0, 1, 0],
        ]

    def test_windows_are_those_of_a_zone_and_begin_with_the_usage_period(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        windows = self.history(server, organization, timezone="America/New_York", window="week")
        assert (windows[0]["start"], windows[-1]["end"]) == ("2026-03-01T00:00:00Z", "2026-03-15T12:00:00Z")
        assert windows[1]["start"] == "2026-03-02T05:00:00Z"
        [whole] = self.history(server, server.organization("unsiloed"), window="none")
        assert whole["start"] == "2026-02-13T12:00:00Z"

    def test_what_means_nothing_is_refused(self, server: Server) -> None:
        organization = server.organization("unsiloed", MONTHLY)
        path = f"/v1/organizations/{organization}/balances/credits/history"
        for query, said in (
            ({"window": "fortnight"}, "window: 'fortnight' is not understood"),
            ({"from": "2026-03-09T00:00:00"}, "from: "),
            ({"from": "2026-03-09", "to": "2026-03-08"}, "to: must be later than from"),
            ({"from": "2020-01-01", "window": "hour"}, "window: that is more than 10,000 windows"),
            ({"timezone": "Mars/Base"}, ""),
            ({"as_of": "2027-01-01T00:00:00Z"}, "as_of: 2027-01-01T00:00:00Z is still to come"),
            ({"fom": "2026-03-09"}, "unknown query parameter"),
        ):
            refused = server.admin("GET", path, params=query)
            assert (refused.status_code, refused.json()["detail"][: len(said)]) == (400, said)


class TestRandomHistories:
    """Through the real engine and the ledger, against the oracle that goes half a unit after the other."""

    @pytest.mark.parametrize("seed", range(by_depth(10, 60, 600)))
    def test_the_server_answers_what_the_oracle_answers(self, server: Server, seed: int) -> None:
        random = Random(seed)
        anchor = datetime(2026, 1, random.randint(1, 31), tzinfo=UTC)
        interval = random.choice([Interval(1, 0), Interval(0, 30), Interval(0, 7)])
        allowance = random.randint(0, 40)
        limits = {"credits": str(Decimal(allowance) / 2)}
        subscription = {"plan": None, "anchor": format_instant(anchor), "interval": str(interval), "limits": limits}
        organization = server.organization("unsiloed", subscription)
        grants = [self.granted(server, organization, random, number) for number in range(random.randint(1, 5))]
        events, sent = [], []
        for _ in range(random.randint(1, 30)):
            at = datetime(2025, 12, 20, tzinfo=UTC) + random.randint(0, 84 * 24) * timedelta(hours=1)
            amount = Decimal(random.randint(1, 20)) / 2
            events.append((at, amount))
            sent.append(event("credit.used", organization, {"amount": str(amount)}, at=format_instant(at)))
        server.send("unsiloed", sent)
        oracle = SlowBurnDown(Subscription(None, anchor, interval), allowance, grants)
        oracle.run(events, NOW.date(), netting=False)
        found = balance(server, organization)
        lefts = sum(each.left for each in oracle.drawers)
        assert halves(Decimal(str(found["balance"]))) == oracle.plan.left + lefts
        told = [(each["grant"], halves(Decimal(str(each["burned"])))) for each in found["grants"]]
        assert told == [(each.grant.id, each.burned) for each in oracle.ordered() if each.grant]
        assert halves(Decimal(str(found["overage"]))) == oracle.in_period["overage"]
        used, limit, remaining, _ = credits_of(server, organization)
        assert halves(limit) == allowance + oracle.in_period["burned"] + lefts
        assert remaining == max(Decimal(0), limit - used)

    def granted(self, server: Server, organization: str, random: Random, number: int) -> Grant:
        effective_at = datetime(2026, 1, 1, tzinfo=UTC) + random.randint(0, 70) * DAY
        expires_at = effective_at + random.randint(1, 60) * DAY if random.random() < 0.5 else None
        recurrence = rollover = None
        amount = Decimal(random.randint(1, 30)) / 2
        if random.random() < 0.5:
            anchored = datetime(2026, 1, random.randint(1, 31), tzinfo=UTC)
            recurrence = Recurrence(random.choice([Interval(1, 0), Interval(0, 5)]), anchored)
            if random.random() < 0.5:
                rollover = Rollover(Decimal(0), Decimal(random.randint(0, int(amount))))
        made = Grant(
            f"g-{number}",
            organization,
            "credits",
            amount,
            random.randint(0, 2),
            effective_at,
            NOW,
            expires_at,
            recurrence,
            rollover,
        )
        body: dict[str, Any] = {
            "id": made.id,
            "meter": made.meter,
            "amount": str(amount),
            "priority": made.priority,
            "effective_at": format_instant(effective_at),
        }
        if expires_at is not None:
            body["expires_at"] = format_instant(expires_at)
        if recurrence is not None:
            body["recurrence"] = {"interval": str(recurrence.interval), "anchor": format_instant(recurrence.anchor)}
        if rollover is not None:
            body["rollover"] = {"max": str(rollover.most), "min": str(rollover.least)}
        granted(server, organization, **body)
        return made
