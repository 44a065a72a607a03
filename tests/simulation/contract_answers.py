"""What the five contracts should answer, by the auditor's books."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from simulation.auditor import (
    ANYTHING,
    READS,
    Answer,
    Books,
    Event,
    Json,
    Key,
    Organization,
    cycle,
    exact,
    half_up,
    in_seconds,
    latest,
    quantity,
    text_at,
    within,
)
from simulation.catalogs_by_hand import METERS, Meter

ZERO = Fraction(0)
SOURCES = ("dashboard", "api", "mcp", "cli", "agent")


class Reader:
    """One organization's events that count now, read meter by meter."""

    def __init__(self, books: Books, organization: Organization):
        self.books = books
        self.organization = organization
        self.events = books.counted(organization.namespace, organization.id)
        self.meters = {meter.slug: meter for meter in METERS[organization.namespace]}

    def total(self, slug: str, start: datetime | None, end: datetime | None) -> Fraction:
        return self.books.used(self.meters[slug], self.events, start, end) or ZERO

    def whole(self, slug: str, start: datetime | None, end: datetime | None) -> Decimal:
        return exact(self.total(slug, start, end))

    def where(self, path: str, value: str) -> Reader:
        """The same of only some events."""
        some = Reader(self.books, self.organization)
        some.events = [event for event in self.events if text_at(event.data, path) == value]
        return some

    def values(self, slug: str, path: str, start: datetime | None, end: datetime | None) -> set[str]:
        """What the meter's events of a period say of a property."""
        type = self.meters[slug].type
        return {
            text_at(event.data, path) for event in self.events if event.type == type and within(event.time, start, end)
        }

    def limit(self, slug: str) -> Fraction | None:
        return self.books.limit(self.organization, slug, self.books.now)

    def histories(
        self, slug: str, start: datetime | None, end: datetime | None, window: str
    ) -> dict[str, list[list[Event]]]:
        return self.books.entities(self.meters[slug], self.events, start, end, window=window)


def caller(books: Books, secret: str | None, contract: str) -> tuple[Key, Organization] | str:
    """Who calls, or why nobody does: no_key, bad_key, gone, or forbidden."""
    if secret is None:
        return "no_key"
    key = books.caller(secret, contract)
    if key is None:
        return "bad_key"
    organization = books.organizations[key.organization]
    if organization.deleted:
        return "gone"
    scopes = {"read", "write", "admin"} if contract == "octolens" else {READS.get(contract, "usage:read")}
    return (key, organization) if key.scopes & scopes else "forbidden"


def unsiloed(books: Books, secret: str | None) -> Answer:
    found = caller(books, secret, "unsiloed")
    if isinstance(found, str):
        refusals = {
            "no_key": (401, "API key is required. Please provide 'api-key' in the request header."),
            "bad_key": (401, "Invalid API key"),
            "gone": (404, "Organization not found"),
            "forbidden": (403, "Forbidden"),
        }
        status, detail = refusals[found]
        return status, {"detail": detail}
    _, organization = found
    subscription, reader = organization.subscription, Reader(books, organization)
    anchor = anchor_of(organization)
    start, end = cycle(anchor, "P30D", books.now)
    used, limit = reader.total("credits", start, end), reader.limit("credits") if subscription else ZERO
    return 200, {
        "org_id": organization.id,
        "org_name": organization.name,
        "current_usage": exact(used),
        "usage_limit": exact(limit or ZERO),
        "remaining_quota": exact((limit or ZERO) - used),
        "last_billed_date": start.date().isoformat(),
    }


def anchor_of(organization: Organization) -> datetime:
    """What cycles are counted from: the organization's creation where there is no subscription."""
    if organization.subscription is None:
        return organization.created_at
    return datetime.fromisoformat(organization.subscription["anchor"]).astimezone(UTC)


