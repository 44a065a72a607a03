"""A believable year of five products' usage. Seeded by day: the same day always has the same events."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from .domain.period import format_instant

DAYS = 365

Data = dict[str, Any]
Happenings = Iterator[tuple[str, float, Data]]
"""Event type, second of the day, data."""


@dataclass(frozen=True, slots=True)
class DemoOrganization:
    """One product's organization: its subscription, who its key stands for, and what happens to it on a day."""

    id: str
    name: str
    namespace: str
    subscription: Data
    happenings: Callable[[random.Random, date, float], Happenings]
    user_id: str | None = None


def year_of_events(organization: DemoOrganization, now: datetime) -> Iterator[Data]:
    """The CloudEvents of the year before `now`, in order of days."""
    for back in range(DAYS, -1, -1):
        day = now.date() - timedelta(days=back)
        # Seeding by name keeps a day's events the same whenever the demo is started. No secret depends on it.
        rng = random.Random(f"{organization.id} {day}")  # noqa: S311 - see above
        midnight = datetime.combine(day, time(), UTC)
        for number, (event_type, second, data) in enumerate(organization.happenings(rng, day, _busyness(rng, day))):
            happened_at = midnight + timedelta(milliseconds=round(min(second, 86_399) * 1000))
            if happened_at >= now:
                continue
            yield {
                "specversion": "1.0",
                "id": f"{day}-{number}",
                "source": f"https://{organization.namespace}.example/{organization.id}",
                "type": event_type,
                "subject": organization.id,
                "time": format_instant(happened_at),
                "data": data,
            }


def _busyness(rng: random.Random, day: date) -> float:
    """Weekends are quiet, the business grows over the months, and now and then there is a burst."""
    weekday = (1.0, 1.1, 1.15, 1.1, 0.95, 0.35, 0.25)[day.weekday()]
    growth = 0.8 + (day.toordinal() % DAYS) / DAYS * 0.4
    burst = rng.choice((3.0, 4.0, 5.0)) if rng.random() < 0.03 else 1.0
    return weekday * growth * burst * rng.uniform(0.8, 1.2)


def _moment(rng: random.Random) -> float:
    """A second of the day, most of them in working hours."""
    return rng.gauss(13.5, 3.0) % 24 * 3600


def _zipf(rng: random.Random, names: list[str]) -> str:
    """The first name far more often than the last: a power law."""
    return rng.choices(names, [1 / (rank + 1) ** 1.3 for rank in range(len(names))])[0]


def _autoposting(rng: random.Random, day: date, busy: float) -> Happenings:
    models = ["gpt-5-mini", "claude-sonnet", "gemini-flash"]
    for number in range(round(4 * busy)):
        post, begun = f"post-{day}-{number}", _moment(rng)
        source = _zipf(rng, ["dashboard", "api", "agent", "mcp", "cli"])
        yield "post.state", begun, {"post_id": post, "state": "scheduled", "source": source}
        if rng.random() < 0.04:
            continue  # still waiting for its day
        if rng.random() < 0.08:
            yield "post.state", begun + 600, {"post_id": post, "state": "failed", "source": source}
            if rng.random() < 0.3:
                continue  # nobody tried again
        yield "post.state", begun + 1800, {"post_id": post, "state": "published", "source": source}
        yield "credit.used", begun + 1801, {"amount": rng.choice(("1", "1.5", "2", "0.25"))}
    for number in range(round(2 * busy)):
        yield "clip.uploaded", _moment(rng), {"clip_id": f"clip-{day}-{number}"}
        if rng.random() < 0.8:
            yield "clip.rendered", _moment(rng), {"clip_id": f"clip-{day}-{number}"}
    for _ in range(round(3 * busy)):
        yield (
            "agent.run",
            _moment(rng),
            {"agent_id": _zipf(rng, ["writer", "scout", "clipper"]), "posts_generated": rng.randint(0, 3)},
        )
        tokens = {"input_tokens": rng.randint(200, 9000), "output_tokens": rng.randint(50, 2500)}
        cost = _times("0.0000025", tokens["input_tokens"] + 4 * tokens["output_tokens"])
        yield "ai.usage", _moment(rng), {"model": _zipf(rng, models), **tokens, "cost": cost}
    if rng.random() < 0.02:
        yield "credit.used", _moment(rng), {"amount": "-1.5"}  # a refund


def _aitronos(rng: random.Random, _day: date, busy: float) -> Happenings:
    prices = {"ftg-4o": "0.0000125", "ftg-mini": "0.0000008", "claude-opus": "0.000045", "llama-70b": "0.0000021",
              "mistral-large": "0.0000061", "flux-image": "0.00004", "whisper": "0.0000011"}  # fmt: skip
    for _ in range(round(16 * busy)):
        model = _zipf(rng, list(prices))
        neurons, synapses = int(rng.lognormvariate(6.5, 1.1)), int(rng.lognormvariate(5, 1))
        cost = _times(prices[model], neurons + 4 * synapses)
        yield "ai.request", _moment(rng), {"model": model, "neurons": neurons, "synapses": synapses, "cost": cost}


