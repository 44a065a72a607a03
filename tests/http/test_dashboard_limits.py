"""Limits and reservations on the page of an organization: they are those of the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meterhouse.domain.period import parse_instant
from support.pages import Read, visitor
from support.server import ADMIN_KEY, Server, event, serve

CATALOG = """
namespace = "shop"

[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = "tokens"
group_by = ["team"]

[[meters]]
slug = "runs"
event_type = "run"
aggregation = "COUNT"

[pools.credits]
rates = { tokens = 2 }

[[plans]]
slug = "Teams"
[plans.limits]
credits = 3_000
tokens = [1_000, { amount = 300, per = "team" }, { amount = 50, window = "day", mode = "soft" }]
runs = [{ amount = 2, mode = "shadow" }]

[[plans]]
slug = "Open"
"""
MALICE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("limits")
    catalog: Path = folder / "shop.toml"
    catalog.write_text(CATALOG)
    with serve(folder / "data", arguments=("--catalog", str(catalog))) as made:
        yield made


def organization(server: Server, plan: str = "Teams") -> str:
    return server.organization("shop", {"plan": plan, "anchor": "2026-01-01", "interval": "P1M"})


def reserve(server: Server, made: str, amount: int, meter: str = "tokens", **more: Any) -> dict[str, Any]:
    body = {"meter": meter, "amount": amount, **more}
    answer = server.admin("POST", f"/v1/organizations/{made}/reservations", body)
    assert answer.status_code in (201, 402), answer.text
    return dict(answer.json())


def tables(server: Server, made: str) -> dict[str, list[list[str]]]:
    """The tables of the page by their first heading."""
    with visitor(server, ADMIN_KEY) as operator:
        answer = operator.get(f"/organizations/{made}")
    assert answer.status_code == 200, answer.text
    found = [[[cell["text"] for cell in row] for row in table] for table in Read(answer.text).tables]
    return {table[0][0]: table[1:] for table in found}


def test_limits_are_shown_as_they_are(server: Server) -> None:
    made = organization(server)
    sent = [event("call", made, {"tokens": number, "team": team}) for number, team in ((40, "blue"), (7, MALICE))]
    server.send("shop", sent)
    reserve(server, made, 100, **{"for": {"team": "blue"}})
    lines = [row[:7] for row in tables(server, made)["Limit of"]]
    assert lines == [
        ["tokens", "period", "hard", "1,000", "47", "100", "853"],
        ["tokens team blue", "period", "hard", "300", "40", "100", "160"],
        [f"tokens team {MALICE}", "period", "hard", "300", "7", "0", "293"],
        ["tokens", "day", "soft", "50", "47", "100", "-97"],
        ["runs", "period", "shadow", "2", "0", "0", "2"],
        ["credits", "period", "hard", "3,000", "94", "200", "2,706"],
    ]
    told = server.admin("POST", f"/v1/organizations/{made}/check", {"meter": "tokens", "for": {"team": "blue"}}).json()
    assert [each["left"] for each in told["limits"]] == [853, 160, -97, 2706]


def test_decisions_without_room_are_counted_by_mode_since_the_start(server: Server) -> None:
    made = organization(server)

    def counted() -> dict[tuple[str, str], int]:
        return {(row[0], row[2]): int(row[8]) for row in tables(server, made)["Limit of"]}

    before = counted()
    reserve(server, made, 60)  # beyond the soft one
    reserve(server, made, 5_000)
    reserve(server, made, 5_000)
    runs = [event("run", made, {}) for _ in range(5)]
    assert server.admin("POST", "/v1/events?namespace=shop&enforce=true", runs).json()["ingested"] == 5
    after = counted()
    assert {name: after[name] - before[name] for name in after} == {
        ("tokens", "soft"): 1,
        ("tokens", "hard"): 2,
        ("runs", "shadow"): 3,
        ("credits", "hard"): 0,
    }


def test_open_reservations_are_listed_until_they_end(server: Server) -> None:
    made = organization(server)
    assert "Id" not in tables(server, made)
    reserve(server, made, 10, id="job-1", **{"for": {"team": MALICE}})
    reserve(server, made, 20, "credits", id="job-2")
    told = server.admin("GET", f"/v1/organizations/{made}/reservations").json()
    rows = tables(server, made)["Id"]
    assert [row[:4] for row in rows] == [["job-1", "tokens", "10", f"team {MALICE}"], ["job-2", "credits", "20", "–"]]
    ends = [parse_instant(each["expires_at"]) for each in told]
    assert [row[4] for row in rows] == [f"{end.day} {end:%b %Y, %H:%M} UTC" for end in ends]
    for each in told:
        server.admin("DELETE", f"/v1/organizations/{made}/reservations/{each['id']}")
    assert "Id" not in tables(server, made)


def test_nothing_is_shown_where_nothing_limits_and_to_nobody_else(server: Server) -> None:
    assert "Limit of" not in tables(server, organization(server, "Open"))
    made = organization(server)
    reserve(server, made, 1)
    with visitor(server, server.key(made)) as itself:
        page = itself.get(f"/organizations/{made}").text
    assert "Limits that hold" not in page
    assert "Open reservations" not in page
