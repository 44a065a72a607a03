"""The hourly limit: exact, shared by an organization's keys, kept over kill -9, and used up by answers only."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import Server, serve

NOW = "2026-03-15T12:34:56.5Z"
HOUR_END = 1_773_579_600  # 13:00 UTC
PATH = "/api/v2/org/usage"


@pytest.fixture(scope="module")
def octolens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("limits") / "data", now=NOW) as running:
        yield running


def ask(server: Server, key: str, **options: Any) -> httpx.Response:
    return server.http.get(PATH, headers={"authorization": f"Bearer {key}"}, **options)


def limits(answer: httpx.Response) -> tuple[str | None, ...]:
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after")
    return tuple(answer.headers.get(name) for name in names)


def test_the_501st_answer_of_an_hour_is_refused_whichever_key_asks(octolens: Server) -> None:
    organization = octolens.organization("octolens")
    keys = [octolens.key(organization) for _ in range(3)]
    first = ask(octolens, keys[0])
    assert (first.status_code, limits(first)) == (200, ("500", "499", str(HOUR_END), None))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: ask(octolens, keys[number % 3]), range(509)))
    remaining = sorted(int(answer.headers["x-ratelimit-remaining"]) for answer in answers if answer.status_code == 200)
    assert remaining == list(range(499))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 10
    for answer in refused:
        assert answer.status_code == 429
        assert limits(answer) == ("500", "0", str(HOUR_END), "1504")
        assert answer.json() == {"error": {"code": "RATE_LIMITED", "message": "Rate limit exceeded", "status": 429}}
    assert ask(octolens, octolens.key(octolens.organization("octolens"))).headers["x-ratelimit-remaining"] == "499"


def test_what_is_refused_uses_up_nothing(octolens: Server) -> None:
    organization = octolens.organization("octolens")
    key, writer = octolens.key(organization), octolens.key(organization, scopes=["events:write"])
    assert ask(octolens, key).headers["x-ratelimit-remaining"] == "499"
    refused = [
        ask(octolens, writer),
        ask(octolens, key[:-1]),
        octolens.http.get(PATH),
        octolens.http.post(PATH, headers={"authorization": f"Bearer {key}"}),
    ]
    assert [answer.status_code for answer in refused] == [403, 401, 401, 404]
    assert all(limits(answer) == (None,) * 4 for answer in refused)
    assert ask(octolens, key, params={"unknown": "1"}).headers["x-ratelimit-remaining"] == "498"


def test_the_count_survives_kill_and_the_next_hour_begins_anew(tmp_path: Path) -> None:
    with serve(tmp_path / "data", now=NOW) as server:
        key = server.key(server.organization("octolens"))
        assert [ask(server, key).headers["x-ratelimit-remaining"] for _ in range(3)] == ["499", "498", "497"]
        server.kill()
    with serve(tmp_path / "data", now="2026-03-15T12:59:59.999999Z") as server:
        assert ask(server, key).headers["x-ratelimit-remaining"] == "496"
        server.stop()
    with serve(tmp_path / "data", now="2026-03-15T13:00:00Z") as server:
        again = ask(server, key)
        assert limits(again) == ("500", "499", str(HOUR_END + 3600), None)


def test_each_contract_has_its_own_limit_and_says_so_in_its_own_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = {
        "autoposting": ("/usage/summary", "x-api-key"),
        "aitronos": ("/v1/analytics/usage/summary/org-aitronos", "x-api-key"),
        "unsiloed": ("/org/get_usage", "api-key"),
    }
    for name in requests:
        monkeypatch.setenv(f"METERHOUSE_{name.upper()}_REQUESTS_PER_HOUR", "1")
    said = {}
    with serve(tmp_path / "data", now=NOW) as server:
        for name, (path, header) in requests.items():
            key = server.key(server.organization(name, id=f"org-{name}"))
            assert server.http.get(path, headers={header: key}).headers["x-ratelimit-remaining"] == "0"
            refused = server.http.get(path, headers={header: key})
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1504")
            said[name] = refused.json()
    assert said["autoposting"] == {
        "success": False,
        "error": "rate_limited",
        "message": "Too many requests. Try again later.",
    }
    assert said["aitronos"]["error"]["code"] == "RATE_LIMITED"
    assert said["unsiloed"] == {"detail": "Too Many Requests"}


def test_autoposting_names_its_limit_and_the_others_have_none(server: Server) -> None:
    for name, path, header, limit in (
        ("autoposting", "/usage/summary", "x-api-key", "100000"),
        ("unsiloed", "/org/get_usage", "api-key", None),
    ):
        key = server.key(server.organization(name))
        answer = server.http.get(path, headers={header: key})
        assert (answer.status_code, answer.headers.get("x-ratelimit-limit")) == (200, limit)
