"""Customers, subjects, features, entitlements, grants and portal tokens, by OpenMeter's own clients."""

from __future__ import annotations

from typing import Any

import pytest

from support.official import ClientError
from support.openmeter_clients import JS, NEW, OLD, TOKENS, Wire, event

MONTHLY = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": {"interval": "MONTH", "anchor": "2026-01-01T00:00:00Z"},
    "measureUsageFrom": "CURRENT_PERIOD_START",
}
GRANT = {
    "amount": 50,
    "effectiveAt": "2026-03-15T12:00:00Z",
    "expiration": {"duration": "MONTH", "count": 1},
    "priority": 2,
}


def feature(wire: Wire) -> Any:
    wire.create_meter(**TOKENS)
    return wire.create_feature(key="tokens", name="Tokens", meterSlug="tokens_total")


def subject(wire: Wire, key: str, **more: Any) -> Any:
    name = {NEW: "subjects.upsert", OLD: "upsert_subject", JS: "subjects.upsert"}[wire.kind]
    [made] = wire.call(name, [{"key": key, **more}])
    return made


class TestSubjects:
    def test_a_key_with_a_slash_and_an_at(self, wire: Wire) -> None:
        key = "acme/eu 1@x"
        made = subject(wire, key, displayName="Acme", metadata={"tier": "gold"})
        get = {NEW: "subjects.get", OLD: "get_subject", JS: "subjects.get"}[wire.kind]
        assert wire.call(get, key) == made
        assert subject(wire, key, displayName=None)["metadata"] == {"tier": "gold"}
        assert "displayName" not in {name for name, value in wire.call(get, key).items() if value is not None}
        wire.call({NEW: "subjects.delete", OLD: "delete_subject", JS: "subjects.delete"}[wire.kind], key)
        with pytest.raises(ClientError):
            wire.call(get, key)


