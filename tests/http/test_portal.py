"""Usage pages by link: a token reads one organization's usage until its time is over, from pages of named origins."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from contextlib import closing
from typing import Any

import httpx
import jwt
import pytest

from meterhouse.dashboard.brand import _contrast, stylesheet
from support.pages import Read
from support.server import Server, event

ORIGIN, FOREIGN = "https://app.acme.example", "https://evil.example"
SUBSCRIPTION = {"plan": "Growth", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"}
THEME = {"color": "#FFDD00", "logo": "https://cdn.acme.example:8443/logo.svg?v=1", "mode": "dark"}


@pytest.fixture(scope="module")
def acme(server: Server) -> str:
    acme = server.organization("unsiloed", SUBSCRIPTION, name="Acme <b>bold</b>")
    used = {"amount": 7, "operation": "=SUM(A1)"}
    server.send("unsiloed", [event("credit.used", acme, used, at="2026-03-10T00:00:00Z")])
    return acme


def link(server: Server, organization: str, **fields: Any) -> dict[str, str]:
    body = {"expires_in_seconds": 3600, "origins": [ORIGIN], **fields}
    made = server.admin("POST", f"/v1/organizations/{organization}/portal-links", body)
    assert made.status_code == 201, made.text
    answered: dict[str, str] = made.json()
    return answered


def signed(server: Server, **claims: Any) -> str:
    """A token with the server's own signature."""
    with closing(sqlite3.connect(server.data / "ledger.sqlite")) as ledger:
        [secret] = ledger.execute("SELECT secret FROM secrets WHERE name = 'portal'").fetchone()
    said = {"scope": "usage:read", "exp": 4_000_000_000, "origins": [ORIGIN], "theme": {}, **claims}
    return jwt.encode(said, secret, "HS256")


def test_a_link_shows_one_organization(server: Server, acme: str) -> None:
    made = link(server, acme, theme=THEME)
    assert made["expires_at"] == "2026-03-15T13:00:00Z"
    assert made["url"] == f"{server.http.base_url}{made['path']}".replace("//portal", "/portal")
    assert made["path"] == f"/portal/{made['token']}"
    page = server.http.get(made["path"])
    assert page.status_code == 200
    assert "set-cookie" not in page.headers
    assert "Acme &lt;b&gt;bold&lt;/b&gt;" in page.text
    assert 'data-theme="dark"' in page.text
    meters = Read(page.text).tables[0]
    assert [cell["text"] for cell in meters[1][1:4]] == ["7", "10,000", "9,993"]
    # Neither keys nor the way to events and stories are for whoever has the link.
    assert not re.search(r'href="/(?:organizations|events)', page.text)


def test_the_page_may_be_framed_by_the_named_origins_and_loads_the_logo(server: Server, acme: str) -> None:
    def policy(**fields: Any) -> dict[str, str]:
        headers = server.http.get(link(server, acme, **fields)["path"]).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert ("x-frame-options" in headers) == (not fields["origins"])
        return dict(each.split(" ", 1) for each in headers["content-security-policy"].split("; "))

    two = policy(origins=[ORIGIN, "http://localhost:3000"], theme=THEME)
    assert two["frame-ancestors"] == f"{ORIGIN} http://localhost:3000"
    assert two["img-src"] == "'self' https://cdn.acme.example:8443"
    none = policy(origins=[])
    assert (none["frame-ancestors"], none["img-src"]) == ("'none'", "'self'")
    assert (none["script-src"], none["style-src"], none["default-src"]) == ("'self'", "'self'", "'none'")


