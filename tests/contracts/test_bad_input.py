"""What no client should send, sent to every path of every contract: nothing of it is our failure, and nothing of it
changes what the next one is told."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import httpx
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from meterhouse.contracts import installed
from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.wiring import open_meterhouse
from support import documents
from support.asgi import client_of
from support.documents import documents_of
from support.server import Server, event

CONTRACTS = installed()
ENDPOINTS = [(name, path) for name, contract in CONTRACTS.items() for route in contract.routes for path in route.paths]
BEARERS = [name for name, contract in CONTRACTS.items() if "bearer" in contract.security]
ONEPIN = {path: route.parameters for route in CONTRACTS["onepin"].routes for path in route.paths}
QUERY = [(path, str(said["name"])) for path in ONEPIN for said in ONEPIN[path] if said["in"] == "query"]
ACTIVITY = "/api/v1/usage/activity"
ASKS_THE_STORE_NOTHING = {"/api/v1/auth/whoami"}
METHODS = ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "INVENTED")
NOT_ALLOWED = {name: documents.NOT_ALLOWED.get(name, (405, "GET")) for name in CONTRACTS}
each_endpoint = pytest.mark.parametrize(("name", "path"), ENDPOINTS)


@dataclass(frozen=True)
class Caller:
    """An organization of a contract and its key."""

    server: Server
    contract: str
    organization: str
    key: str

    @property
    def credentials(self) -> list[tuple[str, str]]:
        """Every header that carries the key, any one of which suffices."""
        return [
            ("Authorization", f"Bearer {self.key}") if scheme["type"] == "http" else (scheme["name"], self.key)
            for scheme in CONTRACTS[self.contract].security.values()
        ]

    def get(self, path: str, query: Any = None, *headers: tuple[str, str]) -> httpx.Response:
        """Asks with the key, and with these headers beside it."""
        return self.ask("GET", path, [*self.credentials[:1], *headers], query)

    def ask(self, method: str, path: str, headers: list[tuple[str, str]], query: Any = None) -> httpx.Response:
        path = path.format(org_id=self.organization)
        return self.server.http.request(method, path, params=query, headers=headers)


@pytest.fixture(scope="module")
def callers(server: Server) -> dict[str, Caller]:
    found = {}
    for name in CONTRACTS:
        organization = server.organization(name)
        found[name] = Caller(server, name, organization, server.key(organization, user_id="ada"))
    return found


@dataclass(frozen=True)
class Raw:
    """An answer to bytes that no client library would send."""

    status: int
    headers: httpx.Headers
    content: bytes
    rest: bytes
    """What came after the answer."""


def send_raw(server: Server, request_line: bytes, *headers: bytes) -> Raw:
    """What the application answers is held to its document; what the HTTP layer refuses has no request id."""
    method, target, _ = request_line.split(b" ", 2)
    lines = (request_line, b"Host: localhost", b"Connection: close", *headers, b"", b"")
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=30)) as wire:
        wire.sendall(b"\r\n".join(lines))
        with closing(HTTPResponse(wire, method=method.decode())) as response:
            response.begin()
            content, headers_read = response.read(), httpx.Headers(response.getheaders())
        rest = wire.recv(1000)
    if "x-request-id" in headers_read:
        path = httpx.URL(target.decode("latin-1")).path
        documents_of().check(method.decode(), path, response.status, headers_read, content)
    return Raw(response.status, headers_read, content, rest)


def without_id(answer: httpx.Response) -> str:
    return answer.text.replace(answer.headers["x-request-id"], "<id>")


def problem(answer: httpx.Response) -> dict[str, Any]:
    """OnePin's only detail of a refusal for what is in the query."""
    assert answer.status_code == 422, answer.text
    body = answer.json()
    assert body.keys() == {"error", "meta"}
    assert body["error"]["code"] == "VALIDATION_ERROR"
    assert body["meta"]["request_id"] == answer.headers["x-request-id"]
    [detail] = body["error"]["details"]
    return detail  # type: ignore[no-any-return]