def aitronos(books: Books, secret: str | None, organization_id: str) -> Answer:
    found = caller(books, secret, "aitronos")
    if not isinstance(found, str) and found[1].id != organization_id:
        found = "forbidden"
    if isinstance(found, str):
        refusals = {
            "no_key": (401, "AUTHENTICATION_REQUIRED", "Authentication required", "No API key provided"),
            "bad_key": (401, "AUTHENTICATION_REQUIRED", "Authentication required", "Invalid API key"),
        }
        denied = (403, "ORGANIZATION_ACCESS_DENIED", "Access denied to organization", ANYTHING)
        status, code, message, system_message = refusals.get(found, denied)
        error = {"code": code, "message": message, "system_message": system_message, "status": Decimal(status)}
        error |= {"type": "client_error" if status == 401 else "authorization_error"}
        return status, {"success": False, "error": error | {"trace_id": ANYTHING, "timestamp": in_seconds(books.now)}}
    _, organization = found
    reader = Reader(books, organization)
    cost, requests = reader.total("cost", None, None), reader.total("requests", None, None)
    models = []
    for model in reader.values("requests", "model", None, None):
        some = reader.where("model", model)
        models.append((-some.total("cost", None, None), -some.total("requests", None, None), model))
    start, end = cycle(datetime(2000, 1, 1, tzinfo=UTC), "P1M", books.now)
    times = [organization.created_at, *(event.time for event in reader.events)]
    return 200, {
        "organization_id": organization.id,
        "totalRequests": exact(requests),
        "total_synapses": with_decimals(reader.total("synapses", None, None)),
        "totalNeurons": with_decimals(reader.total("neurons", None, None)),
        "totalCost": money(cost, 2),
        "averageCostPerRequest": money(cost / requests if requests else ZERO, 2),
        "topModels": [
            {
                "model": model,
                "cost": money(-minus_cost, 2),
                "requests": exact(-minus_requests),
                "percentage": money(-minus_cost * 100 / cost if cost else ZERO, 1),
            }
            for minus_cost, minus_requests, model in sorted(models)[:5]
        ],
        "currentMonth": {
            "cost": money(reader.total("cost", start, end), 2),
            "requests": reader.whole("requests", start, end),
        },
        "timeRange": {
            "start": min(times).date().isoformat(),
            "end": books.now.date().isoformat(),
            "period": "all_time",
        },
    }


def money(value: Fraction, places: int) -> Decimal:
    """Rounded half up, and with one decimal at least."""
    return with_decimals(half_up(value, places))


def with_decimals(value: Fraction) -> Decimal:
    rounded = exact(value)
    return rounded if "." in format(rounded, "f") else Decimal(f"{rounded:f}.0")


def autoposting(books: Books, secret: str | None, *, sdk: bool) -> Answer:
    found = caller(books, secret, "autoposting")
    if found == "forbidden":
        return 403, {"success": False, "error": "forbidden", "message": "This API key may not read usage."}
    if isinstance(found, str):
        return 401, {"success": False, "error": "unauthorized", "message": "Missing or invalid API key."}
    reader = Reader(books, found[1])
    start, end = cycle(anchor_of(found[1]), "P1M", books.now)
    changed = {state: len(each) for state, each in reader.histories("posts", start, end, "changed").items()}
    now = reader.histories("posts", None, None, "now")
    allocated, used = floor(reader.limit("credits") or ZERO), floor(reader.total("credits", start, end))
    data: dict[str, Json] = {
        "period": {"start": in_seconds(start), "end": in_seconds(end)},
        "posts": {
            "published": Decimal(changed.get("published", 0)),
            "failed": Decimal(changed.get("failed", 0)),
            "scheduled": Decimal(len(now.get("scheduled", []))),
        },
        "clips": {
            "uploaded": reader.whole("clips_uploaded", start, end),
            "rendered": reader.whole("clips_rendered", start, end),
        },
        "agents": {
            "runs": reader.whole("agent_runs", start, end),
            "postsGenerated": Decimal(floor(reader.total("agent_posts_generated", start, end))),
        },
        "credits": {
            "allocated": Decimal(allocated),
            "used": Decimal(used),
            "remaining": Decimal(max(allocated - used, 0)),
        },
        "aiTokens": {
            "total": Decimal(floor(reader.limit("ai_tokens") or ZERO)),
            "used": Decimal(floor(reader.total("ai_tokens", start, end))),
        },
    }
    if sdk:
        _for_the_sdk(reader, data, start, end)
    return 200, {"success": True, "data": data}


