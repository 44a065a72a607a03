"""Golden cases: events in, and the very bytes that the contract's clients get out.

A case is `tests/contracts/<contract>/<case>.json`; `meterhouse.testing` says what is in it, and runs it here against a
real server. Expected texts were worked out by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterhouse.contracts import installed
from meterhouse.testing import CaseError, check_case, read_case
from support.server import ADMIN_KEY, serve

FOLDER = Path(__file__).parent
CATALOGS = FOLDER.parents[1] / "src" / "meterhouse" / "catalogs"
CASES = sorted(FOLDER.glob("*/*.json"))
CASE = json.loads((FOLDER / "unsiloed" / "overuse.json").read_text())


@pytest.mark.parametrize("path", CASES, ids=[f"{path.parent.name}/{path.stem}" for path in CASES])
def test_golden(request: pytest.FixtureRequest, tmp_path: Path, path: Path) -> None:
    case = read_case(path)
    shared = case.script.now == "2026-03-15T12:00:00Z"
    running = nullcontext(request.getfixturevalue("server")) if shared else serve(tmp_path / "data", now=case.now)
    with running as server:

        def call(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Response:
            return server.http.request(method, path, headers=headers, content=body)

        mismatches = check_case(case, path.parent.name, call, ADMIN_KEY)
    assert not mismatches, "\n".join(mismatches)


def test_every_contract_has_golden_cases() -> None:
    assert {path.parent.name for path in CASES} == set(installed())


def golden(folder: Path, catalog: Path) -> tuple[int, str]:
    """Exit code and output of the runner in a process of its own."""
    command = [sys.executable, "-m", "meterhouse.testing", str(folder), "--catalog", str(catalog)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def write(path: Path, **changes: Any) -> Path:
    """A case like that of Unsiloed's overuse, with these changes."""
    path.write_text(json.dumps({**CASE, **changes}))
    return path


def test_a_folder_runs_without_a_server(tmp_path: Path) -> None:
    """Also cases of several instants; and one of them that is wrong does not stop the others."""
    write(tmp_path / "right.json")
    # A cycle later nothing is used yet, and the cycle began on the 9th.
    answer = '{"org_id":"later","org_name":"Later","current_usage":0,"usage_limit":10,"remaining_quota":10,'
    answer += '"last_billed_date":"2026-04-08"}'
    write(
        tmp_path / "wrong.json",
        now="2026-04-10T12:00:00Z",
        organization={"id": "later", "name": "Later"},
        requests=[{**CASE["requests"][0], "answer": answer}],
    )
    count = len(CASE["requests"])
    assert golden(tmp_path, CATALOGS / "unsiloed.toml") == (
        1,
        f"{tmp_path.name}/wrong: GET /api/v1/org/get_usage\n"
        f"  expected  200 {answer}\n  answered  200 {answer.replace('-08', '-09')}\n"
        '  from here expected  8"}\n  from here answered  9"}\n'
        f"cases: 2, requests: {count + 1}, mismatches: 1\n",
    )
    (tmp_path / "wrong.json").unlink()
    assert golden(tmp_path, CATALOGS / "unsiloed.toml") == (0, f"cases: 1, requests: {count}, mismatches: 0\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "truncated"),
        ("\xff", "invalid"),
        ('{"organization":{"id":"a"},"requests":[]}', "length >= 1"),
        ('{"organization":{"id":"a"},"requests":[{"path":"/","status":200,"anwser":{}}]}', "anwser"),
        ('{"organization":{"id":"a"},"requests":[{"path":"/","status":200,"answer":{}}],"evnts":[]}', "evnts"),
        ('{"organization":{"id":"a"},"requests":[{"path":"/","status":200,"answer":1}],"now":"noon"}', "noon"),
        (
            '{"organization":{"id":"a"},"requests":[{"path":"/","status":200,"answer":1}],"events":[["a",null,{},{}]]}',
            "times",
        ),
    ],
)
def test_a_case_that_cannot_be_run_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text, "latin-1")
    with pytest.raises(CaseError, match=rf"^{re.escape(str(path))}: .*{words}"):
        read_case(path)


