"""Visiting the dashboard without a browser: forms, cookies and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser

import httpx

from support.server import Server


@contextmanager
def visitor(server: Server, key: str | None = None) -> Iterator[httpx.Client]:
    """Somebody with cookies of their own, who has signed in if there is a key."""
    with httpx.Client(base_url=server.http.base_url, timeout=60, trust_env=False) as client:
        if key is not None:
            answer = signing_in(client, key)
            assert answer.status_code == 303, answer.text
        yield client


def signing_in(client: httpx.Client, key: str, path: str = "/") -> httpx.Response:
    """The answer to the form of the sign-in page."""
    form = client.get("/sign-in", params={"next": path})
    return client.post("/sign-in", data={"form_token": form_token(form.text), "next": path, "key": key})


def form_token(html: str) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', html)
    assert found is not None, html
    return found[1]


class Read(HTMLParser):
    """What a page consists of. Tables are rows of cells, each with its text, its value for the chart, and where it
    leads."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        """Every tag, with its attributes."""
        self.tables: list[list[list[dict[str, str]]]] = []
        self._cell: dict[str, str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables:
            self._cell = {"text": "", "href": "", "value": given.get("data-value", "")}
            self.tables[-1][-1].append(self._cell)
        elif tag == "a" and self._cell is not None:
            self._cell["href"] = given["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell["text"] = " ".join(f"{self._cell['text']} {data}".split())