class TestCustomers:
    def test_usage_of_all_its_subjects_is_a_customers(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        made = wire.create_customer(name="Acme", key="acme", usageAttribution={"subjectKeys": ["eu", "us"]})
        wire.ingest(event("eu", tokens=1), event("us", tokens=2), event("acme", tokens=4), event("other", tokens=8))
        asked: dict[str, Any] = {"filterCustomerId": [made["id"]]}
        rows = wire.query("tokens_total", **asked)["data"] if wire.kind != OLD else raw_query(wire, made["id"])
        assert [(row["customerId"], row["value"]) for row in rows] == [(made["id"], 7)]
        customers = {each["event"]["subject"]: each.get("customerId") for each in wire.list_events()}
        assert customers == {"eu": made["id"], "us": made["id"], "acme": made["id"], "other": None}

    def test_a_subject_belongs_to_one(self, wire: Wire) -> None:
        wire.create_customer(name="Acme", key="acme", usageAttribution={"subjectKeys": ["eu"]})
        with pytest.raises(ClientError) as refused:
            wire.create_customer(name="Other", key="other", usageAttribution={"subjectKeys": ["eu"]})
        assert "another customer" in str(refused.value.message) + str(refused.value.body)

    def test_it_is_replaced_and_deleted(self, wire: Wire) -> None:
        made = wire.create_customer(name="Acme", key="acme", usageAttribution={"subjectKeys": ["eu"]})
        update = {NEW: "customers.update", OLD: "update_customer", JS: "customers.update"}[wire.kind]
        changed = wire.call(update, made["id"], {"name": "Acme 2", "usageAttribution": {"subjectKeys": ["us"]}})
        assert changed["usageAttribution"]["subjectKeys"] == ["us"]
        wire.create_customer(name="Other", key="other", usageAttribution={"subjectKeys": ["eu"]})
        wire.call({NEW: "customers.delete", OLD: "delete_customer", JS: "customers.delete"}[wire.kind], made["id"])
        wire.create_customer(name="Again", key="acme", usageAttribution={"subjectKeys": ["us"]})


def raw_query(wire: Wire, customer: str) -> Any:
    """The older client has no such parameter."""
    path = "/openmeter/api/v1/meters/tokens_total/query"
    headers = {"authorization": f"Bearer {wire.key}"}
    return wire.server.http.get(path, params={"filterCustomerId": customer}, headers=headers).json()["data"]


class TestValues:
    def test_what_usage_leaves(self, wire: Wire) -> None:
        feature(wire)
        subject(wire, "acme")
        entitle(wire, "acme", **MONTHLY, issueAfterReset=100)
        wire.ingest(
            event("acme", "2026-02-28T23:59:59Z", tokens=40), event("acme", "2026-03-01T00:00:00Z", tokens="9.5")
        )
        assert value(wire, "acme") == {
            "hasAccess": True,
            "balance": 90.5,
            "usage": 9.5,
            "overage": 0,
            "totalAvailableGrantAmount": 100,
        }
        wire.ingest(event("acme", tokens=100))
        assert value(wire, "acme") == {
            "hasAccess": False,
            "balance": 0,
            "usage": 109.5,
            "overage": 9.5,
            "totalAvailableGrantAmount": 100,
        }

    def test_grants_are_burnt_in_their_order_and_voided(self, wire: Wire) -> None:
        feature(wire)
        subject(wire, "acme")
        entitle(wire, "acme", **MONTHLY, issueAfterReset=10)
        made = grant(wire, "acme", **GRANT)
        assert made["expiresAt"].startswith("2026-04-15T12:00:00")
        wire.ingest(event("acme", "2026-03-15T12:00:00Z", tokens=25))
        assert value(wire, "acme")["balance"] == 35
        wire.call({NEW: "grants.delete", OLD: "void_grant", JS: "entitlementsV1.grants.void"}[wire.kind], made["id"])
        assert value(wire, "acme")["balance"] == 0

    def test_the_same_feature_twice_is_a_conflict(self, wire: Wire) -> None:
        feature(wire)
        subject(wire, "acme")
        entitle(wire, "acme", **MONTHLY)
        if wire.kind == OLD:  # which answers the problem, and raises nothing
            assert "already" in entitle(wire, "acme", **MONTHLY)["detail"]
            return
        with pytest.raises(ClientError) as refused:
            entitle(wire, "acme", **MONTHLY)
        assert "already" in str(refused.value.message) + str(refused.value.body)


def entitle(wire: Wire, key: str, **given: Any) -> Any:
    if wire.kind == NEW:  # which has no methods of subjects' entitlements
        return wire.call("customer_entitlements_v2.post", customer(wire, key), given)
    return wire.call("create_entitlement" if wire.kind == OLD else "entitlementsV1.create", key, given)


def grant(wire: Wire, key: str, **given: Any) -> Any:
    if wire.kind == NEW:
        name = "customer_entitlement_v2.create_customer_entitlement_grant"
        return wire.call(name, customer(wire, key), "tokens", given)
    return wire.call("create_grant" if wire.kind == OLD else "entitlementsV1.grants.create", key, "tokens", given)


def value(wire: Wire, key: str) -> Any:
    if wire.kind == NEW:
        found = wire.call("customer_entitlement.get_customer_entitlement_value", customer(wire, key), "tokens")
    else:
        found = wire.call("get_entitlement_value" if wire.kind == OLD else "entitlementsV1.value", key, "tokens")
    return {name: each for name, each in found.items() if each is not None}


def customer(wire: Wire, key: str) -> str:
    found = wire.call("customers.list", key=key)
    listed = found["items"] if isinstance(found, dict) else found
    if not listed:
        wire.create_customer(name=key, key=key)
    return key


@pytest.mark.parametrize("wire", [NEW, JS], indirect=True)
class TestCustomersOnly:
    def test_a_feature_without_entitlement_is_no_access(self, wire: Wire) -> None:
        feature(wire)
        wire.create_customer(name="Acme", key="acme")
        asked = {NEW: "customer_entitlement.get_customer_entitlement_value", JS: "customers.entitlementsV1.value"}
        assert wire.call(asked[wire.kind], "acme", "tokens")["hasAccess"] is False
        assert wire.call(asked[wire.kind], "acme", "nothing")["hasAccess"] is False
        with pytest.raises(ClientError):
            wire.call(asked[wire.kind], "nobody", "tokens")

    def test_access_tells_of_all_of_them(self, wire: Wire) -> None:
        feature(wire)
        wire.create_feature(key="seats", name="Seats")
        wire.create_feature(key="sso", name="SSO")
        wire.create_customer(name="Acme", key="acme")
        create = {NEW: "customer_entitlements_v2.post", JS: "customers.entitlements.create"}[wire.kind]
        wire.call(create, "acme", {**MONTHLY, "issueAfterReset": 5})
        wire.call(create, "acme", {"type": "static", "featureKey": "seats", "config": '{"most": 3}'})
        wire.call(create, "acme", {"type": "boolean", "featureKey": "sso"})
        access = wire.call({NEW: "customer.get_customer_access", JS: "customers.getAccess"}[wire.kind], "acme")
        found = {
            key: {name: each for name, each in of.items() if each is not None}
            for key, of in access["entitlements"].items()
        }
        assert found["seats"] == {"hasAccess": True, "config": '{"most": 3}'}
        assert found["sso"] == {"hasAccess": True}
        assert found["tokens"]["balance"] == 5

    def test_a_reset_begins_a_usage_period(self, wire: Wire) -> None:
        feature(wire)
        wire.create_customer(name="Acme", key="acme")
        create = {NEW: "customer_entitlements_v2.post", JS: "customers.entitlements.create"}[wire.kind]
        wire.call(create, "acme", {**MONTHLY, "issueAfterReset": 5})
        wire.ingest(event("acme", tokens=3))
        reset = {NEW: "customer_entitlement_v2.reset_customer_entitlement", JS: "customers.entitlements.resetUsage"}
        wire.call(reset[wire.kind], "acme", "tokens", {"effectiveAt": "2026-03-12T00:00:00Z"})
        asked = {NEW: "customer_entitlement_v2.get_customer_entitlement_value", JS: "customers.entitlements.value"}
        found = wire.call(asked[wire.kind], "acme", "tokens")
        assert (found["usage"], found["balance"]) == (0, 5)
        assert [*found["grantBalances"].values()] == [5]

    def test_history(self, wire: Wire) -> None:
        feature(wire)
        wire.create_customer(name="Acme", key="acme")
        create = {NEW: "customer_entitlements_v2.post", JS: "customers.entitlements.create"}[wire.kind]
        wire.call(create, "acme", {**MONTHLY, "issueAfterReset": 100})
        wire.ingest(event("acme", "2026-03-02T05:00:00Z", tokens=3), event("acme", "2026-03-04T05:00:00Z", tokens=4))
        if wire.kind == NEW:
            name = "customer_entitlement_v2.get_customer_entitlement_history"
            found = wire.call(name, "acme", "tokens", window_size="DAY")
        else:
            found = wire.call("customers.entitlements.history", "acme", "tokens", "DAY")
        told = [(each["usage"], each["balanceAtStart"]) for each in found["windowedHistory"]]
        assert told[:5] == [(0, 100), (3, 100), (0, 97), (4, 97), (0, 93)]
        assert len(told) == 15


@pytest.mark.parametrize("wire", [NEW, JS], indirect=True)
class TestPortal:
    def test_a_token_reads_its_subject_and_nothing_else(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        wire.ingest(event("acme", tokens=3), event("other", tokens=4))
        create = {NEW: "portal.portal_tokens.create", JS: "portal.create"}[wire.kind]
        made = wire.call(create, {"subject": "acme", "allowedMeterSlugs": ["tokens_total"]})
        path = "/openmeter/api/v1/portal/meters/tokens_total/query"
        headers = {"authorization": f"Bearer {made['token']}"}
        asked = wire.server.http.get(path, params={"subject": "other"}, headers=headers)
        assert [(row["subject"], row["value"]) for row in asked.json()["data"]] == [("acme", 3)]
        assert asked.headers["access-control-allow-origin"] == "*"
        other = wire.server.http.get(path.replace("tokens_total", "other"), headers=headers)
        assert (other.status_code, other.headers["access-control-allow-origin"]) == (401, "*")
        assert wire.server.http.get("/openmeter/api/v1/meters", headers=headers).status_code == 401
        preflight = wire.server.http.options(path, headers={"origin": "https://shop.example"})
        assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, "*")
        invalidate = {NEW: "portal.portal_tokens.invalidate", JS: "portal.invalidate"}[wire.kind]
        wire.call(invalidate, {"subject": "acme"})
        refused = wire.server.http.get(path, headers=headers)
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
