"""The product's official client, the package `onepin`, unmodified: its SDK and its command line on a real server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from onepin import AsyncOnepinClient, OnepinClient, UnprocessableEntityError
from onepin.core.api_error import ApiError

from meterhouse.contracts.onepin.activity import ACTIONS
from support.server import ADMIN_KEY, Server, altered, event, free_port, serve

LONG_AGO = "2024-01-01T00:00:00Z"
RANGES, VIEWS = ("30d", "60d", "90d"), ("daily", "weekly", "monthly")


def activity(org: str, number: int, action: str, **more: Any) -> dict[str, Any]:
    data = {
        "action": action,
        "kind": "done",
        "user": {"id": f"user-{number % 3}", "name": f"User {number % 3}"},
        "resource": {"type": "workflow", "id": f"wf-{number}", "name": f"Workflow {number}"},
        "metadata": {"number": number},
        "ip": "203.0.113.7",
        **more,
    }
    return event("workspace.activity", org, data, at=f"2026-03-{1 + number % 14:02}T10:00:00Z", id=f"{org}-{number:03}")


@pytest.fixture(scope="module")
def workspace(server: Server) -> str:
    org = server.organization("onepin", {"plan": "Studio", "anchor": "2026-03-01", "interval": "P1M"})
    lines = [
        ("en-us", "100", 1000),
        ("ko-kr", "50.5", 300),
        ("en-us", "50", 500),
        (None, "99.5", 700),
        ("zz-nowhere", "0.25", 1),
    ]
    events = [
        event(
            "line.generated",
            org,
            {"run_id": "r", "user_id": "ada", "characters": n, "credits": credits, "corrected_words": 2}
            | ({"locale": locale} if locale else {}),
            at="2026-03-10T10:00:00Z",
        )
        for locale, credits, n in lines
    ]
    server.send("onepin", events + [activity(org, n, ACTIONS[n % len(ACTIONS)]) for n in range(45)])
    server.send(
        "onepin",
        [event("workspace.activity", org, {"action": "template_applied", "kind": "auto"}, at="2026-03-15T11:00:00.5Z")],
    )
    return org


@pytest.fixture(scope="module")
def key(server: Server, workspace: str) -> str:
    return server.key(workspace, user_id="ada")


@pytest.fixture
def client(server: Server, key: str) -> Iterator[OnepinClient]:
    with sdk(server, key) as made:
        yield made


class sdk:  # noqa: N801 - reads as a function where it is used
    """The synchronous SDK with a client of its own, closed at the end."""

    def __init__(self, server: Server, key: str) -> None:
        self._http = httpx.Client(trust_env=False)
        self._client = OnepinClient(api_key=key, base_url=str(server.http.base_url), httpx_client=self._http)

    def __enter__(self) -> OnepinClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._http.close()


class TestSdk:
    @pytest.mark.parametrize("view", VIEWS)
    @pytest.mark.parametrize("length", RANGES)
    def test_every_range_and_view(self, client: OnepinClient, length: Any, view: Any) -> None:
        answer = client.usage.usage_summary(range=length, activity_view=view, timezone="Asia/Kathmandu")
        data = answer.data
        assert (data.range, data.activity_view, data.timezone) == (length, view, "Asia/Kathmandu")
        assert len(data.daily) == int(length[:-1])
        assert len(data.activity.buckets) == {"daily": 7, "weekly": 12, "monthly": 12}[view]
        assert data.credits.used == 300
        assert data.credits.quota == 500_000
        assert data.lines.total == sum(day.lines for day in data.daily) == 5
        assert data.corrected.total == 10

    def test_by_language(self, client: OnepinClient) -> None:
        data = client.usage.usage_by_language(range="60d").data
        assert (data.range, data.activity_view, data.total_credits, data.untagged_credits) == ("60d", None, 300, 99)
        assert [
            (row.locale_code, row.display_name, row.share, row.credits, row.characters, row.corrected, row.lines)
            for row in data.languages
        ] == [
            ("en-us", "English (US)", 0.4996, 150, 1500, 4, 2),
            ("ko-kr", "Korean (KR)", 0.1682, 50, 300, 2, 1),
            ("zz-nowhere", "zz-nowhere", 0.0008, 0, 1, 2, 1),
        ]
        assert {row.allocation_basis for row in data.languages} == {"credits"}

    @pytest.mark.parametrize(("view", "start"), [("daily", "03-09"), ("weekly", "12-22"), ("monthly", "04-01")])
    def test_by_language_over_the_window_of_a_view(self, client: OnepinClient, view: Any, start: str) -> None:
        data = client.usage.usage_by_language(range="30d", activity_view=view).data
        assert (data.range, data.activity_view) == (None, view)
        assert data.period.start.strftime("%m-%d") == start

    def test_activity_to_the_end_and_back(self, client: OnepinClient) -> None:
        page = client.usage.usage_activity(limit=20)
        pages = [page]
        while page.pagination.next is not None:
            page = client.usage.usage_activity(limit=20, cursor=page.pagination.next)
            pages.append(page)
        assert [len(page.data) for page in pages] == [20, 20, 6]
        entries = [entry for page in pages for entry in page.data]
        assert len({entry.id for entry in entries}) == 46
        assert [entry.timestamp for entry in entries] == sorted((entry.timestamp for entry in entries), reverse=True)
        assert (entries[0].user, entries[0].ip, entries[0].metadata) == (None, None, None)
        assert (entries[1].resource.type, entries[1].ip) == ("workflow", "203.0.113.7")
        assert entries[1].user is not None
        assert entries[1].metadata is not None
        assert entries[1].metadata["number"] in range(45)
        previous = client.usage.usage_activity(limit=20, cursor=pages[2].pagination.prev)
        assert [entry.id for entry in previous.data] == [entry.id for entry in pages[1].data]

    def test_activity_of_a_kind_and_a_member(self, client: OnepinClient) -> None:
        found = client.usage.usage_activity(type="workflow_run", user_id="user-0", limit=100).data
        assert len(found) == 8
        assert {(entry.action, entry.user.id if entry.user else "") for entry in found} == {("workflow_run", "user-0")}
        assert client.usage.usage_activity(user_id="ada").data == []  # a member by her key, who did nothing

    def test_members_are_those_behind_keys_and_those_that_events_name(
        self, client: OnepinClient, server: Server, workspace: str
    ) -> None:
        members = ("by-key", "by-run", "by-line", "user-0")
        for member in members[:3]:
            with pytest.raises(ApiError):
                client.usage.usage_activity(user_id=member)
        server.key(workspace, user_id="by-key")
        server.send(
            "onepin",
            [
                event("run.state", workspace, {"run_id": "x", "user_id": "by-run", "state": "pending"}, at=LONG_AGO),
                event(
                    "line.generated",
                    workspace,
                    {"run_id": "x", "user_id": "by-line", "characters": 1, "credits": 1},
                    at=LONG_AGO,
                ),
            ],
        )
        for member in members:
            client.usage.usage_activity(user_id=member)

    def test_its_errors(self, client: OnepinClient, server: Server, key: str) -> None:
        with pytest.raises(UnprocessableEntityError):
            client.usage.usage_summary(timezone="Mars/Olympus")
        with pytest.raises(ApiError) as missing:
            client.usage.usage_activity(user_id="nobody")
        assert (missing.value.status_code, missing.value.body["error"]["code"]) == (404, "NOT_FOUND")
        with pytest.raises(ApiError) as denied:
            client.usage.usage_summary(workspace_id="another")
        assert (denied.value.status_code, denied.value.body["error"]["code"]) == (403, "FORBIDDEN")
        with sdk(server, altered(key)) as stranger, pytest.raises(ApiError) as refused:
            stranger.usage.usage_summary()
        assert refused.value.status_code == 401

    def test_the_asynchronous_client(self, server: Server, key: str) -> None:
        async def ask() -> tuple[int, int, int]:
            async with httpx.AsyncClient(trust_env=False) as http:
                client = AsyncOnepinClient(api_key=key, base_url=str(server.http.base_url), httpx_client=http)
                summary = await client.usage.usage_summary(range="90d", activity_view="monthly")
                languages = await client.usage.usage_by_language()
                page = await client.usage.usage_activity(limit=100)
                return summary.data.lines.total, len(languages.data.languages or []), len(page.data)

        assert asyncio.run(ask()) == (5, 3, 46)


class Cli:
    """The command `onepin`, with a home of its own."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url

    def __call__(self, *arguments: str, key: str | None = None) -> tuple[int, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONEPIN_")}
        environment |= {"HOME": str(self.home), "ONEPIN_BASE_URL": self.url, "NO_COLOR": "1", "COLUMNS": "200"}
        if key is not None:
            environment["ONEPIN_API_KEY"] = key
        command = Path(sys.executable).with_name("onepin")
        done = subprocess.run(
            [command, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Cli:
    return Cli(tmp_path, str(server.http.base_url))


class TestCommandLine:
    def test_summary_languages_activity_and_whoami(self, cli: Cli, key: str, workspace: str) -> None:
        options = ("--range", "30d", "--activity-view", "weekly", "--timezone", "America/New_York")
        status, shown = cli("--json", "usage", "summary", *options, key=key)
        assert (status, json.loads(shown)["activity"]["range_label"]) == (0, "Last 12 weeks")
        status, shown = cli("--json", "usage", "by-language", key=key)
        assert (status, json.loads(shown)["total_credits"]) == (0, 300)
        status, shown = cli("usage", "activity", "--limit", "2", key=key)
        assert status == 0
        assert "template_applied" in shown
        status, shown = cli("whoami", key=key)
        assert status == 0
        assert f"Auth: api_key\nWorkspace: {workspace}\nScopes: workspace:read" in shown

    def test_login_keeps_a_key_that_is_good(self, cli: Cli, key: str) -> None:
        status, shown = cli("login", "--key", "op_live_" + "0" * 32, "--base-url", cli.url)
        assert status == 1
        assert "[INVALID_API_KEY] Key rejected" in shown
        status, shown = cli("login", "--key", key, "--base-url", cli.url)
        assert (status, "Logged in." in shown) == (0, True)
        status, shown = cli("--json", "usage", "summary")
        assert (status, json.loads(shown)["lines"]["total"]) == (0, 5)

    @pytest.mark.parametrize(
        ("arguments", "printed"),
        [
            (("usage", "summary", "--timezone", "Mars/Olympus"), "[VALIDATION_ERROR] Request validation failed"),
            (("usage", "activity", "--user-id", "nobody"), "[NOT_FOUND] User is not a member of this workspace"),
            (("--workspace", "another", "usage", "summary"), "[FORBIDDEN] Access to this workspace is denied"),
        ],
    )
    def test_what_it_prints_on_a_refusal(self, cli: Cli, key: str, arguments: tuple[str, ...], printed: str) -> None:
        status, shown = cli(*arguments, key=key)
        assert status == 1
        assert printed in shown
        assert "request_id=" in shown

    def test_what_it_prints_without_a_good_key(self, cli: Cli, key: str) -> None:
        assert "[UNAUTHORIZED] Invalid credentials" in cli("usage", "summary", key=altered(key))[1]
        assert "[INVALID_API_KEY] Invalid credentials" in cli("whoami", key=altered(key))[1]

    def test_it_waits_as_told_and_then_says_that_there_were_too_many(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("METERHOUSE_ONEPIN_REQUESTS_PER_HOUR", "1")
        with serve(tmp_path / "data", now="2026-03-15T11:59:59Z") as limited:
            key = limited.key(limited.organization("onepin"))
            command_line = Cli(tmp_path, str(limited.http.base_url))
            assert command_line("usage", "summary", key=key)[0] == 0
            status, shown = command_line("usage", "summary", key=key)
            refused = limited.http.get("/api/v1/usage/summary", headers={"authorization": f"Bearer {key}"})
        assert status == 1
        assert "[RATE_LIMITED] Too many requests" in shown
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")

    def test_what_it_prints_when_the_server_fails(self, tmp_path: Path) -> None:
        with failing_server(tmp_path / "data") as failing:
            organization = {"id": "acme", "name": "Acme", "namespace": "onepin"}
            admin = {"authorization": f"Bearer {ADMIN_KEY}"}
            failing.post("/v1/organizations", json=organization, headers=admin).raise_for_status()
            key = failing.post("/v1/organizations/acme/keys", headers=admin).json()["key"]
            status, shown = Cli(tmp_path, str(failing.base_url))("usage", "summary", key=key)
        assert status == 1
        assert "[INTERNAL_ERROR] Internal error" in shown
        assert "disk" not in shown


class failing_server:  # noqa: N801 - reads as a function where it is used
    """A real server whose store fails every question."""

    SCRIPT = """
import sys
from meterhouse import cli
from meterhouse.storage.clickhouse.store import ClickHouseEventStore

def fail(store, query):
    raise RuntimeError("the disk of db-7 is on fire")

ClickHouseEventStore.measure = fail
sys.argv = ["meterhouse", *sys.argv[1:]]
cli.main()
"""

    def __init__(self, data: Path) -> None:
        port = free_port()
        command = [sys.executable, "-c", self.SCRIPT, "serve", "--data", str(data), "--port", str(port)]
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def __enter__(self) -> httpx.Client:
        for _ in range(600):
            try:
                if self._http.get("/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                assert self._process.poll() is None
                time.sleep(0.05)
        return self._http

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.kill()
        self._process.wait()
