"""A customer's usage page in a real browser: in frames, on a phone, in its colours, and its token in a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from support.browser import Place, axe, watched


class Site:
    """Pages of somebody else's origin."""

    def __init__(self) -> None:
        self.html = ""
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("content-type", "text/html")
                self.end_headers()
                self.wfile.write(site.html.encode())

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def sites() -> Iterator[tuple[Site, Site]]:
    """One whose pages may show the usage page, and one whose pages may not."""
    allowed, foreign = Site(), Site()
    yield allowed, foreign
    allowed.close()
    foreign.close()


def link(place: Place, origins: list[str], **theme: str) -> dict[str, str]:
    body = {"expires_in_seconds": 600, "origins": origins, "theme": theme}
    made: dict[str, str] = place.server.admin("POST", "/v1/organizations/helvetia/portal-links", body).json()
    return made


def test_it_works_in_a_frame_of_the_named_origin_only(
    place: Place, context: BrowserContext, sites: tuple[Site, Site]
) -> None:
    allowed, foreign = sites
    url = link(place, [allowed.origin])["url"] + "?meter=neurons&range=30d&group_by=model"
    for site in sites:
        site.html = f"<!doctype html><title>Site</title><iframe src='{url}' width=1000 height=800 title=Usage></iframe>"
    seen = watched(context)
    seen.page.goto(allowed.origin)
    frame = seen.page.frame_locator("iframe")
    expect(frame.get_by_role("heading", level=1)).to_have_text("Helvetia AI")
    expect(frame.locator(".chart canvas")).to_be_visible()
    frame.get_by_label("Span").select_option("7d")
    expect(frame.locator("[data-windows] tbody tr")).to_have_count(7)
    assert [said for said in seen.complaints if "favicon" not in said and "404" not in said] == []
    seen.page.goto(foreign.origin)
    seen.page.wait_for_timeout(300)
    assert frame.get_by_role("heading", level=1).count() == 0
    assert any("frame-ancestors" in said for said in seen.complaints)


def test_a_page_of_the_named_origin_reads_with_the_token(
    place: Place, context: BrowserContext, sites: tuple[Site, Site]
) -> None:
    token = link(place, [sites[0].origin])["token"]
    ask = f"""async () => {{
        const headers = {{authorization: 'Bearer {token}'}};
        const answer = await fetch('{place.base}/v1/query?meter=requests&range=30d', {{headers}});
        return (await answer.json()).meters[0].total;
    }}"""
    page = context.new_page()
    for site in sites:
        site.html = "<!doctype html><title>Site</title>"
    page.goto(sites[0].origin)
    wanted = place.server.admin("GET", "/v1/query?organization=helvetia&meter=requests&range=30d").json()
    assert page.evaluate(ask) == wanted["meters"][0]["total"]
    page.goto(sites[1].origin)
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(ask)


@pytest.mark.parametrize("mode", ["light", "dark", "auto"])
def test_it_is_accessible_in_its_colours_on_a_phone(place: Place, browser: Browser, mode: str) -> None:
    made = link(place, [], mode=mode, color="#ffdd00")
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    seen = watched(context)
    seen.page.goto(made["url"] + "?meter=neurons&range=7d&group_by=model&compare=previous")
    assert axe(seen.page) == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    background = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(246, 247, 249)") == (mode == "light")
    accent = seen.page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--accent')")
    assert (accent == "#ffdd00") == (mode != "light")  # on white it would be too pale to be read
    assert {url.split("/", 3)[2] for url in seen.requests} == {f"127.0.0.1:{place.server.port}"}
    assert seen.complaints == []
    assert context.cookies() == []
    context.close()


def test_a_link_that_was_changed_shows_nothing(place: Place, context: BrowserContext) -> None:
    made = link(place, [])
    page = context.new_page()
    page.goto(made["url"][:-3] + "AAA")
    expect(page.get_by_role("heading", level=1)).to_have_text("Unauthorized")
    expect(page.get_by_text("ask for a new one")).to_be_visible()
    assert "Helvetia" not in page.content()