def _for_the_sdk(reader: Reader, data: dict[str, Json], start: datetime, end: datetime) -> None:
    created = [each for some in reader.histories("posts", start, end, "created").values() for each in some]
    sources = [named_last(history, "source") for history in created]
    data["posts"] |= {
        "total": Decimal(len(created)),
        "bySource": {source: Decimal(sources.count(source)) for source in SOURCES},
    }
    data["range"] = {"from": milliseconds(start), "to": milliseconds(end - timedelta(milliseconds=1))}
    data["agents"] |= {"total": reader.whole("agents", None, None), "active": reader.whole("agents", start, end)}
    models = []
    for model in reader.values("ai_requests", "model", start, end):
        some = reader.where("model", model)
        models.append((-some.total("ai_cost", start, end), -some.total("ai_requests", start, end), model))
    by_model = []
    for minus_cost, minus_requests, model in sorted(models):
        some = reader.where("model", model)
        told = {"model": model, "costUsd": exact(-minus_cost), "requests": exact(-minus_requests)}
        told |= {"inputTokens": some.whole("ai_input_tokens", start, end)}
        by_model.append(told | {"outputTokens": some.whole("ai_output_tokens", start, end)})
    data["ai"] = {
        "totalCostUsd": reader.whole("ai_cost", start, end),
        "inputTokens": reader.whole("ai_input_tokens", start, end),
        "outputTokens": reader.whole("ai_output_tokens", start, end),
        "totalTokens": reader.whole("ai_tokens", start, end),
        "requests": reader.whole("ai_requests", start, end),
        "byModel": by_model,
    }
    posts, costs = [], []
    day = start.date()
    while day <= reader.books.now.date():
        midnight = datetime.combine(day, time(), UTC)
        first, last = max(midnight, start), min(midnight + timedelta(days=1), end)
        made = [history for history in created if within(min(event.time for event in history), first, last)]
        posts.append({"date": day.isoformat(), "count": Decimal(len(made))})
        cost, requests = reader.whole("ai_cost", first, last), reader.whole("ai_requests", first, last)
        costs.append({"date": day.isoformat(), "costUsd": cost, "requests": requests})
        day += timedelta(days=1)
    data["trend"] = {"posts": posts, "aiCost": costs}


def named_last(history: list[Event], path: str) -> str:
    """What the latest event that says anything of a property says of it."""
    saying = [event for event in history if text_at(event.data, path)]
    return text_at(latest(saying).data, path) if saying else ""


def milliseconds(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def octolens(books: Books, secret: str | None) -> Answer:
    found = caller(books, secret, "octolens")
    if isinstance(found, str):
        refusals = {
            "no_key": (401, "UNAUTHORIZED", "Missing API key"),
            "bad_key": (401, "UNAUTHORIZED", "Invalid API key"),
            "gone": (404, "ORG_NOT_FOUND", ANYTHING),
            "forbidden": (403, "FORBIDDEN", "This API key lacks the required scope"),
        }
        status, code, message = refusals[found]
        return status, {"error": {"code": code, "message": message, "status": Decimal(status)}}
    organization, reader = found[1], Reader(books, found[1])
    start, end = books.period(organization, books.now)
    resets_at = None if end is None else end.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    count, limit = reader.total("mentions", start, end), reader.limit("mentions") or ZERO
    keywords: Meter = reader.meters["keywords"]
    answer: dict[str, Json] = {
        "plan": organization.subscription["plan"] if organization.subscription else None,
        "mentions": {"count": exact(count), "limit": exact(limit), "resetAt": resets_at},
        "keywords": {
            "count": exact(books.used(keywords, reader.events, None, None) or ZERO),
            "limit": exact(reader.limit("keywords") or ZERO),
        },
    }
    flex = (organization.subscription or {}).get("flex")
    if flex and flex["enabled"]:
        budget, price = quantity(flex["budget_cents"]) or ZERO, quantity(flex["unit_price_cents"]) or ZERO
        bought = Fraction(budget // price) if price else ZERO
        flexed = min(max(count - limit, ZERO), bought)
        answer["mentions"] |= {"count": exact(count - flexed)}
        answer["flex"] = {
            "enabled": True,
            "budgetCents": exact(budget),
            "used": exact(flexed),
            "resetAt": resets_at,
        }
    return 200, answer
