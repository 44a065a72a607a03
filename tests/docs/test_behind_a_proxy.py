"""What the page about proxies says of Meterhouse, behind a proxy with TLS and a prefix."""

from __future__ import annotations

import gzip
import json
import os
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from walkthrough import CLIENT, DOCS

from meterhouse.settings import Settings
from support.server import ADMIN_KEY, Server, altered, event, serve
from support.tls_proxy import certificate, tls_proxy

PAGE = DOCS / "how-to/run-behind-a-proxy.md"
RECORDING = """
import sys
from meterhouse_client import Client, Meter
url, key, organization = sys.argv[1:4]
with Meter(url, key, namespace="unsiloed") as meter:
    meter.record("credit.used", organization, {"amount": 3})
    assert meter.flush(20)
with Client(url, key) as client:
    asked = {"organization": organization, "from_": "2020-01-01", "to": "2100-01-01"}
    print(client.query("credits", **asked)["meters"][0]["total"])
"""


@dataclass
class Proxied:
    server: Server
    plain: str
    prefixed: str
    authority: Path

    def http(self, url: str) -> httpx.Client:
        return httpx.Client(base_url=url, verify=ssl.create_default_context(cafile=self.authority), trust_env=False)

    def run(self, *command: str, trusted: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        """As a user's own shell does."""
        environment = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY, "PYTHONPATH": _path()}
        environment |= {"SSL_CERT_FILE": str(self.authority)} if trusted else {}
        environment |= more
        return subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=environment, timeout=60, check=False
        )


def _path() -> str:
    return os.pathsep.join(filter(None, [str(CLIENT), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    few = {"METERHOUSE_FAILED_KEYS_PER_MINUTE": "3", "METERHOUSE_LOG_LEVEL": "info"}
    chain = certificate(folder)
    with (
        serve(folder / "data", environment=few) as server,
        tls_proxy(server.port, chain) as plain,
        tls_proxy(server.port, chain, "/usage") as prefixed,
    ):
        yield Proxied(server, plain, prefixed, chain)


def bearer(key: str = ADMIN_KEY, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", **more}


@pytest.mark.parametrize("prefix", [False, True])
def test_the_client_through_tls(proxied: Proxied, prefix: bool) -> None:
    url, organization = proxied.prefixed if prefix else proxied.plain, proxied.server.organization("unsiloed")
    done = proxied.run("-c", RECORDING, url, ADMIN_KEY, organization)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr
    asking = "import sys, meterhouse_client as m; m.Client(*sys.argv[1:3]).usage('acme')"
    refused = proxied.run("-c", asking, url, ADMIN_KEY, trusted=False)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr


@pytest.mark.parametrize("prefix", [False, True])
def test_the_command_line_through_tls(proxied: Proxied, prefix: bool) -> None:
    url, organization = proxied.prefixed if prefix else proxied.plain, proxied.server.organization("unsiloed")
    for each in (url, f"{url}/"):
        listed = proxied.run("-m", "meterhouse", "org", "list", "--json", "--url", each)
        assert listed.returncode == 0, listed.stderr
        assert organization in {found["id"] for found in json.loads(listed.stdout)}
    exported = proxied.run("-m", "meterhouse", "export", "-", "--url", url)  # which is read while it is made
    assert exported.returncode == 0, exported.stderr


def test_the_command_line_holds_to_the_environments_certificates(proxied: Proxied, tmp_path: Path) -> None:
    asked = ("-m", "meterhouse", "org", "list", "--url", proxied.plain)
    refused = proxied.run(*asked, trusted=False)
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    assert "set SSL_CERT_FILE to" in refused.stderr
    (tmp_path / "empty.pem").touch()
    for wrong in (tmp_path / "absent.pem", tmp_path / "empty.pem"):
        refused = proxied.run(*asked, trusted=False, SSL_CERT_FILE=str(wrong))
        assert refused.returncode == 1
        assert f"SSL_CERT_FILE is '{wrong}'" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_the_command_line_passes_proxies_of_the_environment_by(proxied: Proxied) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")
    listed = proxied.run("-m", "meterhouse", "org", "list", "--url", proxied.plain, **nowhere)
    assert listed.returncode == 0, listed.stderr


def test_packed_bodies_and_what_says_to_wait_go_through(proxied: Proxied) -> None:
    organization = proxied.server.organization("unsiloed")
    body = gzip.compress(json.dumps([event("credit.used", organization, {"amount": 1})]).encode())
    with proxied.http(proxied.plain) as http:
        headers = bearer(**{"content-encoding": "gzip", "content-type": "application/json"})
        sent = http.post("/v1/events?namespace=unsiloed", content=body, headers=headers)
        assert sent.json()["ingested"] == 1
        assert sent.headers["x-request-id"]


def test_addresses_that_somebody_writes_are_not_believed(proxied: Proxied) -> None:
    organization = proxied.server.organization("unsiloed")
    key = proxied.server.key(organization)
    with proxied.http(proxied.plain) as http:
        path = f"/v1/organizations/{organization}/usage"
        assert http.get(path, headers=bearer(key)).status_code == 200
        answers = [
            http.get(path, headers=bearer(altered(key), **{"x-forwarded-for": f"203.0.113.{number}"}))
            for number in range(4)
        ]
        assert [each.status_code for each in answers] == [401, 401, 401, 429]
        assert int(answers[-1].headers["retry-after"]) > 0
        assert http.get(path, headers=bearer(key)).status_code == 200  # it was right before
    lines = [json.loads(line) for line in proxied.server.printed().splitlines() if line.startswith("{")]
    asked = [each for each in lines if each.get("request_id") == answers[0].headers["x-request-id"]]
    assert [each["address"] for each in asked if each["event"] == "request"] == ["127.0.0.1"]


def test_the_dashboards_cookie_and_links(proxied: Proxied) -> None:
    organization = proxied.server.organization("unsiloed")
    with proxied.http(proxied.plain) as http:
        [token] = set(re.findall(r'name="form_token" value="([^"]+)"', http.get("/sign-in").text))
        signed_in = http.post("/sign-in", data={"key": ADMIN_KEY, "form_token": token})
        assert "secure" in signed_in.headers["set-cookie"].lower()
        made: Any = http.post(
            f"/v1/organizations/{organization}/portal-links", json={"expires_in_seconds": 60}, headers=bearer()
        )
        assert made.status_code == 201, made.text
        made = made.json()
        assert made["url"] == proxied.plain + made["path"]
        assert http.get(made["url"]).status_code == 200
    with proxied.http(proxied.prefixed) as http:
        page = http.get(made["path"].removeprefix("/"))
        assert page.status_code == 200
        assert re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
        assert "/usage/" not in page.text  # a link without the prefix: the page is to have a host name of its own


def test_the_configuration_fits_the_settings() -> None:
    shown = PAGE.read_text("utf-8")
    settings = Settings()
    [size] = re.findall(r"client_max_body_size (\d+)m;", shown)
    assert int(size) * 1024 * 1024 == settings.max_body_bytes
    [kept] = re.findall(r"keepalive_timeout (\d+)s;", shown)
    assert int(kept) < settings.idle_timeout_seconds
    assert f"after {settings.failed_keys_per_minute} in a minute" in shown
    assert f"`METERHOUSE_IDLE_TIMEOUT_SECONDS` ({settings.idle_timeout_seconds})" in shown
    documented = (DOCS / "reference/api.md").read_text("utf-8")
    for path in ("/v1/backup", "/v1/export", "/metrics", "/readyz", "/healthz"):
        assert path.strip("/") in shown
        assert path in documented
