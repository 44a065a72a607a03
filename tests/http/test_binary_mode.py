"""CloudEvents in binary mode: attributes in headers, data in the body."""

from __future__ import annotations

from urllib.parse import quote

import httpx
import pytest

from support.server import ADMIN_KEY, Server

ATTRIBUTES = {"ce-specversion": "1.0", "ce-source": "knative", "ce-type": "credit.used", "ce-traceparent": "00-x"}


def post(server: Server, content: bytes, **headers: str | None) -> httpx.Response:
    named = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json", **ATTRIBUTES}
    named |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    return server.http.post("/v1/events?namespace=unsiloed", content=content, headers=named)


def test_an_event_in_binary_mode_is_the_same_as_in_json(server: Server) -> None:
    org = server.organization("unsiloed")
    name = "株式会社 100%/é"
    answer = post(server, b' {"amount": 0.10} ', ce_id=quote(name), ce_subject=org, CE_Time="2026-03-01T00:00:00Z")
    assert (answer.status_code, answer.json()["ingested"]) == (200, 1)
    story = server.admin("GET", f"/v1/namespaces/unsiloed/events/knative/{quote(name, safe='')}").json()
    assert (story["id"], story["organization"], story["time"]) == (name, org, "2026-03-01T00:00:00Z")
    assert story["data"] == {"amount": 0.1}
    structured = {"specversion": "1.0", "id": name, "source": "knative", "type": "credit.used", "subject": org}
    assert server.send("unsiloed", [{**structured, "data": {"amount": 0.1}}])["duplicates"] == 1


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"amount": 1}, "id": "other"', 400),
        (b'{"amount": 1}', 200),
        (b"[1]", 422),
        (b'{"amount": 1, "amount": 2}', 422),
        (b'{"amount": "\xff"}', 422),
        (b"", 422),
        (b"{", 400),
    ],
)
def test_the_body_is_the_data_and_nothing_else(server: Server, content: bytes, status: int) -> None:
    org = server.organization("unsiloed")
    assert post(server, content, ce_id="1", ce_subject=org, ce_source=org).status_code == status


def test_what_is_no_event_in_binary_mode_is_refused(server: Server) -> None:
    org = server.organization("unsiloed")
    assert post(server, b'{"amount": 1}', ce_subject=org).status_code == 422, "it has no id"
    lines = post(server, b'{"amount": 1}', ce_id="1", ce_subject=org, content_type="application/x-ndjson")
    assert lines.status_code == 400
    twice = [(name, value) for name, value in {**ATTRIBUTES, "ce-id": "1", "ce-subject": org}.items()]
    twice += [("CE-ID", "2"), ("authorization", f"Bearer {ADMIN_KEY}"), ("content-type", "application/json")]
    answer = server.http.post("/v1/events?namespace=unsiloed", content=b'{"amount": 1}', headers=twice)
    assert answer.status_code == 400
    assert "ce-id" in answer.json()["detail"]
    named = post(server, b'{"specversion": "1.0"}', content_type="application/cloudevents+json")
    assert named.status_code == 422, "the content type says that the body is the event"
