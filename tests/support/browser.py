"""A real Chromium, Debian's, that talks to nobody but the pages under test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.server import Server

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
AXE = Path(__file__).parents[2] / ".venv" / "node_modules" / "axe-core" / "axe.min.js"
_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Place:
    """A server with something to look at."""

    server: Server
    key: str
    """Of one organization."""

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, in a process of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and all that it asked for and complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )


def watched(context: BrowserContext) -> Watched:
    """A new page."""
    return Watched(context.new_page())


def sign_in(page: Page, base: str, key: str) -> None:
    """Signs in as people do."""
    page.goto(f"{base}/sign-in")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def axe(page: Page, *rules: str) -> list[str]:
    """What axe-core finds that is serious or worse, by some of its rules, or all of them."""
    page.evaluate(_axe())
    chosen = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
    found = page.evaluate("options => axe.run(document, options)", {"resultTypes": ["violations"], **chosen})
    return [
        f"{each['id']}: {node['html'][:200]}: {node['failureSummary'][:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


@cache
def _axe() -> str:
    return AXE.read_text("utf-8")
