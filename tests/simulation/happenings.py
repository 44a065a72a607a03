"""What happens at organizations, at random: their events, good and bad, the times of these, and their subscriptions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

from simulation.auditor import Json
from simulation.catalogs_by_hand import JOB_STATES, KEYWORD_STATES, METERS, PLANS, POST_STATES, RUN_STATES

TICK = timedelta(microseconds=1)
ZONES = (
    "UTC",
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/Santiago",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Havana",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Kiritimati",
)
MODELS = ("gpt-4o", "mini", "opus", "haiku", "ftg", "other", "zeta")
FREE_MODELS = MODELS[-3:]
USERS = ("ada", "bob", "eve")
_DIGITS = ("12345678901234567890.123456789", "0.0000000000000000000000000001", "-1234567890.00000000000001")


_ROUNDED = (Decimal("0.5"), Decimal("0.005"), Decimal("0.125"))


def amount(random: Random, *, refunds: bool = False) -> Json:
    """A quantity as somebody may write it: halves to be rounded, many digits, texts."""
    kind = random.random()
    if kind < 0.4:
        value = Decimal(random.randint(0, 60))
    elif kind < 0.7:
        value = Decimal(random.randint(0, 4000)).scaleb(-3)
    elif kind < 0.85:
        value = Decimal(random.choice(("0.005", "0.015", "0.125", "2.675", "0.05", "1E+2", "0.10", "7.5")))
    elif kind < 0.9:
        value = Decimal(random.choice(_DIGITS))
    else:
        return random.choice(("0.30", "12", "1e1", "0.1", "9" * 38))
    return -value if refunds and random.random() < 0.2 else value


def whole(random: Random) -> Json:
    return random.choice((random.randint(0, 9), random.randint(0, 5000), str(random.randint(1, 99))))


def happening(random: Random, namespace: str) -> tuple[str, dict[str, Json]]:
    """The type and data of an event; entities come from few, so that they meet again."""
    number = random.randint(1, 6)
    match namespace:
        case "unsiloed":
            return "credit.used", {
                "amount": amount(random, refunds=True),
                "operation": random.choice(("parse", "split")),
            }
        case "aitronos":
            data = {"model": random.choice(MODELS), "neurons": whole(random), "synapses": whole(random)}
            free = data["model"] in FREE_MODELS  # and so of equal cost, however often they are asked
            return "ai.request", data | {"cost": 0 if free else random.choice((amount(random), *_ROUNDED))}
        case "octolens":
            kind = random.choice(("mention.found", "mention.found", "keyword.state", "mention.backfilled"))
            mention: Json = random.choice((f"m{random.randint(1, 30)}", random.randint(1, 3), Decimal("1.0"), "1"))
            if kind == "keyword.state":
                return kind, {"keyword_id": f"k{number}", "state": random.choice(KEYWORD_STATES)}
            return kind, {"mention_id": mention, "keyword_id": f"k{number}"}
        case "onepin":
            return _at_onepin(random, number)
        case "autoposting":
            return _at_autoposting(random, number)
    kind = random.choice(("call", "call", "disk", "job", "credit.used"))
    if kind == "call":
        data = {"input": whole(random), "output": amount(random), "latency_ms": amount(random)}
        return kind, data | {"user": {"id": random.choice((*USERS, 1, Decimal("1.0")))}}
    if kind == "credit.used":
        return kind, {"amount": amount(random, refunds=True)}
    if kind == "disk":
        return kind, {"gb": amount(random)}
    return kind, {"job": f"j{number}", "state": random.choice(JOB_STATES)}


def _at_onepin(random: Random, number: int) -> tuple[str, dict[str, Json]]:
    kind = random.choice(("line.generated", "line.generated", "run.state", "audio.delivered", "workspace.activity"))
    data: dict[str, Json] = {"run_id": f"r{number}", "user_id": random.choice(USERS)}
    if kind == "line.generated":
        data |= {"characters": whole(random), "credits": amount(random)}
        if random.random() < 0.7:
            data["locale"] = random.choice(("en-us", "ko-kr"))
        if random.random() < 0.5:
            data["corrected_words"] = whole(random)
    elif kind == "run.state":
        data["state"] = random.choice(RUN_STATES)
    elif kind == "audio.delivered":
        data["audio_ms"] = whole(random)
    else:
        data = {"action": "workflow_run", "kind": "completed", "resource": {"type": "workflow", "id": "w"}}
    return kind, data


def _at_autoposting(random: Random, number: int) -> tuple[str, dict[str, Json]]:
    kind = random.choice(
        ("post.state", "post.state", "clip.uploaded", "clip.rendered", "agent.run", "credit.used", "ai.usage")
    )
    data: dict[str, Json] = {"post_id": f"p{number}", "state": random.choice(POST_STATES)}
    if kind == "post.state" and random.random() < 0.6:
        data["source"] = random.choice(("dashboard", "api", "mcp", "cli", "agent", "fax"))
    if kind.startswith("clip"):
        data = {"clip_id": f"c{number}"}
    if kind == "agent.run":
        data = {"agent_id": f"a{number}"} if random.random() < 0.9 else {}
        if random.random() < 0.6:
            data["posts_generated"] = whole(random)
    if kind == "credit.used":
        data = {"amount": amount(random, refunds=True)}
    if kind == "ai.usage":
        data = {"model": random.choice(MODELS[:3]), "input_tokens": whole(random), "output_tokens": whole(random)}
        if random.random() < 0.7:
            data["cost"] = amount(random)
    return kind, data


def spoiled(random: Random, namespace: str, event: Json) -> Json:
    """The same event with one thing wrong about it."""
    meters = [meter for meter in METERS[namespace] if meter.type == event["type"] and not meter.optional]
    needed = [name for meter in meters for name in (*meter.values, meter.state) if name in event["data"]]
    numbers = [name for meter in meters if meter.how == "SUM" for name in meter.values]
    kind = random.randint(0, 4)
    if kind == 0 or (not needed and kind < 3):
        return event | {"specversion": "0.3"}
    if kind == 1:
        lost = random.choice(needed)
        return event | {"data": {name: each for name, each in event["data"].items() if name != lost}}
    if kind == 2 and numbers:
        wrong = random.choice(("NaN", True, "1.2.3", Decimal("1E+38"), "1e-29", "", None, "Infinity"))
        return event | {"data": event["data"] | {random.choice(numbers): wrong}}
    return event | random.choice(({"time": "soon"}, {"data": []}, {"subject": ""}, {"type": "meterhouse.void"}))


def subscription(random: Random, namespace: str, now: datetime) -> Json:
    """Any plan, anchors on the last days of months, intervals of every kind."""
    day = random.choice((1, 15, 28, 29, 30, 31))
    anchor = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=random.randint(0, 900))
    while anchor.day != day:
        anchor -= timedelta(days=1)
    if random.random() < 0.2:
        anchor = datetime(2024, 2, 29, tzinfo=UTC)
    told = anchor.date().isoformat()
    if random.random() < 0.3:
        anchor += timedelta(minutes=random.randint(0, 1439), seconds=random.choice((0, 1, 59)))
        told = anchor.astimezone(ZoneInfo(random.choice(ZONES))).isoformat()
    meters = [meter.slug for meter in METERS[namespace]]
    wanted: Json = {"plan": random.choice((None, *PLANS[namespace])), "anchor": told}
    wanted["interval"] = random.choice(("P1M", "P1M", "P30D", "P3M", "P7D", None))
    if random.random() < 0.5:
        wanted["limits"] = {slug: random.randint(0, 40) for slug in random.sample(meters, min(2, len(meters)))}
    if random.random() < 0.4:
        grants = {
            slug: {"one_time": random.choice((0, 5, 7)), "recurring": random.choice((0, 3))} for slug in meters[:2]
        }
        wanted["addons"] = grants
    if random.random() < 0.5:
        flex = {"budget_cents": random.randint(0, 90), "unit_price_cents": random.choice((0, 7, 10, Decimal("2.5")))}
        wanted["flex"] = {"enabled": random.random() < 0.8, **flex}
    return wanted
