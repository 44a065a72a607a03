"""Versions of catalogs on the dashboard: they are those of the API."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from support.pages import Read, visitor
from support.server import ADMIN_KEY, Server

_numbers = count(1)
MALICE = "<script>alert(1)</script>"


def catalog(namespace: str, limit: int, more: str = "") -> str:
    return f"""
namespace = "{namespace}"
[[meters]]
slug = "tokens"
event_type = "ai.usage"
aggregation = "SUM"
value = "tokens"
group_by = ["model"]
{more}
[[plans]]
slug = "pro"
limits = {{ tokens = {limit} }}
"""


def put(server: Server, namespace: str, text: str, reason: str | None = None) -> None:
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/toml"}
    params = {} if reason is None else {"reason": reason}
    answer = server.http.put(
        f"/v1/namespaces/{namespace}/catalog", content=text.encode(), headers=headers, params=params
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture
def operator(server: Server) -> Iterator[httpx.Client]:
    with visitor(server, ADMIN_KEY) as client:
        yield client


@pytest.fixture
def namespace(server: Server) -> str:
    """A namespace with two versions of its catalog."""
    name = f"versions{next(_numbers)}"
    put(server, name, catalog(name, 1_000))
    calls = f'[[meters]]\nslug = "calls"\nevent_type = "ai.usage"\naggregation = "COUNT"\ndescription = "{MALICE}"'
    put(server, name, catalog(name, 500, calls), f"smaller {MALICE}")
    return name


def rows(client: httpx.Client, path: str) -> list[list[str]]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    read = Read(answer.text)
    assert ("script", {}) not in read.tags
    return [[cell["text"] for cell in row] for table in read.tables for row in table[1:]]


def test_the_newest_version_is_told_with_the_meters(server: Server, operator: httpx.Client, namespace: str) -> None:
    page = operator.get("/meters").text
    [newest, _] = server.admin("GET", f"/v1/namespaces/{namespace}/catalog/versions").json()
    section = page[page.index(f'id="h-{namespace}"') :]
    line = section[section.index("Version ") : section.index("</p>")]
    assert line.startswith(f"Version 2, by {newest['actor']}, ")
    assert "smaller &lt;script&gt;" in line
    assert f'href="/meters/{namespace}/versions"' in line
    assert "Version 0, by Meterhouse. " in page[page.index('id="h-unsiloed"') :]


def test_versions_are_listed_and_each_says_what_it_changed(
    server: Server, operator: httpx.Client, namespace: str
) -> None:
    told = server.admin("GET", f"/v1/namespaces/{namespace}/catalog/versions").json()
    found = rows(operator, f"/meters/{namespace}/versions")
    assert [[row[0], row[1], row[3]] for row in found] == [
        [str(each["version"]), each["actor"], each["reason"] or "–"] for each in told
    ]
    assert rows(operator, f"/meters/{namespace}/versions/2") == [
        ["meter", "calls", "added", "–", "–", "–"],
        ["plan", "pro", "changed", "limits.tokens", "1000", "500"],
    ]
    put(server, namespace, catalog(namespace, 500).replace('["model"]', '["model", "team"]'))
    assert rows(operator, f"/meters/{namespace}/versions/3") == [
        ["meter", "calls", "removed", "–", "–", "–"],
        ["meter", "tokens", "changed", "group_by", '["model"]', '["model","team"]'],
    ]
    server.admin("POST", f"/v1/namespaces/{namespace}/catalog/rollback", {"version": 1})
    assert rows(operator, f"/meters/{namespace}/versions")[0][3] == "– a copy of version 1"


def test_old_versions_are_on_further_pages(server: Server, operator: httpx.Client, namespace: str) -> None:
    for number in range(3, 46):
        put(server, namespace, catalog(namespace, number))
    found, path = list[str](), f"/meters/{namespace}/versions"
    for _ in range(3):
        page = Read(operator.get(path).text)
        found += [row[0]["text"] for row in page.tables[0][1:]]
        older = [given["href"] for tag, given in page.tags if tag == "a" and given.get("rel") == "next"]
        path = older[0] if older else ""
    assert (found, path) == ([str(number) for number in range(45, 0, -1)], "")


def test_versions_that_are_not_there_and_who_may_see_them(
    server: Server, operator: httpx.Client, namespace: str
) -> None:
    for path in (f"{namespace}/versions/9", f"{namespace}/versions/x", f"{namespace}/versions/0", "nowhere/versions",
                 "nowhere/versions/1"):  # fmt: skip
        assert operator.get(f"/meters/{path}").status_code == 404
    assert operator.get("/meters/unsiloed/versions/0").status_code == 200
    with visitor(server, server.key(server.organization(namespace))) as other, visitor(server) as nobody:
        for path in (f"/meters/{namespace}/versions", f"/meters/{namespace}/versions/1"):
            assert other.get(path).status_code == 403
            assert nobody.get(path).status_code == 303
