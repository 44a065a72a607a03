"""The dashboard in a real browser: every page, every control, and the way from a bar to an event's story."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.browser import Place, Watched, axe, sign_in, watched
from support.receivers import eventually
from support.server import ADMIN_KEY, event

CHART = "/organizations/helvetia?meter=neurons&range=30d&window=day&group_by=model"
PAGES = {
    "overview": "/",
    "namespace": "/?namespace=unsiloed&meter=credits",
    "organizations": "/organizations?meter=aitronos/neurons",
    "organization": CHART + "&compare=previous",
    "average": "/organizations/helvetia?meter=cost&range=12w",
    "wrong": "/organizations/helvetia?range=12mo&window=minute",
    "events": "/organizations/helvetia/events?meter=neurons",
    "explorer": "/events",
    "meters": "/meters",
    "alerts": "/alerts/unsiloed",
    "versions": "/meters/aitronos/versions",
    "version": "/meters/aitronos/versions/0",
    "system": "/system",
    "reference": "/docs",
    "missing": "/organizations/none",
}


def total(page: Page) -> Decimal:
    return Decimal(page.locator("[data-total]").inner_text().replace(",", ""))


def queried(place: Place, **query: str) -> Decimal:
    asked = {"organization": "helvetia", "meter": "neurons", **query}
    answer = place.server.admin("GET", "/v1/query", params=asked)
    assert answer.status_code == 200, answer.text
    return Decimal(str(answer.json()["meters"][0]["total"]))


def until(page: Page, expression: str) -> None:
    """Waits until it holds. Our pages forbid what Playwright's own waiting does."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression}: {page.evaluate(expression.partition(' <')[0])}")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible_quiet_and_ours(place: Place, operator: Watched, name: str) -> None:
    page = operator.page
    answer = page.goto(place.base + PAGES[name])
    assert answer is not None
    expected = {"wrong": 400, "missing": 404}.get(name, 200)
    assert answer.status == expected
    assert axe(page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # or colours would be on their way
    page.set_viewport_size({"width": 390, "height": 800})
    until(page, "innerWidth <= 390")
    until(page, "document.documentElement.scrollWidth <= 390")
    assert axe(page, "color-contrast", "scrollable-region-focusable", "target-size") == []
    assert {url.split("/", 3)[2] for url in operator.requests} == {f"127.0.0.1:{place.server.port}"}
    refused = [said for said in operator.complaints if str(expected) not in said]  # which the browser tells itself
    assert refused == []


def test_a_page_is_light(place: Place, operator: Watched) -> None:
    page = operator.page
    page.goto(place.base + CHART)
    expect(page.locator(".chart canvas")).to_be_visible()
    weights = page.evaluate(
        """async () => {
            const files = [...document.querySelectorAll('link[href], script[src], img[src]')];
            const urls = new Set([location.href, ...files.map((file) => file.href ?? file.src)]);
            const bodies = [...urls].map(async (url) => (await (await fetch(url)).arrayBuffer()).byteLength);
            return Promise.all(bodies);
        }"""
    )
    assert len(weights) == 6
    assert sum(weights) < 300_000


def test_either_key_signs_in_and_sees_what_is_its_own(place: Place, context: BrowserContext) -> None:
    seen = watched(context)
    page = seen.page
    page.goto(place.base + "/organizations/helvetia")
    page.get_by_label("Key").fill("mh_live_" + "0" * 32)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
    page.get_by_label("Key").fill(place.key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Helvetia AI")
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text(["Usage", "Events", "API"])
    assert axe(page) == []
    page.get_by_role("link", name="Events").click()
    assert axe(page) == []
    page.goto(place.base + "/organizations/paperworks")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not Found")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.go_back()
    page.goto(place.base + "/organizations/helvetia")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    sign_in(page, place.base, ADMIN_KEY)
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")


def test_every_control_changes_the_numbers_and_the_address(place: Place, operator: Watched) -> None:
    page = operator.page
    page.goto(place.base + "/organizations/helvetia?meter=neurons")
    state = {"range": "30d", "window": "day", "timezone": "UTC"}

    def holds(**changed: str) -> None:
        state.update(changed)
        for name, value in changed.items():
            page.wait_for_url(lambda url: f"{name}={value.replace('/', '%2F')}" in url)  # noqa: B023 - waited for here
        assert total(page) == queried(place, **state)
        assert page.locator(".chart canvas").count() == 1

    holds()
    page.get_by_label("Span").select_option("12w")
    holds(range="12w", window="week")
    page.get_by_label("Window", exact=True).select_option("day")
    holds(window="day")
    page.get_by_label("Group by").select_option("model")
    holds(group_by="model", top="5")
    expect(page.locator("table.groups tbody tr")).to_have_count(4)
    page.get_by_label("Groups", exact=True).select_option("50")
    holds(top="50")
    page.get_by_label("Compare with").select_option("previous")
    holds(compare="previous")
    expect(page.locator("table.groups thead")).to_contain_text("Before")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    page.get_by_label("Time zone").press("Enter")
    holds(timezone="Asia/Tokyo")
    del state["range"]
    page.get_by_label("or from").fill("2026-03-01")
    page.get_by_label("to", exact=True).fill("2026-03-08")
    page.get_by_role("button", name="Show").click()
    holds(**{"from": "2026-03-01", "to": "2026-03-08"})
    expect(page.locator("[data-windows] tbody tr")).to_have_count(7)
    page.go_back()
    expect(page.locator("[data-windows] tbody tr")).not_to_have_count(7)
    page.get_by_label("Meter", exact=True).select_option("requests")
    page.wait_for_url(re.compile("meter=requests"))
    with page.expect_download() as saved:
        page.get_by_role("link", name="Download CSV").click()
    assert saved.value.suggested_filename == "requests.csv"
    page.get_by_label("Time zone").fill("Nowhere/Land")
    page.get_by_label("Time zone").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("'Nowhere/Land' is not an IANA time zone")
    assert [said for said in operator.complaints if "400" not in said] == []


def test_a_bar_leads_to_its_events_and_an_event_to_its_story(place: Place, operator: Watched) -> None:
    page = operator.page
    page.goto(place.base + CHART)
    over = page.locator(".chart .u-over")
    box = over.bounding_box()
    assert box is not None
    rows = page.locator("[data-windows] tbody tr")
    number = rows.count() - 2  # yesterday; the lowest of the stacked bars is the first group's
    cell = rows.nth(number).locator("td").first
    wanted, href = cell.inner_text(), cell.locator("a").get_attribute("href")
    at = (number + 0.6) / (rows.count() + 0.2)
    over.click(position={"x": box["width"] * at, "y": box["height"] - 4})
    page.wait_for_url(place.base + str(href))
    expect(page.locator("[data-sum]")).to_have_text(wanted)
    page.locator("table.events tbody a").first.click()
    expect(page.get_by_text("It counts")).to_be_visible()
    assert axe(page) == []


def test_a_story_is_found_by_what_its_sender_calls_it(place: Place, operator: Watched) -> None:
    odd = event("ai.unknown", "helvetia", {"model": "small"}, id="<script>alert(1)</script>", at="2026-03-01T00:00:00Z")
    place.server.send("aitronos", [odd])
    page = operator.page
    page.goto(place.base + "/events")
    page.get_by_label("Namespace").select_option("aitronos")
    page.get_by_label("Source").fill("tests")
    page.get_by_label("Id", exact=True).fill(odd["id"])
    page.get_by_role("button", name="Tell its story").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Event {odd['id']}")
    expect(page.get_by_text("It does not count")).to_be_visible()
    expect(page.get_by_text("no meter of the namespace reads the type 'ai.unknown'")).to_be_visible()
    page.goto(place.base + "/events")
    page.locator("#l-organization").fill("helvetia")
    page.get_by_role("button", name="List events").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Events of requests")
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newer")).to_be_visible()


def test_the_keyboard_alone_gets_everywhere(place: Place, context: BrowserContext) -> None:
    page = watched(context).page
    page.goto(place.base + "/sign-in")
    expect(page.locator("input[name=key]")).to_be_focused()
    page.keyboard.type(ADMIN_KEY)
    page.keyboard.press("Enter")
    page.wait_for_url(place.base + "/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Organizations"
    page.keyboard.press("Enter")
    page.wait_for_url(place.base + "/organizations")
    page.goto(place.base + CHART)
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.textContent"
            )
        )
        seen = page.evaluate(
            "(() => { const box = document.activeElement.getBoundingClientRect();"
            " return box.top >= 0 && box.bottom <= innerHeight + 500; })()"
        )
        assert seen, reached[-1]
    assert {"c-meter", "c-range", "c-window", "c-group", "c-top", "c-compare", "c-zone", "scroll", "main"} <= {*reached}
    page.locator("#c-window").focus()
    page.keyboard.press("w")  # Weeks
    page.wait_for_url(re.compile("window=week"))
    assert page.evaluate("document.activeElement.id") == "c-window"


def test_without_scripts_every_page_still_shows_its_numbers(place: Place, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, place.base, ADMIN_KEY)
    page.goto(place.base + CHART)
    assert total(page) == queried(place, range="30d", window="day")
    expect(page.locator("[data-windows] tbody tr")).to_have_count(30)
    page.get_by_label("Span").select_option("7d")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("[data-windows] tbody tr")).to_have_count(7)
    assert total(page) == queried(place, range="7d", window="day")
    context.close()


