"""Catalogs that are changed while the server runs, as clients see them."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event, serve

_numbers = count(1)
NOW = "2026-03-15T12:00:00Z"
AT = "2026-03-12T08:00:00Z"
MONTHLY = {"plan": "pro", "anchor": "2026-03-01", "interval": "P1M"}
TOML = "application/toml"


def catalog(namespace: str, meters: str = "", plans: str = "") -> str:
    return f"""
namespace = "{namespace}"

[[meters]]
slug = "tokens"
event_type = "ai.usage"
aggregation = "SUM"
value = "tokens"
group_by = "model"
{meters}
[[plans]]
slug = "pro"
limits = {{ tokens = 1_000 }}
{plans}
"""


CALLS = """
[[meters]]
slug = "calls"
event_type = "ai.usage"
aggregation = "COUNT"
group_by = "model"
"""


def put(server: Server, namespace: str, text: str, *, media: str = TOML, **query: Any) -> httpx.Response:
    return server.http.put(
        f"/v1/namespaces/{namespace}/catalog",
        content=text.encode(),
        headers={"authorization": f"Bearer {ADMIN_KEY}", "content-type": media},
        params=query,
    )


def applied(server: Server, namespace: str, text: str, **query: Any) -> dict[str, Any]:
    answer = put(server, namespace, text, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


@pytest.fixture
def namespace(server: Server) -> str:
    """A namespace of its own, with a catalog that the server was given while it ran."""
    name = f"shop{next(_numbers)}"
    assert applied(server, name, catalog(name))["version"] == 1
    return name


def use(server: Server, namespace: str, organization: str, data: dict[str, Any], at: str = AT) -> None:
    report = server.send(namespace, [event("ai.usage", organization, data, at=at)])
    assert report["ingested"] == 1, report


class TestChanging:
    def test_a_new_namespace_counts_at_once(self, server: Server, namespace: str) -> None:
        organization = server.organization(namespace, MONTHLY)
        use(server, namespace, organization, {"tokens": "12.5", "model": "small"})
        found = server.usage(organization)["meters"]["tokens"]
        assert (str(found["used"]), str(found["limit"])) == ("12.5", "1000")
        key = server.key(organization)
        asked = server.http.get(
            "/v1/query", params={"meter": "tokens", "group_by": "model"}, headers={"authorization": f"Bearer {key}"}
        )
        assert asked.json()["meters"][0]["groups"][0]["group"] == {"model": "small"}

    def test_a_meter_that_is_added_shows_its_history_and_gets_its_rollups(self, server: Server, namespace: str) -> None:
        organization = server.organization(namespace, MONTHLY)
        for _ in range(3):
            use(server, namespace, organization, {"tokens": 1, "model": "small"})
        before = server.usage(organization)["meters"]
        assert [*before] == ["tokens"]
        outcome = applied(server, namespace, catalog(namespace, CALLS))
        assert outcome["changes"] == [{"kind": "meter", "slug": "calls", "change": "added", "fields": []}]
        assert server.usage(organization)["meters"]["calls"]["used"] == 3
        server.folded()
        assert server.usage(organization)["meters"]["calls"]["used"] == 3

    def test_a_plan_that_is_changed_limits_at_once_and_names_whom(self, server: Server, namespace: str) -> None:
        organization = server.organization(namespace, MONTHLY)
        other = server.organization(namespace)
        assert server.usage(organization)["meters"]["tokens"]["limit"] == 1000
        smaller = catalog(namespace).replace("1_000", "500")
        dry = applied(server, namespace, smaller, dry_run="true")
        assert dry["stored"] is False
        assert dry["changes"] == [
            {
                "kind": "plan",
                "slug": "pro",
                "change": "changed",
                "fields": [{"name": "limits.tokens", "before": 1000, "after": 500}],
            }
        ]
        assert dry["affected"] == {"count": 1, "organizations": [organization]}
        assert other not in dry["affected"]["organizations"]
        assert server.usage(organization)["meters"]["tokens"]["limit"] == 1000
        assert applied(server, namespace, smaller)["stored"] is True
        assert server.usage(organization)["meters"]["tokens"]["limit"] == 500

    def test_the_same_again_changes_nothing(self, server: Server, namespace: str) -> None:
        again = applied(server, namespace, catalog(namespace))
        assert (again["stored"], again["version"], again["changes"]) == (False, 1, [])

    def test_json_is_taken_as_well(self, server: Server) -> None:
        name = f"shop{next(_numbers)}"
        text = (
            f'{{"namespace": "{name}", "meters": [{{"slug": "cost", "event_type": "e", "aggregation": "SUM", '
            '"value": "cost"}], "plans": [{"slug": "p", "limits": {"cost": 0.1}}]}'
        )
        assert applied(server, name, text, media="application/json")["format"] == "json"
        organization = server.organization(name, {"plan": "p", "anchor": "2026-03-01", "interval": "P1M"})
        assert str(server.usage(organization)["meters"]["cost"]["limit"]) == "0.1"

    def test_versions_tell_who_and_what_and_can_be_taken_back(self, server: Server, namespace: str) -> None:
        applied(server, namespace, catalog(namespace, CALLS), reason="calls are billed")
        path = f"/v1/namespaces/{namespace}/catalog"
        listed = server.admin("GET", f"{path}/versions").json()
        assert [(each["version"], each["reason"]) for each in listed] == [(2, "calls are billed"), (1, None)]
        assert {each["actor"] for each in listed} == {"the admin key"}
        second = server.admin("GET", f"{path}/versions/2").json()
        assert (second["text"], [each["slug"] for each in second["changes"]]) == (catalog(namespace, CALLS), ["calls"])
        back = server.admin("POST", f"{path}/rollback", {"version": 1, "reason": "too early"}).json()
        assert (back["version"], back["restored"], back["changes"][0]["change"]) == (3, 1, "removed")
        assert server.admin("GET", path).json()["text"] == catalog(namespace)
        assert server.admin("GET", f"{path}/versions", params={"before": 2}).json()[0]["version"] == 1
        assert "has no such version" in problem(server.admin("GET", f"{path}/versions/9"), 404)

    def test_a_built_in_catalog_can_be_changed_and_taken_back(self, server: Server) -> None:
        path = "/v1/namespaces/octolens/catalog"
        built_in = server.admin("GET", path).json()
        assert (built_in["version"], built_in["actor"], built_in["created_at"]) == (0, "Meterhouse", None)
        text = built_in["text"] + '\n[[plans]]\nslug = "Special"\n'
        assert applied(server, "octolens", text)["version"] == 1
        organization = server.organization("octolens", {"plan": "Special", "anchor": "2026-03-01", "interval": "P1M"})
        assert server.admin("POST", f"{path}/rollback", {"version": 0}).json()["affected"]["organizations"] == [
            organization
        ]
        assert server.admin("GET", path).json()["text"] == built_in["text"]


GOOD = """
[[meters]]
slug = "good"
event_type = "ai.usage"
aggregation = "SUM"
value = "usage.tokens"
where = { status = "ok", "user.tier" = ["free", "paid"] }
"""


class TestMeaning:
    def test_a_filter_counts_some_events_alone(self, server: Server, namespace: str) -> None:
        applied(server, namespace, catalog(namespace, GOOD))
        organization = server.organization(namespace, MONTHLY)
        whole = {"tokens": 1, "model": "m", "status": "ok", "user": {"tier": "paid"}, "usage": {"tokens": "2.5"}}
        for data in (whole, {**whole, "status": "failed", "usage": {}}, {**whole, "user": {}}, {**whole, "status": 1}):
            use(server, namespace, organization, data)
        refused = server.send(namespace, [event("ai.usage", organization, {**whole, "usage": {}}, at=AT)])
        assert refused["errors"][0]["message"] == "data.usage.tokens is missing; the meter 'good' needs it"
        for _ in range(2):
            found = server.usage(organization)["meters"]
            assert (str(found["good"]["used"]), found["tokens"]["used"]) == ("2.5", 4)
            server.folded()
        listed = server.admin("GET", f"/v1/organizations/{organization}/events", params={"meter": "good"}).json()
        assert {each.get("not_counted_because") for each in listed["events"]} == {
            None,
            "data.status is 'failed'",
            "data.status is '1'",
            "data.user.tier is absent",
        }

    def test_a_group_by_another_name_than_its_property(self, server: Server, namespace: str) -> None:
        named = GOOD.replace("where = {", 'group_by = { name = "tier", path = "user.tier" }\nwhere = {')
        limits = '[[plans]]\nslug = "tiers"\n[plans.limits]\ngood = { amount = 4, per = "tier" }'
        applied(server, namespace, catalog(namespace, named, limits))
        organization = server.organization(namespace, {**MONTHLY, "plan": "tiers"})
        good = {"tokens": 1, "model": "m", "status": "ok", "usage": {"tokens": 3}}
        for tier in ("free", "free", "paid"):
            use(server, namespace, organization, {**good, "user": {"tier": tier}})
        for _ in range(2):
            asked = {"organization": organization, "meter": "good", "group_by": "tier"}
            [meter] = server.admin("GET", "/v1/query", params=asked).json()["meters"]
            groups = [(each["group"], each["total"]) for each in meter["groups"]]
            assert groups == [({"tier": "free"}, 6), ({"tier": "paid"}, 3)]
            asked = {"organization": organization, "meter": ["good", "tokens"], "filter.tier": "paid"}
            assert server.admin("GET", "/v1/query", params=asked).status_code == 400  # not a group of the other
            server.folded()
        path = f"/v1/organizations/{organization}"
        listed = server.admin("GET", f"{path}/events", params={"meter": "good", "filter.tier": "paid"}).json()["events"]
        assert [each["groups"] for each in listed] == [{"tier": "paid"}]
        for tier, allowed in (("paid", True), ("free", False)):
            check = {"meter": "good", "amount": 1, "for": {"tier": tier}}
            assert server.admin("POST", f"{path}/check", check).json()["allowed"] is allowed
        sent = [event("ai.usage", organization, {**good, "user": {"tier": tier}}, at=AT) for tier in ("paid", "none")]
        enforced = {"namespace": namespace, "enforce": "true"}
        report = server.admin("POST", "/v1/events", sent, params=enforced).json()
        assert (report["ingested"], report["errors"][0]["code"]) == (1, "quota_exceeded")

    def test_another_meaning_from_an_instant_on(self, server: Server, namespace: str) -> None:
        organization = server.organization(namespace, MONTHLY)
        use(server, namespace, organization, {"tokens": 1, "model": "m"})
        since = "2026-03-20T10:07:00Z"
        other = catalog(namespace).replace('value = "tokens"', 'value = "units"')
        assert applied(server, namespace, other, since=since)["stored"] is True
        assert applied(server, namespace, other, since=since)["stored"] is False  # sent again: its answer was lost
        use(server, namespace, organization, {"tokens": 10, "model": "m"})  # it still means what it did
        use(server, namespace, organization, {"tokens": 100, "units": 7, "model": "m"}, at=since)
        early = server.send(namespace, [event("ai.usage", organization, {"units": 7}, at=AT)])
        assert early["errors"][0]["message"] == "data.tokens is missing; the meter 'tokens' needs it"
        late = server.send(namespace, [event("ai.usage", organization, {"tokens": 7}, at=since)])
        assert late["errors"][0]["message"] == "data.units is missing; the meter 'tokens' needs it"
        for _ in range(2):
            assert server.usage(organization)["meters"]["tokens"]["used"] == 18
            server.folded()
        applied(server, namespace, catalog(namespace, CALLS).replace('value = "tokens"', 'value = "units"'))
        assert server.usage(organization)["meters"]["tokens"]["used"] == 18  # another change leaves it
        server.admin("POST", f"/v1/namespaces/{namespace}/catalog/rollback", {"version": 1})
        assert server.usage(organization)["meters"]["tokens"]["used"] == 111

    def test_its_whole_history_anew_where_that_is_asked_for_by_name(self, server: Server, namespace: str) -> None:
        organization = server.organization(namespace, MONTHLY)
        use(server, namespace, organization, {"tokens": 1, "units": 5, "model": "m"})
        server.folded()
        other = catalog(namespace).replace('value = "tokens"', 'value = "units"')
        assert applied(server, namespace, other, backfill="tokens")["affected"]["organizations"] == []
        assert server.usage(organization)["meters"]["tokens"]["used"] == 5

    def test_limits_count_what_a_meter_means(self, server: Server, namespace: str) -> None:
        limited = catalog(namespace, GOOD, '[[plans]]\nslug = "few"\nlimits = { good = 3 }')
        applied(server, namespace, limited)
        organization = server.organization(namespace, {**MONTHLY, "plan": "few"})
        good = {"tokens": 1, "model": "m", "status": "ok", "user": {"tier": "free"}, "usage": {"tokens": 2}}
        events = [event("ai.usage", organization, {**good, "status": status}, at=AT) for status in ("ok", "no", "ok")]
        sent = server.admin("POST", "/v1/events", events, params={"namespace": namespace, "enforce": "true"}).json()
        assert (sent["ingested"], [each["code"] for each in sent["errors"]]) == (2, ["quota_exceeded"])
        applied(server, namespace, limited.replace("good = 3", "good = 4"))
        again = server.admin("POST", "/v1/events", events, params={"namespace": namespace, "enforce": "true"}).json()
        assert (again["ingested"], again["duplicates"]) == (1, 2)


class TestRefusing:
    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("namespace = 'shop'\n[[meters]", "not TOML"),
            (catalog("another"), "the catalog's namespace is 'another'"),
            ("a = 1\n" + catalog("{}"), "the key 'a'"),
            (catalog("{}") + '[[plans]]\nslug = "pro"\n', "two plans have the slug 'pro'"),
            ("x" * 300_000, "larger than 262144 bytes"),
            (catalog("{}").replace("1_000", "-1"), "must not be negative"),
            (catalog("{}").replace("1_000", "1" * 39), "38"),
        ],
    )
    def test_what_cannot_be_used_is_refused_and_changes_nothing(
        self, server: Server, namespace: str, text: str, told: str
    ) -> None:
        for dry_run in ("true", "false"):
            assert told in problem(put(server, namespace, text.replace("{}", namespace), dry_run=dry_run), 400)
        assert server.admin("GET", f"/v1/namespaces/{namespace}/catalog").json()["version"] == 1

    def test_a_meter_that_plans_limit_cannot_go_and_all_of_them_are_named(self, server: Server, namespace: str) -> None:
        two = catalog(namespace, CALLS, '[[plans]]\nslug = "max"\nlimits = { tokens = 9, calls = 1 }')
        applied(server, namespace, two)
        without = two.replace('slug = "tokens"', 'slug = "units"')
        told = problem(put(server, namespace, without, dry_run="true"), 400)
        assert "plans 'pro', 'max': unknown meter 'tokens'" in told

    def test_a_removed_meter_is_named_with_those_who_have_a_limit_or_a_grant_of_it(
        self, server: Server, namespace: str
    ) -> None:
        applied(server, namespace, catalog(namespace, CALLS))
        limited = server.organization(
            namespace, {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"calls": 5}}
        )
        granted = server.organization(namespace)
        server.admin("POST", f"/v1/organizations/{granted}/grants", {"meter": "calls", "amount": 5})
        dry = applied(server, namespace, catalog(namespace), dry_run="true")
        assert dry["affected"] == {"count": 2, "organizations": sorted([limited, granted])}

    def test_a_meter_does_not_mean_something_else_unsaid(self, server: Server, namespace: str) -> None:
        other = catalog(namespace).replace('value = "tokens"', 'value = "units"')
        told = problem(put(server, namespace, other), 400)
        assert "'tokens' would mean something else" in told
        assert "backfill=tokens" in told
        more = catalog(namespace, CALLS)
        assert "does not change" in problem(put(server, namespace, more, backfill="tokens"), 400)
        assert "no meter's meaning changes" in problem(put(server, namespace, more, since="2026-04-01T00:00:00Z"), 400)
        assert "has passed" in problem(put(server, namespace, other, since="2026-03-01T00:00:00Z"), 400)
        counting = other.replace('"SUM"', '"COUNT"').replace('value = "units"', "")
        assert "cannot be put together" in problem(put(server, namespace, counting, since="2026-04-01T00:00:00Z"), 400)

    def test_the_contract_stays(self, server: Server, namespace: str) -> None:
        told = problem(put(server, namespace, 'contract = "octolens"\n' + catalog(namespace)), 400)
        assert "cannot become 'octolens'" in told

    def test_only_the_version_that_was_looked_at_is_replaced(self, server: Server, namespace: str) -> None:
        assert applied(server, namespace, catalog(namespace, CALLS), onto=1)["version"] == 2
        assert "is 2, not 1" in problem(put(server, namespace, catalog(namespace), onto=1), 409)

    def test_the_catalog_of_a_named_file_is_changed_there(self, tmp_path: Path) -> None:
        file = tmp_path / "shop.toml"
        file.write_text(catalog("shop"))
        with serve(tmp_path / "data", arguments=("--catalog", str(file))) as server:
            told = problem(put(server, "shop", catalog("shop", CALLS)), 409)
            assert str(file) in told
            assert server.admin("POST", "/v1/namespaces/shop/catalog/rollback", {"version": 0}).status_code == 409
            assert server.admin("GET", "/v1/namespaces/shop/catalog").json()["actor"] == str(file)
            assert applied(server, "other", catalog("other"))["version"] == 1
        file.write_text(catalog("other", CALLS))
        with serve(tmp_path / "data", arguments=("--catalog", str(file))) as server:
            assert server.admin("GET", "/v1/namespaces/other/catalog").json()["version"] == 0

    def test_organizations_may_not_change_catalogs(self, server: Server, namespace: str) -> None:
        key = server.key(server.organization(namespace))
        answer = server.http.put(
            f"/v1/namespaces/{namespace}/catalog", content=b"", headers={"authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 403


@pytest.mark.thorough
def test_every_process_reads_by_it_at_once_and_again_after_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve(data, now=NOW, arguments=("--shards", "2")) as server:
        applied(server, "shop", catalog("shop"))
        organizations = [server.organization("shop", MONTHLY) for _ in range(8)]
        for organization in organizations:
            use(server, "shop", organization, {"tokens": 7, "model": "m"})
        for limit in range(1, 6):
            applied(server, "shop", catalog("shop", CALLS).replace("1_000", str(limit)))
            for organization in organizations:
                found = server.usage(organization)["meters"]
                assert (found["tokens"]["limit"], found["calls"]["used"]) == (limit, 1)
        server.kill()
    with serve(data) as server:
        assert server.usage(organizations[0])["meters"]["tokens"]["limit"] == 5