class TestQuery:
    @each_endpoint
    @pytest.mark.parametrize(
        "query",
        [
            [("unknown", "x")],
            [("unknown", "x"), ("unknown", "y")],
            [("Range", "31d"), ("TIMEZONE", "nowhere"), ("limit[]", "-1"), ("range ", "")],
            [("unknown", "x" * 10_000)],
            [("x" * 10_000, "")],
            [(f"unknown{number}", "") for number in range(1000)],
            [("", ""), ("\0", "\0"), ("é", "\N{PILE OF POO}"), ("org_id", "another"), ("__proto__", "1")],
        ],
        ids=["one", "repeated", "nearly known", "long", "long name", "many", "odd"],
    )
    def test_unknown_parameters_change_nothing(
        self, callers: dict[str, Caller], name: str, path: str, query: list[tuple[str, str]]
    ) -> None:
        answer = callers[name].get(path, query)
        assert answer.status_code == 200, answer.text
        assert without_id(answer) == without_id(callers[name].get(path))

    @each_endpoint
    def test_a_query_that_no_server_reads_is_refused_and_the_next_one_is_read(
        self, server: Server, callers: dict[str, Caller], name: str, path: str
    ) -> None:
        caller = callers[name]
        target = path.format(org_id=caller.organization).encode()
        key = ": ".join(caller.credentials[0]).encode()
        for query, statuses in (
            (b"?unknown=" + b"x" * 100_000, {414}),
            (b"?timezone=" + b"x" * 100_000, {414}),
            (b"?timezone=\xff", {400}),
            (b"?" + b"&" * 10_000, {200}),
            (b"?%", {200}),
            (b"?a=%zz&%f", {200}),
            (b"??&==&=&?", {200}),
        ):
            assert send_raw(server, b"GET " + target + query + b" HTTP/1.1", key).status in statuses, query[:30]
        assert caller.get(path).status_code == 200

    @pytest.mark.parametrize(("path", "parameter"), QUERY)
    def test_onepin_refuses_a_known_parameter_that_is_repeated(
        self, callers: dict[str, Caller], path: str, parameter: str
    ) -> None:
        valid = {"range": "30d", "activity_view": "daily", "type": "workflow_run", "limit": "20", "user_id": "ada"}
        value = {**valid, "timezone": "UTC", "cursor": "x"}[parameter]
        for values in ((value, value), (value, ""), ("", ""), (value,) * 1000):
            detail = problem(callers["onepin"].get(path, [(parameter, each) for each in values]))
            assert detail == {"field": parameter, "message": "must be given once"}

    @pytest.mark.parametrize(("path", "parameter"), [each for each in QUERY if each[1] != "user_id"])
    def test_onepin_names_a_known_parameter_that_is_bad(
        self, callers: dict[str, Caller], path: str, parameter: str
    ) -> None:
        values = ["", " ", "\0", "é", "x", "null", "30D", "0", "-1", "101", "1.0", "1e1", "٣", "²", "+5", " 5", "0x1"]
        for value in (*values, "9" * 5000, "x" * 10_000):
            if (parameter, value) == ("limit", "30D"):
                continue
            detail = problem(callers["onepin"].get(path, {parameter: value}))
            assert detail["field"] == parameter
            assert 1 <= len(detail["message"]) < 300

    @pytest.mark.parametrize("user_id", ["", " ", "\0", "é", "x", "x" * 200, "x" * 10_000, "ada ", "' OR 1=1 --", "%"])
    def test_onepin_knows_no_such_member(self, callers: dict[str, Caller], user_id: str) -> None:
        answer = callers["onepin"].get(ACTIVITY, {"user_id": user_id})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")

    def test_a_parameter_of_another_operation_is_unknown(self, callers: dict[str, Caller]) -> None:
        bad = {"range": "31d", "timezone": "nowhere", "cursor": "x", "limit": "0", "activity_view": "hourly"}
        for name, path in ENDPOINTS:
            known = {said["name"] for said in ONEPIN.get(path, ())}
            query = {field: value for field, value in bad.items() if field not in known}
            assert callers[name].get(path, query).status_code == 200

    @pytest.mark.parametrize(
        "zone",
        [
            *("", " ", ".", "..", "/", "/etc/passwd", "/usr/share/zoneinfo/UTC", "../UTC", "Europe/../Europe/Zurich"),
            *("Europe//Zurich", "Europe/Zurich/", "Europe", "europe/zurich", "UTC ", " UTC", "UTC\0", "\0", "UTC\n"),
            *("+02:00", "-0500", "UTC+2", "GMT+02:00", "Z", "localtime", "posixrules", "posix/UTC", "right/UTC"),
            *("tzdata.zi", "zone.tab", "Europe\\Zurich", "Zürich", "Ｕ", "\N{PILE OF POO}", "CON", "x" * 10_000),
            *("%2e%2e/UTC", "UTC,UTC", "null", "None", "0", "Europe/Zürich", "file:///etc/localtime"),
        ],
        ids=ascii,
    )
    def test_onepin_refuses_what_is_no_time_zone(self, callers: dict[str, Caller], zone: str) -> None:
        for path in ONEPIN:
            if (path, "timezone") in QUERY:
                detail = problem(callers["onepin"].get(path, {"timezone": zone}))
                assert detail["field"] == "timezone"
                assert "is not an IANA time zone" in detail["message"]

    @settings(max_examples=150, deadline=None)
    @given(
        path=st.sampled_from(sorted(ONEPIN)),
        pairs=st.lists(st.tuples(st.sampled_from(sorted({name for _, name in QUERY})), st.binary(max_size=40))),
    )
    def test_no_bytes_in_the_query_are_our_failure(
        self, callers: dict[str, Caller], path: str, pairs: list[tuple[str, bytes]]
    ) -> None:
        query = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in pairs)
        assert callers["onepin"].get(f"{path}?{query}").status_code in {200, 404, 422}


