"""Makes the pictures of the documentation: `make screenshots`."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import Browser, Page

from meterhouse.domain.period import parse_instant
from support.browser import chromium, sign_in
from support.server import ADMIN_KEY, event, free_port

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
NOW = "2026-11-26T16:00:00Z"
NAMES = ("Alpenglow Labs", "Bright Harbor", "Cobalt Works", "Delta & Sons", "Evergreen AI", "Foxglove", "Granite Data",
         "Hummingbird", "Ironwood", "Juniper Health")  # fmt: skip
MODELS = ("ftg-4o", "ftg-mini", "claude-opus", "llama-70b", "mistral-large")
CHART = "?meter=neurons&range=30d&window=day&group_by=model&compare=previous"


def more_organizations(http: httpx.Client, now: datetime) -> None:
    """Company for the one organization that the demo has in a namespace."""
    rng = random.Random("screenshots")
    for number, name in enumerate(NAMES):
        organization = name.lower().replace(" & ", "-").replace(" ", "-")
        made = http.post("/v1/organizations", json={"id": organization, "name": name, "namespace": "aitronos"})
        made.raise_for_status()
        subscription = {
            "plan": "Developer",
            "anchor": "2026-01-01",
            "interval": "P1M",
            "limits": {"requests": 200, "cost": 75},
        }
        http.put(f"/v1/organizations/{organization}/subscription", json=subscription).raise_for_status()
        events = []
        for back in range(60):
            for _ in range(rng.randint(0, 9 - number // 2 + (3 if back < 30 and number % 3 == 0 else 0))):
                data = {"model": rng.choices(MODELS, (9, 5, 3, 2, 1))[0], "neurons": rng.randint(50, 4_000),
                        "synapses": rng.randint(20, 900), "cost": f"0.{rng.randint(1, 99):02}"}  # fmt: skip
                at = (now - timedelta(days=back, minutes=rng.randint(1, 1_000))).isoformat()
                events.append(event("ai.request", organization, data, at=at))
        http.post("/v1/events", params={"namespace": "aitronos"}, json=events).raise_for_status()


def take(page: Page, name: str) -> None:
    """One picture."""
    page.wait_for_timeout(300)
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")
    print(f"{FOLDER / name}.png", (FOLDER / f"{name}.png").stat().st_size)


def pictures(browser: Browser, base: str, http: httpx.Client) -> None:
    """All of them."""
    page = browser.new_page(viewport={"width": 1280, "height": 960})
    sign_in(page, base, ADMIN_KEY)
    page.goto(f"{base}/?namespace=aitronos&meter=neurons")
    take(page, "overview")
    page.goto(f"{base}/organizations?meter=aitronos/neurons")
    take(page, "organizations")
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.goto(f"{base}/organizations/helvetia-ai{CHART}")
    take(page, "organization")
    page.set_viewport_size({"width": 1280, "height": 960})
    page.goto(f"{base}/organizations/helvetia-ai/events?meter=neurons&from=2026-11-25&to=2026-11-26")
    page.get_by_role("row").nth(1).get_by_role("link").click()
    take(page, "event")
    page.emulate_media(color_scheme="dark")
    page.goto(f"{base}/organizations/voicelab?meter=credits&range=30d&window=day&group_by=locale")
    take(page, "organization-dark")
    link = {"expires_in_seconds": 600, "theme": {"color": "#0a7d5a", "mode": "light"}}
    made = http.post("/v1/organizations/paperworks/portal-links", json=link).json()
    phone = browser.new_page(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    phone.goto(f"{made['url']}?meter=credits&range=30d&group_by=operation")
    take(phone, "usage-page-phone")
    page.goto(f"{made['url']}?meter=credits&range=30d&group_by=operation")
    take(page, "usage-page")


def main() -> None:
    """Starts a demo on a folder of its own, and looks at it."""
    FOLDER.mkdir(exist_ok=True)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "meterhouse", "demo", "--data", folder, "--port", str(port), "--now", NOW]
        server = subprocess.Popen(command, env={"METERHOUSE_ADMIN_KEY": ADMIN_KEY}, stdout=subprocess.DEVNULL)
        try:
            authorized = {"authorization": f"Bearer {ADMIN_KEY}"}
            with httpx.Client(base_url=base, headers=authorized, timeout=60, trust_env=False) as http:
                while not _is_ready(http):
                    assert server.poll() is None, "the demo has ended"
                    time.sleep(0.2)
                more_organizations(http, parse_instant(NOW))
                with chromium() as browser:
                    pictures(browser, base, http)
        finally:
            server.terminate()
            server.wait()


def _is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