def test_nothing_to_run_is_no_success(tmp_path: Path) -> None:
    code, output = golden(tmp_path, CATALOGS / "unsiloed.toml")
    assert (code, output) == (1, f"error: {tmp_path} has no case: there is no *.json in it\n")
    write(tmp_path / "case.json")
    code, output = golden(tmp_path, tmp_path / "absent.toml")
    assert (code, output) == (
        1,
        f"error: {tmp_path / 'absent.toml'}: cannot be read: No such file or directory; "
        "see --catalog and METERHOUSE_CATALOGS\n",
    )


class Played:
    """A Meterhouse that answers everything well, and the contract's path as it is told."""

    def __init__(self, answer: httpx.Response):
        self.answer = answer
        self.sent: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.report: dict[str, Any] = {"errors": []}

    def __call__(self, _method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> httpx.Response:
        if path.startswith("/v1/events"):
            assert body is not None
            self.sent += json.loads(body)
            return httpx.Response(200, json=self.report)
        if path.startswith("/v1/"):
            return httpx.Response(201, json={"key": "secret"})
        self.headers.append(headers)
        return self.answer


def answered(text: str, *, status: int = 200, media_type: str = "application/json") -> httpx.Response:
    return httpx.Response(status, text=text, headers={"content-type": media_type, "x-request-id": "request-7"})


def check(path: Path, played: Callable[..., httpx.Response], answer: object, **changes: Any) -> list[str]:
    asked = {"path": "/it", "status": 200, "headers": {"k": "a {key}"}, "answer": answer}
    case = read_case(write(path / "case.json", **{"events": [], "requests": [asked], **changes}))
    return check_case(case, "unsiloed", played, "admin")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"a": [0, "ü", None], "id": "{request_id}"}, '{"a":[0,"ü",null],"id":"request-7"}'),
        ('{"a": 1.0}\n', '{"a": 1.0}\n'),
        ({"amount": 0.0, "n": 12345678901234567890123}, '{"amount":0.0,"n":12345678901234567890123}'),
    ],
)
def test_the_very_bytes_are_compared(tmp_path: Path, answer: object, text: str) -> None:
    played = Played(answered(text))
    assert check(tmp_path, played, answer) == []
    assert played.headers == [{"k": "a secret"}]
    [mismatch] = check(tmp_path, Played(answered(text + " ")), answer)
    assert mismatch.endswith("\n  from here expected  nothing more\n  from here answered   ")
    [mismatch] = check(tmp_path, Played(answered(text, status=201)), answer)
    assert f"answered  201 {text}" in mismatch
    [mismatch] = check(tmp_path, Played(answered(text, media_type="text/plain")), answer)
    assert "the content type is text/plain" in mismatch


def test_an_event_may_stand_for_many(tmp_path: Path) -> None:
    played = Played(answered("1"))
    events = [
        ["a", "2026-03-01T00:00:00Z", {"n": 1.10}],
        ["b", None, {"x": 1, "who": "all"}, {"times": 6_000, "numbered": "who"}],
    ]
    assert check(tmp_path, played, 1, events=events) == []
    assert len(played.sent) == len({event["id"] for event in played.sent}) == 6_001
    assert played.sent[0]["time"] == "2026-03-01T00:00:00Z"
    assert [event["data"] for event in played.sent[1:]] == [{"x": 1, "who": str(n)} for n in range(1, 6_001)]


def test_what_cannot_be_prepared_is_said(tmp_path: Path) -> None:
    played = Played(answered("1"))
    played.report = {"errors": [{"id": "case-0", "message": "data.amount must be a number"}]}
    [mismatch] = check(tmp_path, played, 1, events=[["a", None, {}]])
    assert mismatch == f"{tmp_path.name}/case: event case-0 was not taken: data.amount must be a number"
    [mismatch] = check(tmp_path, lambda *_: httpx.Response(409, text="taken"), 1)
    assert mismatch == f"{tmp_path.name}/case: POST /v1/organizations was answered with 409: taken"