def _unsiloed(rng: random.Random, _day: date, busy: float) -> Happenings:
    for _ in range(round(7 * busy)):
        operation = _zipf(rng, ["parse", "extract", "classify", "split"])
        yield "credit.used", _moment(rng), {"amount": rng.choice((1, 2, 2, 5, 12)), "operation": operation}
    if rng.random() < 0.03:
        yield "credit.used", _moment(rng), {"amount": -5, "operation": "refund"}


def _onepin(rng: random.Random, day: date, busy: float) -> Happenings:
    users, locales = ["ada", "grace", "linus", "margaret"], ["en-US", "de-CH", "fr-FR", "ja-JP", "pt-BR"]
    for number in range(round(1.6 * busy)):
        run, user, begun = f"run-{day}-{number}", _zipf(rng, users), _moment(rng)
        who = {"run_id": run, "user_id": user}
        yield "run.state", begun, {**who, "state": "pending", "workflow_id": _zipf(rng, ["dub", "narrate", "podcast"])}
        yield "run.state", begun + 2, {**who, "state": "running"}
        for line in range(rng.randint(2, 9)):
            characters = rng.randint(12, 160)
            credits = _times("0.05", characters)
            spoken = {**who, "locale": _zipf(rng, locales), "characters": characters, "credits": credits}
            corrected = {"corrected_words": rng.randint(1, 4)} if rng.random() < 0.2 else {}
            yield "line.generated", begun + 3 + line, {**spoken, **corrected}
        yield "audio.delivered", begun + 20, {"run_id": run, "audio_ms": rng.randint(4_000, 90_000)}
        state = _zipf(rng, ["completed", "failed", "cancelled", "paused"])
        yield "run.state", begun + 21, {**who, "state": state}
        happened = {"action": "workflow_run", "kind": state, "user": {"id": user, "name": user.capitalize()}}
        yield "workspace.activity", begun + 21, {**happened, "resource": {"type": "run", "id": run, "name": run}}
    if rng.random() < 0.1:
        changed = {"action": "settings_changed", "kind": "workspace", "user": {"id": "ada", "name": "Ada"}}
        yield "workspace.activity", _moment(rng), {**changed, "resource": {"type": "workspace"}}


def _octolens(rng: random.Random, day: date, busy: float) -> Happenings:
    keywords = [f"keyword-{number}" for number in range(12)]
    if day.day == 1:
        for number, keyword in enumerate(keywords):
            state = "paused" if number == 9 else "deleted" if number == 11 else "active"
            yield "keyword.state", 60 + number, {"keyword_id": keyword, "state": state}
    for number in range(round(14 * busy)):
        yield "mention.found", _moment(rng), {"mention_id": f"m-{day}-{number}", "keyword_id": _zipf(rng, keywords)}
    if rng.random() < 0.05:
        yield "mention.backfilled", _moment(rng), {"mention_id": f"b-{day}", "keyword_id": keywords[0]}


def _times(price: str, count: int) -> str:
    """An exact product as a decimal string; floats never touch an amount, not even in a demo."""
    whole, _, fraction = price.partition(".")
    digits = str(int(whole + fraction) * count).rjust(len(fraction) + 1, "0")
    return f"{digits[: -len(fraction)]}.{digits[-len(fraction) :]}"


ORGANIZATIONS = (
    DemoOrganization(
        "acme-social",
        "Acme Social",
        "autoposting",
        {
            "plan": "Creator",
            "anchor": "2025-01-31",
            "interval": "P1M",
            "limits": {"credits": 100},
            "addons": {"credits": {"recurring": 50}},
        },
        _autoposting,
    ),
    DemoOrganization(
        "helvetia-ai",
        "Helvetia AI",
        "aitronos",
        {"plan": "Business", "anchor": "2025-01-01", "interval": "P1M"},
        _aitronos,
    ),
    DemoOrganization(
        "paperworks",
        "Paperworks Inc.",
        "unsiloed",
        {"plan": "Growth", "anchor": "2025-01-10", "interval": "P30D", "limits": {"credits": 750}},
        _unsiloed,
    ),
    DemoOrganization(
        "voicelab",
        "Voicelab",
        "onepin",
        {"plan": "Studio", "anchor": "2025-01-15", "interval": "P1M", "limits": {"credits": 400}},
        _onepin,
        user_id="ada",
    ),
    DemoOrganization(
        "listenwell",
        "Listenwell",
        "octolens",
        {
            "plan": "Pro_v3",
            "anchor": "2025-01-05",
            "interval": "P1M",
            "limits": {"mentions": 250},
            "flex": {"enabled": True, "budget_cents": 5000, "unit_price_cents": 10},
        },
        _octolens,
    ),
)