def test_only_the_operator_makes_links(server: Server, acme: str) -> None:
    path, body = f"/v1/organizations/{acme}/portal-links", {"expires_in_seconds": 60}
    for key, status in ((server.key(acme), 403), (link(server, acme)["token"], 401), ("nonsense", 401)):
        refused = server.http.post(path, json=body, headers={"authorization": f"Bearer {key}"})
        assert refused.status_code == status
    assert server.http.post(path, json=body).status_code == 401
    assert server.admin("POST", "/v1/organizations/none/portal-links", body).status_code == 404


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_in_seconds": 59},
        {"expires_in_seconds": 2_592_001},
        {"expires_in_seconds": None},
        {"origins": ["https://app.example/path"]},
        {"origins": ["https://app.example; script-src *"]},
        {"origins": ["*"]},
        {"origins": ["javascript:alert(1)"]},
        {"origins": ["https://app.example\n"]},
        {"origins": [f"https://{n}.example" for n in range(11)]},
        {"origins": [f"https://{n}{'a' * 250}.example"[:260] for n in range(10)]},
        {"theme": {"color": "red"}},
        {"theme": {"color": "#fff}body{display:none"}},
        {"theme": {"color": "#ff7a00\n"}},
        {"theme": {"logo": "javascript:alert(1)"}},
        {"theme": {"logo": "http://cdn.example/logo.png"}},
        {"theme": {"logo": "https://cdn.example/a.png\"><script>alert(1)</script>"}},
        {"theme": {"logo": "https://cdn.example;script-src */a.png"}},
        {"theme": {"logo": "https://cdn.example/" + "a" * 501}},
        {"theme": {"logo": "data:image/svg+xml,<svg/>"}},
        {"theme": {"mode": "pink"}},
        {"theme": {"font": "Comic Sans"}},
        {"more": 1},
    ],
)  # fmt: skip
def test_a_link_that_means_nothing_is_refused(server: Server, acme: str, fields: dict[str, Any]) -> None:
    body = {"expires_in_seconds": 60, **fields}
    refused = server.admin("POST", f"/v1/organizations/{acme}/portal-links", body)
    assert refused.status_code == 400, refused.text
    assert next(iter(fields)) in refused.json()["detail"]