@pytest.mark.thorough
def test_numbers_move_while_events_arrive_and_rest_in_a_hidden_tab(place: Place, operator: Watched) -> None:
    page = operator.page
    page.goto(place.base + "/organizations/paperworks?meter=credits&range=30d")
    expect(page.get_by_role("heading", level=1)).to_have_text("<b>Paperworks</b>")
    used = page.locator("[data-meter=credits]")
    before = Decimal(used.inner_text().replace(",", ""))
    page.get_by_label("Time zone").focus()
    place.server.send("unsiloed", [event("credit.used", "paperworks", {"amount": "0.5"}, at="2026-03-14T00:00:00Z")])
    expect(used).to_have_text(f"{before + Decimal('0.5'):,}", timeout=6000)
    expect(page.locator("[data-total]")).to_have_text(f"{before + Decimal('0.5'):,}")
    assert page.evaluate("document.activeElement.id") == "c-zone"
    polls = [url for url in operator.requests if "range=30d" in url]
    began = time.monotonic()
    page.wait_for_timeout(4500)
    more = len([url for url in operator.requests if "range=30d" in url]) - len(polls)
    assert 1 <= more <= (time.monotonic() - began) / 2 + 1
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {get: () => true});"
        " document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait_for_timeout(300)
    resting = len(operator.requests)
    page.wait_for_timeout(2800)
    assert len(operator.requests) == resting
    assert operator.complaints == []


