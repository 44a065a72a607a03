"""Operator keys with roles, and the audit log, as clients see them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, altered, event, serve

_numbers = count(1)


def made(server: Server, role: str, **fields: Any) -> dict[str, Any]:
    body = {"name": f"{role} {next(_numbers)}", "role": role, **fields}
    answer = server.admin("POST", "/v1/operator-keys", body)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]


def by(server: Server, key: str, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
    return server.http.request(method, path, json=body, headers={"authorization": f"Bearer {key}"}, **options)


def log(server: Server, **query: Any) -> list[dict[str, Any]]:
    answer = server.admin("GET", "/v1/audit-log", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


class TestRoles:
    @pytest.mark.parametrize("role", ["read", "ingest", "operate", "admin"])
    def test_each_role_may_what_it_says_and_no_more(self, server: Server, role: str) -> None:
        organization = server.organization("unsiloed")
        key = made(server, role, **({"namespace": "unsiloed"} if role == "ingest" else {}))["key"]
        sent = event("credit.used", organization, {"amount": 1})
        asked = {"meter": "credits", "amount": 1}
        grant = {"meter": "credits", "amount": 1}
        correction = {"actor": "a", "reason": "r", "void": [{"source": sent["source"], "id": sent["id"]}]}
        erasure = {"id": "e", "organization": organization, "property": "p", "value": "v", "actor": "a", "reason": "r"}
        of = f"/v1/organizations/{organization}"
        needs = {
            "read": [
                ("GET", f"{of}/usage", None),
                ("GET", "/v1/organizations", None),
                ("GET", "/v1/namespaces", None),
                ("GET", f"/v1/query?meter=credits&organization={organization}", None),
                ("GET", f"{of}/grants", None),
                ("GET", "/v1/export?namespace=unsiloed", None),
                ("GET", "/v1/namespaces/unsiloed/catalog/versions", None),
                ("POST", "/v1/namespaces/unsiloed/prices/preview", {"prices": []}),
            ],
            "ingest": [
                ("POST", "/v1/events?namespace=unsiloed", [sent]),
                ("POST", "/v1/events?namespace=unsiloed&enforce=true", [sent]),
                ("POST", f"{of}/check", asked),
                ("GET", f"{of}/reservations", None),
            ],
            "operate": [
                ("POST", f"{of}/grants", grant),
                ("PUT", f"{of}/subscription", {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}),
                ("POST", f"{of}/keys", {}),
                ("POST", "/v1/corrections?namespace=unsiloed&preview=true", correction),
                ("POST", f"{of}/portal-links", {"expires_in_seconds": 60}),
            ],
            "admin": [
                ("PUT", "/v1/namespaces/unsiloed/catalog?dry_run=true", None),
                ("POST", "/v1/namespaces/unsiloed/catalog/rollback", {"version": 0}),
                ("POST", "/v1/erasures", erasure),
                ("GET", "/v1/backup", None),
                ("GET", "/v1/migration", None),
                ("GET", "/v1/operator-keys", None),
                ("GET", "/v1/audit-log", None),
            ],
        }
        included = {"operate": {"read", "ingest", "operate"}, "admin": {*needs}}.get(role, {role})
        for needed, requests in needs.items():
            for method, path, body in requests:
                answer = by(server, key, method, path, body)
                assert (answer.status_code != 403) is (needed in included), (needed, method, path, answer.text)
                assert answer.status_code != 401, (method, path)

    def test_a_key_that_ingests_is_for_its_namespace(self, server: Server) -> None:
        key = made(server, "ingest", namespace="unsiloed")["key"]
        mine, other = server.organization("unsiloed"), server.organization("octolens")
        sent = by(server, key, "POST", "/v1/events?namespace=unsiloed", [event("credit.used", mine, {"amount": 2})])
        assert sent.json()["ingested"] == 1
        assert server.usage(mine)["meters"]["credits"]["used"] == 2
        for path in ("/v1/events?namespace=octolens", "/v1/events?namespace=octolens&enforce=true"):
            refused = by(server, key, "POST", path, [event("mention.found", other, {"mention_id": "1"})])
            assert (refused.status_code, "is for the namespace 'unsiloed'" in refused.text) == (403, True)
        refused = by(server, key, "POST", f"/v1/organizations/{other}/check", {"meter": "mentions", "amount": 1})
        assert refused.status_code == 403

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            ({"name": "a", "role": "root"}, "role"),
            ({"name": "", "role": "read"}, "name"),
            ({"name": "a\nb", "role": "read"}, "name"),
            ({"name": "a", "role": "ingest"}, "is for one namespace"),
            ({"name": "a", "role": "read", "namespace": "unsiloed"}, "is for one namespace"),
            ({"name": "a", "role": "read", "expires_at": "2001-01-01T00:00:00Z"}, "is not after now"),
        ],
    )
    def test_a_key_that_means_nothing_is_not_made(self, server: Server, body: dict[str, Any], told: str) -> None:
        answer = server.admin("POST", "/v1/operator-keys", body)
        assert answer.status_code == 400
        assert told in answer.json()["detail"]

    def test_a_namespace_that_is_not_there(self, server: Server) -> None:
        body = {"name": "a", "role": "ingest", "namespace": "none"}
        assert server.admin("POST", "/v1/operator-keys", body).status_code == 404

    def test_an_unknown_or_ended_key_is_nobodys(self, server: Server) -> None:
        key = made(server, "admin")
        assert by(server, altered(key["key"]), "GET", "/v1/organizations").status_code == 401
        assert server.admin("DELETE", f"/v1/operator-keys/{key['id']}").status_code == 204
        assert by(server, key["key"], "GET", "/v1/organizations").status_code == 401
        assert server.admin("DELETE", f"/v1/operator-keys/{key['id']}").status_code == 404
        [listed] = [each for each in server.admin("GET", "/v1/operator-keys").json() if each["id"] == key["id"]]
        assert listed["revoked_at"] == "2026-03-15T12:00:00Z"
        assert "key" not in listed
        assert key["key"].startswith(listed["prefix"])

    def test_a_key_is_rotated_with_an_overlap(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with serve(data, now="2026-03-15T12:00:00Z") as server:
            old = made(server, "read")
            new = server.admin("POST", f"/v1/operator-keys/{old['id']}/rotate", {"overlap_seconds": 3600}).json()
            assert (new["name"], new["role"]) == (old["name"], "read")
            for key in (old, new):
                assert by(server, key["key"], "GET", "/v1/organizations").status_code == 200
            at_once = server.admin("POST", f"/v1/operator-keys/{new['id']}/rotate").json()
            assert by(server, new["key"], "GET", "/v1/organizations").status_code == 401
            assert by(server, at_once["key"], "GET", "/v1/organizations").status_code == 200
            assert server.admin("POST", f"/v1/operator-keys/{new['id']}/rotate").status_code == 400
        with serve(data, now="2026-03-15T13:00:00Z") as server:
            assert by(server, old["key"], "GET", "/v1/organizations").status_code == 401

    def test_a_key_that_ingests_is_for_its_namespace_after_it_is_rotated(self, server: Server) -> None:
        old = made(server, "ingest", namespace="unsiloed")
        new = server.admin("POST", f"/v1/operator-keys/{old['id']}/rotate").json()
        assert new["namespace"] == "unsiloed"
        assert by(server, new["key"], "POST", "/v1/events?namespace=octolens", []).status_code == 403

    def test_every_process_knows_at_once_that_a_key_has_ended(self, tmp_path: Path) -> None:
        with serve(tmp_path / "data", arguments=("--shards", "2")) as server:
            organizations = [server.organization("unsiloed") for _ in range(6)]
            for _ in range(4):
                key = made(server, "read")
                for organization in organizations:
                    assert by(server, key["key"], "GET", f"/v1/organizations/{organization}/usage").status_code == 200
                server.admin("DELETE", f"/v1/operator-keys/{key['id']}")
                for organization in organizations:
                    assert by(server, key["key"], "GET", f"/v1/organizations/{organization}/usage").status_code == 401


class TestAuditLog:
    def test_every_change_is_there_with_who_made_it(self, server: Server) -> None:
        operator = made(server, "admin")
        key, name = operator["key"], operator["name"]
        organization = f"audited-{next(_numbers)}"
        of = f"/v1/organizations/{organization}"
        answers = [
            by(server, key, "POST", "/v1/organizations", {"id": organization, "name": "A", "namespace": "unsiloed"}),
            by(server, key, "PUT", f"{of}/subscription", {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}),
            by(server, key, "POST", f"{of}/grants", {"id": "g", "meter": "credits", "amount": 1}),
            by(server, key, "POST", f"{of}/grants/g/void"),
            (minted := by(server, key, "POST", f"{of}/keys", {})),
            by(server, key, "DELETE", f"{of}/keys/{minted.json()['id']}"),
            by(server, key, "POST", f"{of}/portal-links", {"expires_in_seconds": 60}),
            by(server, key, "DELETE", of),
            by(server, key, "POST", f"{of}/restore"),
        ]
        entries = log(server, organization=organization)[::-1]
        assert [each["action"] for each in entries] == [
            *("createOrganization", "putSubscription", "createGrant", "voidGrant", "createKey", "revokeKey"),
            *("createPortalLink", "deleteOrganization", "restoreOrganization"),
        ]
        assert {each["actor"] for each in entries} == {name}
        assert {each["address"] for each in entries} == {"127.0.0.1"}
        assert [each["request_id"] for each in entries] == [each.headers["x-request-id"] for each in answers]
        assert entries[2]["about"] == {"grant": "g", "meter": "credits"}
        assert log(server, actor=name, action="createGrant") == [entries[2]]
        assert [
            each["number"] for each in log(server, before=entries[3]["number"], limit=2, organization=organization)
        ] == [
            entries[2]["number"],
            entries[1]["number"],
        ]

    def test_corrections_erasures_catalogs_and_keys(self, server: Server) -> None:
        organization = server.organization("unsiloed")
        sent = event("credit.used", organization, {"amount": 1, "who": "ada@example.com"})
        server.send("unsiloed", [sent])
        correction = {"id": f"c{next(_numbers)}", "actor": "a", "reason": "r"}
        correction |= {"void": [{"source": sent["source"], "id": sent["id"]}]}
        about = {"namespace": "unsiloed"}
        server.admin("POST", "/v1/corrections", correction, params={**about, "preview": "true"})
        assert log(server, organization=organization, action="correctEvents") == []
        server.admin("POST", "/v1/corrections", correction, params=about)
        undone = {"actor": "a", "reason": "r"}
        server.admin("POST", f"/v1/corrections/{correction['id']}/undo", undone, params=about)
        erasure = {"id": f"e{next(_numbers)}", "organization": organization, "property": "who"}
        erasure |= {"value": "ada@example.com", "actor": "a", "reason": "r"}
        assert server.admin("POST", "/v1/erasures", erasure).status_code == 200
        actions = [each["action"] for each in log(server, organization=organization)]
        assert actions == ["erase", "undoCorrection", "correctEvents", "createOrganization"]
        assert "ada@example.com" not in server.admin("GET", "/v1/audit-log").text
        name = f"audit{next(_numbers)}"
        catalog = {"namespace": name, "meters": [{"slug": "m", "event_type": "e", "aggregation": "COUNT"}]}
        path = f"/v1/namespaces/{name}/catalog"
        assert server.admin("PUT", path, catalog, params={"dry_run": "true"}).status_code == 200
        assert log(server, namespace=name) == []
        assert server.admin("PUT", path, catalog).status_code == 200
        [entry] = log(server, namespace=name)
        assert (entry["action"], entry["actor"], entry["about"]) == ("putCatalog", "the admin key", {"version": "1"})
        key = made(server, "read")
        [entry] = log(server, action="createOperatorKey", limit=1)
        assert entry["about"] == {"operator_key": key["id"], "name": key["name"], "role": "read"}

    def test_what_was_refused_is_no_change(self, server: Server) -> None:
        newest = log(server, limit=1)
        assert (
            server.admin("POST", "/v1/organizations/none/grants", {"meter": "credits", "amount": 1}).status_code == 404
        )
        assert server.admin("DELETE", "/v1/organizations/none").status_code == 404
        assert server.admin("DELETE", "/v1/operator-keys/none").status_code == 404
        assert log(server, limit=1) == newest

    def test_the_database_refuses_to_change_it(self, server: Server) -> None:
        server.organization("unsiloed")
        with closing(sqlite3.connect(server.data / "ledger.sqlite")) as ledger:
            for statement in ("UPDATE audit_log SET actor = 'nobody'", "DELETE FROM audit_log"):
                with pytest.raises(sqlite3.IntegrityError, match="the audit log is only added to"):
                    ledger.execute(statement)

    def test_it_has_no_secret(self, server: Server) -> None:
        secret = made(server, "operate")["key"]
        told = server.admin("GET", "/v1/audit-log").text
        assert secret not in told
        assert ADMIN_KEY not in told