@pytest.fixture(scope="module")
def workspace(server: Server) -> Caller:
    """Three events, so that there is a next page of one."""
    organization = server.organization("onepin")
    data = {"action": "workflow_run", "kind": "completed", "user": {"id": "ada", "name": "Ada"}}
    data["resource"] = {"type": "workflow", "id": "w", "name": "W"}
    times = ("2026-03-14T10:00:00Z", "2026-03-14T11:00:00Z", "2026-03-14T12:00:00Z")
    events = [event("workspace.activity", organization, data, at=at) for at in times]
    assert server.send("onepin", events)["ingested"] == 3
    return Caller(server, "onepin", organization, server.key(organization, user_id="ada"))


class TestCursors:
    @staticmethod
    def next_of(caller: Caller, **query: str) -> str:
        answer = caller.get(ACTIVITY, {"limit": "1", **query})
        assert answer.status_code == 200
        return str(answer.json()["pagination"]["next"])

    def test_a_real_one_is_taken(self, workspace: Caller) -> None:
        page = workspace.get(ACTIVITY, {"limit": "1", "cursor": self.next_of(workspace)}).json()
        assert [entry["timestamp"] for entry in page["data"]] == ["2026-03-14T11:00:00Z"]

    def test_no_bit_of_it_can_be_changed(self, workspace: Caller) -> None:
        cursor = self.next_of(workspace)
        sealed = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        for place in range(len(sealed)):
            forged = bytearray(sealed)
            forged[place] ^= 1 << place % 8
            text = base64.urlsafe_b64encode(forged).decode().rstrip("=")
            assert problem(workspace.get(ACTIVITY, {"cursor": text}))["field"] == "cursor"

    def test_no_part_of_it_can_be_left_out_or_added(self, workspace: Caller) -> None:
        cursor = self.next_of(workspace)
        cuts = [cursor[:length] for length in range(0, len(cursor) - 1, 7)] + [cursor[1:], cursor[22:]]
        for text in (*cuts, cursor + "AAAA", "AAAA" + cursor, cursor + cursor, cursor * 100):
            assert problem(workspace.get(ACTIVITY, {"cursor": text}))["field"] == "cursor"

    @pytest.mark.parametrize(
        "cursor", ["", "x", "{}", "null", "\0", "é", "=" * 4, "A" * 22, "A" * 1000, "A" * 1001, "A" * 10_000, "é" * 999]
    )
    def test_none_can_be_made_up(self, workspace: Caller, cursor: str) -> None:
        assert problem(workspace.get(ACTIVITY, {"cursor": cursor}))["field"] == "cursor"

    def test_another_workspaces_is_refused_as_a_forged_one_is(
        self, workspace: Caller, callers: dict[str, Caller]
    ) -> None:
        another = problem(callers["onepin"].get(ACTIVITY, {"cursor": self.next_of(workspace)}))
        assert another == problem(callers["onepin"].get(ACTIVITY, {"cursor": "forged"}))

    def test_one_of_other_filters_is_refused(self, workspace: Caller) -> None:
        filters: list[dict[str, str]] = [{}, {"type": "workflow_run"}, {"user_id": "ada"}]
        filters.append({"type": "workflow_run", "user_id": "ada"})
        for given_for in filters:
            cursor = self.next_of(workspace, **given_for)
            for asked in filters:
                answer = workspace.get(ACTIVITY, {**asked, "cursor": cursor})
                assert answer.status_code == (200 if asked == given_for else 422), (given_for, asked)