def test_the_page_of_alerts_is_accessible_with_all_that_it_can_show(place: Place, operator: Watched) -> None:
    admin, space = place.server.admin, "namespace=aitronos"
    endpoint, deliveries = f"/v1/webhook-endpoints/here?{space}", f"/v1/deliveries?{space}&endpoint=here"
    made = admin("PUT", endpoint, {"url": "https://localhost:1/hook"})
    assert made.status_code == 201, made.text
    for basis, threshold in (("used", 1), ("balance", 10**30)):
        body = {"meter": "neurons", "basis": basis, "threshold": threshold, "organization": "helvetia"}
        assert admin("PUT", f"/v1/alert-rules/{basis}?{space}", body).status_code == 201
    eventually(lambda: admin("GET", f"/v1/alerts?{space}").json()["alerts"])
    eventually(lambda: any(each["attempts"] for each in admin("GET", deliveries).json()["deliveries"]))
    page = operator.page
    page.goto(place.base + "/alerts/aitronos")
    assert axe(page) == []
    assert page.get_by_role("region", name="Deliveries to here").get_by_text("not an address").first.is_visible()
    page.get_by_text("Add a rule").click()
    assert axe(page) == []
    page.get_by_role("button", name="Send a test: here").click()
    until(page, "document.body.innerText.includes('test')")
    page.get_by_role("button", name="Remove: here").click()
    until(page, "!document.body.innerText.includes('localhost:1')")
    assert admin("GET", endpoint).status_code == 404
    assert operator.complaints == []
