"""Puts together what a server tells by itself: alerts, and the webhooks that carry them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager

from .domain.shards import Seat
from .ports.event_store import EventStore
from .services.alerts import AlertRules, AlertWatch, AlertWorker
from .services.forecasts import Forecasts
from .services.usage import Usage
from .services.webhooks import Deliverer
from .settings import Settings


def assemble_alerting(
    settings: Settings,
    version: str,
    *,
    store: EventStore,
    usage: Usage,
    forecasts: Forecasts,
    rules: AlertRules,
    seat: Seat,
    changing: Callable[[], AbstractContextManager[None]],
) -> tuple[AlertWorker, Deliverer]:
    """The threads that raise and deliver; neither has begun."""
    from .webhooks.sender import AiohttpSender, SenderOptions  # noqa: PLC0415 - with it comes aiohttp

    options = SenderOptions(
        timeout_seconds=settings.webhook_timeout_seconds,
        private_addresses=settings.webhook_addresses == "any",
        user_agent=f"Meterhouse/{version}",
    )
    ledger, clock, random_below = usage.ledger, usage.clock, secrets.SystemRandom().randrange
    deliverer = Deliverer(ledger, AiohttpSender(options), clock, seat, changing=changing, random_below=random_below)
    watch = AlertWatch(usage, forecasts, rules)
    return AlertWorker(store, watch, seat, changing, wake=deliverer.wake), deliverer