class TestCredentials:
    @each_endpoint
    @pytest.mark.parametrize("value", [b"\xe9", b"\xff\xfe", "ключ".encode(), b"\x80" * 5000], ids=ascii)
    def test_a_header_need_not_be_ascii(
        self, server: Server, callers: dict[str, Caller], name: str, path: str, value: bytes
    ) -> None:
        caller = callers[name]
        line = b"GET " + path.format(org_id=caller.organization).encode() + b" HTTP/1.1"
        for header, good in caller.credentials:
            for bad in (value, good.encode() + value):
                prefix = b"Bearer " if header == "Authorization" and bad is value else b""
                assert send_raw(server, line, header.encode() + b": " + prefix + bad).status == 401
        key = ": ".join(caller.credentials[0]).encode()
        assert send_raw(server, line, key, b"X-Source: " + value, b"X-Unknown: " + value).status == 200
        workspace = send_raw(server, line, key, b"X-Workspace-Id: " + value)
        assert workspace.status == (403 if name == "onepin" else 200)

    @each_endpoint
    def test_however_long_it_is(self, server: Server, callers: dict[str, Caller], name: str, path: str) -> None:
        caller = callers[name]
        line = b"GET " + path.format(org_id=caller.organization).encode() + b" HTTP/1.1"
        for header, good in caller.credentials:
            for length, statuses in ((10_000, {401}), (100_000, {401}), (1_000_000, {431})):
                value = f"{header}: {good}".encode() + b"x" * length
                assert send_raw(server, line, value).status in statuses
        assert caller.get(path).status_code == 200

    @each_endpoint
    def test_the_same_header_twice_is_refused(self, callers: dict[str, Caller], name: str, path: str) -> None:
        caller = callers[name]
        for header, value in caller.credentials:
            for values in ([value, value], [value, "x"], ["x", value], [value, ""], ["", value]):
                answer = caller.ask("GET", path, [(header, each) for each in values])
                assert answer.status_code == 401, values

    @pytest.mark.parametrize("name", BEARERS)
    def test_the_scheme_is_read_in_any_case(self, callers: dict[str, Caller], name: str) -> None:
        caller = callers[name]
        for route in CONTRACTS[name].routes:
            for scheme in ("Bearer", "bearer", "BEARER", "bEaReR"):
                headers = [("Authorization", f"{scheme} {caller.key}")]
                assert caller.ask("GET", route.paths[0], headers).status_code == 200

    @pytest.mark.parametrize("name", CONTRACTS)
    def test_nothing_else_is_a_bearer(self, callers: dict[str, Caller], name: str) -> None:
        caller = callers[name]
        encoded = base64.b64encode(caller.key.encode()).decode()
        basic = base64.b64encode(f"{caller.key}:".encode()).decode()
        values = [caller.key, f"Basic {basic}", f"Token {caller.key}", f"Bearer: {caller.key}", f"Bearer{caller.key}"]
        values += ["", "Bearer", f"Bearer {encoded}", f"Bearer {caller.key}.", f"Bearer x {caller.key}"]
        values += [f"Bearer {caller.key} x", f'Bearer "{caller.key}"', f"Bearer {caller.key.swapcase()}"]
        if name not in BEARERS:
            values.append(f"Bearer {caller.key}")
        for value in values:
            answer = caller.ask("GET", CONTRACTS[name].routes[0].paths[0], [("Authorization", value)])
            assert answer.status_code == 401, value

    @pytest.mark.parametrize("name", CONTRACTS)
    def test_a_key_counts_in_its_own_header_only(self, callers: dict[str, Caller], name: str) -> None:
        caller, names = callers[name], {"authorization", "x-api-key", "api-key", "x-key", "cookie"}
        own = {header.lower() for header, _ in caller.credentials}
        for route in CONTRACTS[name].routes:
            for header in sorted(names - own):
                answer = caller.ask("GET", route.paths[0], [(header, caller.key)])
                assert answer.status_code == 401, header
            query = {"api_key": caller.key, "access_token": caller.key, "key": caller.key}
            assert caller.ask("GET", route.paths[0], [], query).status_code == 401

    def test_of_two_credentials_the_bearer_wins_for_autoposting(
        self, server: Server, callers: dict[str, Caller]
    ) -> None:
        first = callers["autoposting"]
        organization = server.organization("autoposting", {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
        second = Caller(server, "autoposting", organization, server.key(organization))
        for path in CONTRACTS["autoposting"].routes[0].paths:
            starts = {}
            for bearer, api_key in ((first, second), (second, first)):
                headers = [("x-api-key", api_key.key), ("authorization", f"Bearer {bearer.key}")]
                for order in (headers, headers[::-1]):
                    answer = bearer.ask("GET", path, order)
                    assert answer.text == bearer.get(path).text
                starts[bearer.organization] = answer.json()["data"]["period"]["start"]
            assert len(set(starts.values())) == 2
            for bad in ("x", "sk-social-" + "0" * 32, first.key[:-1], callers["octolens"].key):
                good_first = [("x-api-key", first.key), ("authorization", f"Bearer {bad}")]
                assert first.ask("GET", path, good_first).status_code == 401
                good_bearer = [("x-api-key", bad), ("authorization", f"Bearer {first.key}")]
                assert first.ask("GET", path, good_bearer).status_code == 200


class TestMethodsAndPaths:
    @each_endpoint
    @pytest.mark.parametrize("method", METHODS)
    def test_only_get_is_allowed(self, callers: dict[str, Caller], name: str, path: str, method: str) -> None:
        caller = callers[name]
        answers = [
            caller.ask(method, path, headers, query)
            for headers in (caller.credentials, [], [*caller.credentials, ("x-http-method-override", "GET")])
            for query in (None, {"timezone": "nowhere"})
        ]
        for answer in answers:
            assert (answer.status_code, answer.headers.get("allow")) == NOT_ALLOWED[name]
            assert answer.headers["content-type"] == "application/json"
            assert "x-ratelimit-remaining" not in answer.headers
        assert len({without_id(answer) for answer in answers}) == 1

    @each_endpoint
    def test_whatever_is_posted(self, server: Server, callers: dict[str, Caller], name: str, path: str) -> None:
        asked = path.format(org_id=callers[name].organization)
        for body in (b"{}", b"{", b"\xff", b"x" * 10_000):
            for kind in ("application/json", "multipart/form-data", "application/x-www-form-urlencoded", "x/y"):
                answer = server.http.post(asked, content=body, headers={"content-type": kind})
                assert answer.status_code == NOT_ALLOWED[name][0]

    @each_endpoint
    def test_head_has_no_body(self, server: Server, name: str, path: str) -> None:
        answer = send_raw(server, f"HEAD {path.format(org_id=name)} HTTP/1.1".encode())
        assert (answer.status, answer.headers.get("allow"), answer.content, answer.rest) == (
            *NOT_ALLOWED[name],
            b"",
            b"",
        )

    @pytest.mark.parametrize(
        "organization",
        [".", "..", "%2e%2e", "%00", "%0a", "%ff", "%C3%A9", " ", "%20", "{org_id}", "*", "null", "x" * 10_000, "a;b"],
        ids=ascii,
    )
    def test_what_cannot_be_an_organization_is_denied_as_an_unknown_one(
        self, server: Server, callers: dict[str, Caller], organization: str
    ) -> None:
        key = ": ".join(callers["aitronos"].credentials[0]).encode()
        path = b"/v1/analytics/usage/summary/"
        texts = []
        for asked in (b"unknown", organization.replace(" ", "%20").encode()):
            answer = send_raw(server, b"GET " + path + asked + b" HTTP/1.1", key)
            assert answer.status == 403
            texts.append(answer.content.decode().replace(answer.headers["x-request-id"], "<id>"))
        assert texts[0] == texts[1]


SECRET = "secret of the engine: /var/lib/password"


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A client of a Meterhouse whose engine fails every question."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError(SECRET)

    folder: Path = tmp_path_factory.mktemp("failing")
    with (
        open_meterhouse(Settings(data=folder, admin_key="an-admin-key-of-some-length")) as meterhouse,
        client_of(meterhouse.app) as client,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(ClickHouseEventStore, "measure", fail)
        patch.setattr(ClickHouseEventStore, "list_events", fail)
        yield client


@pytest.mark.parametrize(("name", "path"), [each for each in ENDPOINTS if each[1] not in ASKS_THE_STORE_NOTHING])
def test_a_failure_of_ours_is_in_the_log_under_the_id_that_the_client_was_given(
    failing: Any, name: str, path: str
) -> None:
    admin = {"authorization": "Bearer an-admin-key-of-some-length"}
    organization = f"org{path.replace('/', '-').partition('{')[0]}"
    body = {"id": organization, "name": "N", "namespace": name}
    assert failing.post("/v1/organizations", json=body, headers=admin).status_code == 201
    key = failing.post(f"/v1/organizations/{organization}/keys", headers=admin).json()["key"]
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        answer = failing.get(
            path.format(org_id=organization),
            headers={"authorization": f"Bearer {key}", "x-api-key": key, "api-key": key},
        )
    assert answer.status_code == 500
    assert "secret" not in answer.text + str(answer.headers)
    [line] = [line for line in lines if line["log_level"] == "error"]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["contract"] == name
    assert SECRET in str(line["exc_info"])
    assert key not in str(lines)
    shown = answer.json()
    told = {"aitronos": lambda: shown["error"]["trace_id"], "onepin": lambda: shown["meta"]["request_id"]}
    if name in told:
        assert told[name]() == line["request_id"]