def altered_tokens(token: str) -> list[str]:
    head, body, seal = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))

    def encoded(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # Of the last character two bits say nothing: another character, the same bytes.
    twin = seal[:-1] + last[last.index(seal[-1]) ^ 1]
    return [
        f"{head}.{encoded({**claims, 'organization': 'paperworks'})}.{seal}",
        f"{head}.{encoded({**claims, 'exp': claims['exp'] + 1})}.{seal}",
        f"{encoded({'alg': 'none', 'typ': 'JWT'})}.{body}.",
        jwt.encode(claims, "another secret, which is long enough for this", "HS256"),
        f"{head}.{body}.{twin}",
        f"{head}.{body}",
        token + "A",
        "x" * 5_000,
    ]


def test_an_altered_token_reads_nothing(server: Server, acme: str) -> None:
    token = link(server, acme)["token"]
    wrong = [*altered_tokens(token), signed(server, organization=acme, scope="admin"), signed(server, organization=1)]
    for each in wrong:
        page = server.http.get(f"/portal/{each}")
        assert page.status_code == 401
        assert acme not in page.text
        asked = server.http.get("/v1/query?meter=credits", headers={"authorization": f"Bearer {each}"})
        assert asked.status_code == 401


def test_a_token_ends_in_time_and_with_its_organization(server: Server) -> None:
    acme = server.organization("unsiloed")
    now = 1_773_576_000  # the server's clock: 15 March 2026, noon
    for exp, status in ((now, 401), (now - 1, 401), (now + 1, 200)):
        token = signed(server, organization=acme, exp=exp)
        page = server.http.get(f"/portal/{token}")
        asked = server.http.get("/v1/query?meter=credits", headers={"authorization": f"Bearer {token}"})
        assert (page.status_code, asked.status_code) == (status, status)
        if status == 401:
            assert "this link ended at" in page.text
            assert page.headers["content-security-policy"].endswith("frame-ancestors *")
    path = link(server, acme)["path"]
    server.admin("DELETE", f"/v1/organizations/{acme}")
    assert server.http.get(path).status_code == 401


def test_a_token_reads_usage_and_nothing_else(server: Server, acme: str) -> None:
    other = server.organization("unsiloed")
    headers = {"authorization": f"Bearer {link(server, acme)['token']}"}

    def status(method: str, path: str) -> int:
        return server.http.request(method, path, headers=headers, json=None if method == "GET" else {}).status_code

    own = server.http.get("/v1/query?meter=credits", headers=headers).json()
    assert own["meters"][0]["total"] == 7
    assert status("GET", f"/v1/organizations/{acme}/usage") == 200
    assert status("GET", f"/v1/organizations/{acme}/events?meter=credits") == 200
    assert status("GET", f"/v1/query?meter=credits&organization={other}") == 403
    assert status("GET", "/v1/query?meter=credits&group_by=organization") == 403
    assert status("GET", f"/v1/organizations/{other}/usage") == 403
    assert status("GET", f"/v1/organizations/{other}/events?meter=credits") == 403
    assert status("GET", f"/v1/organizations/{acme}/quota/credits") == 401
    assert status("GET", f"/v1/organizations/{acme}") == 401
    assert status("GET", f"/v1/organizations/{acme}/keys") == 401
    assert status("POST", "/v1/events?namespace=unsiloed") == 401
    assert status("GET", "/api/v1/org/get_usage") == 401
    with httpx.Client(
        base_url=server.http.base_url, cookies={"meterhouse_session": headers["authorization"][7:]}
    ) as it:
        assert it.get("/").status_code == 303


def test_pages_of_the_named_origins_may_call_with_the_token(server: Server, acme: str) -> None:
    token = link(server, acme)["token"]
    paths = ("/v1/query?meter=credits", f"/v1/organizations/{acme}/usage")
    for path in paths:
        for origin, allowed in ((ORIGIN, ORIGIN), (FOREIGN, None), ("null", None)):
            asked = {"origin": origin, "authorization": f"Bearer {token}"}
            answer = server.http.get(path, headers=asked)
            assert answer.headers.get("access-control-allow-origin") == allowed
            preflight = {"origin": origin, "access-control-request-method": "GET",
                         "access-control-request-headers": "authorization"}  # fmt: skip
            assert server.http.options(path, headers=preflight).status_code == 204
    # With a key it is METERHOUSE_CORS_ORIGINS that decides, here for all of them.
    keyed = {"origin": FOREIGN, "authorization": f"Bearer {server.key(acme)}"}
    assert server.http.get(paths[0], headers=keyed).headers["access-control-allow-origin"] == "*"


def test_the_file_of_a_link_is_the_query_and_has_no_formulas(server: Server, acme: str) -> None:
    made = link(server, acme)
    query = "meter=credits&range=30d&window=day&timezone=UTC&group_by=operation&top=5"
    headers = {"authorization": f"Bearer {made['token']}", "accept": "text/csv"}
    file = server.http.get(f"{made['path']}/usage.csv?{query}")
    assert file.content == server.http.get(f"/v1/query?{query}", headers=headers).content
    assert "'=SUM(A1)" in file.text


def test_no_token_is_in_the_log(server: Server, acme: str) -> None:
    token = link(server, acme)["token"]
    server.http.get(f"/portal/{token}")
    server.http.get("/v1/query?meter=none", headers={"authorization": f"Bearer {token}"})
    server.http.get(f"/portal/{token}x")
    assert token.rpartition(".")[2] not in server.printed()
    assert token.rpartition(".")[2] not in server.http.get("/metrics").text


@pytest.mark.parametrize("color", ["#ffdd00", "#000080", "#ffffff", "#000000", "#808080", "#FF7A00"])
def test_a_brand_colour_can_be_read_in_both_modes(color: str) -> None:
    text = stylesheet(color)
    light, dark = (text.splitlines()[line] for line in (0, 1))
    for rule, background in ((light, (255, 255, 255)), (dark, (17, 21, 28))):
        accent, on = re.findall(r"#([0-9a-f]{6})", rule)
        shades = [(int(each[0:2], 16), int(each[2:4], 16), int(each[4:6], 16)) for each in (accent, on)]
        assert _contrast(shades[0], background) >= 4.5
        assert _contrast(shades[0], shades[1]) >= 4.5
    assert '@media (prefers-color-scheme:dark){:root[data-theme="auto"]' in text


def test_the_colours_of_a_link_are_a_stylesheet_of_our_own(server: Server, acme: str) -> None:
    made = link(server, acme, theme=THEME)
    page = server.http.get(made["path"]).text
    assert f'<link rel="stylesheet" href="{made["path"]}/theme.css">' in page
    served = server.http.get(f"{made['path']}/theme.css")
    assert served.headers["content-type"].startswith("text/css")
    assert served.text == stylesheet("#FFDD00")
    assert "theme.css" not in server.http.get(link(server, acme)["path"]).text
