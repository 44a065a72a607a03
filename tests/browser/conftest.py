"""One Chromium, and one server with a year of two products, for all tests of what people look at."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, StorageState

from support.browser import CHROMIUM, Place, Watched, chromium, sign_in, watched
from support.server import ADMIN_KEY, CANNOT, event, serve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")  # it keeps an event loop running, which other tests need for themselves
def browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        installable = os.geteuid() == 0 and shutil.which("apt-get") is not None
        reason = "there is no Chromium: apt-get install chromium"
        pytest.skip(reason if installable else f"{CANNOT}there is no Chromium, and only root can install it")
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with serve(tmp_path_factory.mktemp("browser") / "data", now=NOW) as server:
        helvetia = server.organization(
            "aitronos",
            {"plan": "Business", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M", "limits": {"requests": 100}},
            id="helvetia",
            name="Helvetia AI",
        )
        server.organization(
            "unsiloed",
            {"plan": "Growth", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"},
            id="paperworks",
            name="<b>Paperworks</b>",
        )
        rng = random.Random("seeded")
        asked = [
            event(
                "ai.request",
                helvetia,
                {
                    "model": rng.choice(("large", "small", "small", "tiny", "<i>odd</i>")),
                    "neurons": rng.randint(1, 900),
                    "synapses": 1,
                    "cost": "0.125",
                },
                at=(NOW - timedelta(hours=6 * back)).isoformat(),
            )
            for back in range(1, 300)
        ]
        spent = [
            event(
                "credit.used", "paperworks", {"amount": back, "operation": "parse"}, at=f"2026-03-{back:02}T00:00:00Z"
            )
            for back in range(1, 10)
        ]
        server.send("aitronos", asked)
        server.send("unsiloed", spent)
        yield Place(server, server.key(helvetia))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, place: Place) -> StorageState:
    """The cookies of the operator's."""
    context = browser.new_context()
    sign_in(context.new_page(), place.base, ADMIN_KEY)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def operator(browser: Browser, signed_in: StorageState) -> Iterator[Watched]:
    """A page of the operator's."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, storage_state=signed_in)
    yield watched(context)
    context.close()
