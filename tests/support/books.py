"""Usage of all five products that is told at random, and the books of what every endpoint has to answer then."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from random import Random
from typing import Any

import msgspec

from meterhouse.domain.period import format_instant
from support.server import Server

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SPAN = timedelta(days=150)
CLIENTS = 3
SOURCE = "crash"
ORGANIZATIONS = {
    "unsiloed": ("unsiloed-1", "unsiloed-2"),
    "aitronos": ("aitronos-1",),
    "octolens": ("octolens-1",),
    "autoposting": ("autoposting-1",),
    "onepin": ("onepin-1",),
}
PAIRS = [(namespace, each) for namespace, organizations in ORGANIZATIONS.items() for each in organizations]
# Before every event. Without an interval our own answer is for all the time since; contracts have cycles of their own.
ANCHOR = "2026-01-01"
CYCLES = {
    "unsiloed": datetime(2026, 5, 31, tzinfo=UTC),  # 5 times 30 days after the anchor
    "aitronos": datetime(2026, 6, 1, tzinfo=UTC),
    "autoposting": datetime(2026, 6, 1, tzinfo=UTC),
    "onepin": datetime(2026, 5, 17, tzinfo=UTC),  # 30 days, today included
}
METERS = {
    "unsiloed": ("credits",),
    "aitronos": ("requests", "neurons", "synapses", "cost"),
    "octolens": ("mentions", "keywords"),
    "autoposting": ("credits", "posts", "ai_tokens", "ai_cost", "ai_requests", "clips_uploaded"),
    "onepin": ("credits", "lines", "characters"),
}
# The clock stands still, and so does the hour that requests are counted in.
ENVIRONMENT = {
    "METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR": "1000000",
    "METERHOUSE_AUTOPOSTING_REQUESTS_PER_HOUR": "1000000",
}

Identity = tuple[str, str]
Figures = dict[tuple[str, str], Decimal]

_decoder = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it is sent, every time with the same content; `data` is its JSON text."""

    namespace: str
    organization: str
    kind: str
    id: str
    at: datetime
    data: str

    @property
    def identity(self) -> Identity:
        return self.namespace, self.id

    def json(self) -> str:
        envelope = {"specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.kind}
        more = {"subject": self.organization, "time": format_instant(self.at), "data": msgspec.Raw(self.data.encode())}
        return msgspec.json.encode({**envelope, **more}).decode()


Batch = Sequence[Sent]


def some_event(random: Random, namespace: str, event_id: str) -> Sent:
    """A new event, somewhere in five months."""
    at = NOW - timedelta(microseconds=random.randrange(1, SPAN // timedelta(microseconds=1)))
    amount = f"{random.randrange(1, 10**12)}e-9"  # no two sets of events have the same sum
    match namespace:
        case "unsiloed":
            kind, data = "credit.used", {"amount": amount, "operation": random.choice(["parse", "extract"])}
        case "aitronos":
            units = {"neurons": random.randrange(10**9), "synapses": random.randrange(10**9)}
            kind, data = "ai.request", {"model": random.choice("abc"), "cost": amount, **units}
        case "octolens":
            kind, data = random.choice(
                [
                    ("mention.found", {"mention_id": event_id}),
                    ("keyword.state", {"keyword_id": event_id, "state": random.choice(["active", "paused"])}),
                ]
            )
        case "autoposting":
            tokens = {"input_tokens": random.randrange(10**9), "output_tokens": random.randrange(10**9)}
            post = {"post_id": f"post-{random.randrange(300)}", "state": random.choice(["scheduled", "published"])}
            kind, data = random.choice(
                [
                    ("credit.used", {"amount": amount}),
                    ("post.state", {**post, "source": "api"}),
                    ("ai.usage", {"model": "m", "cost": amount, **tokens}),
                    ("clip.uploaded", {"clip_id": event_id}),
                ]
            )
        case _:
            line = {"run_id": "r", "user_id": "ada", "locale": "de", "credits": amount}
            kind, data = "line.generated", {**line, "characters": random.randrange(10**9)}
    organization = random.choice(ORGANIZATIONS[namespace])
    return Sent(namespace, organization, kind, event_id, at, msgspec.json.encode(data).decode())


def measured(event: Sent) -> dict[str, Decimal]:
    """What a single event adds to the meters that add."""
    data, one = msgspec.json.decode(event.data), Decimal(1)
    match event.kind:
        case "credit.used":
            return {"credits": Decimal(data["amount"])}
        case "ai.request":
            units = {"neurons": Decimal(data["neurons"]), "synapses": Decimal(data["synapses"])}
            return {"requests": one, "cost": Decimal(data["cost"]), **units}
        case "mention.found":
            return {"mentions": one}
        case "keyword.state":
            return {"keywords": one}
        case "ai.usage":
            tokens = Decimal(data["input_tokens"] + data["output_tokens"])
            return {"ai_requests": one, "ai_cost": Decimal(data["cost"]), "ai_tokens": tokens}
        case "clip.uploaded":
            return {"clips_uploaded": one}
        case "line.generated":
            return {"credits": Decimal(data["credits"]), "lines": one, "characters": Decimal(data["characters"])}
    return {}


class Books:
    """What every endpoint has to answer when exactly these events were stored: plain additions."""

    def __init__(self) -> None:
        self._totals: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._posts: dict[tuple[str, str], tuple[datetime, str]] = {}

    def __copy__(self) -> Books:
        other = Books()
        other._totals.update(self._totals)
        other._posts.update(self._posts)
        return other

    def add(self, event: Sent) -> None:
        within = event.namespace in CYCLES and event.at >= CYCLES[event.namespace]
        for meter, value in measured(event).items():
            self._totals[event.organization, meter] += value
            if within:
                self._totals[event.organization, f"{meter} of the cycle"] += value
        if event.kind == "post.state":
            data = msgspec.json.decode(event.data)
            post, change = (event.organization, data["post_id"]), (event.at, data["state"])
            self._posts[post] = max(change, self._posts.get(post, change))

    def figures(self, *, contracts: bool) -> Figures:
        """Every number of every answer, by organization and name; of our own answers only, or of the contracts' too."""
        figures: Figures = {}
        for namespace, organization in PAIRS:
            told = {meter: self._totals[organization, meter] for meter in METERS[namespace]}
            if namespace == "autoposting":
                told["posts"] = self._count_posts(organization, "published")
            if contracts:
                told |= self.contract_figures(namespace, organization)
            figures |= {(organization, name): value for name, value in told.items()}
        return figures

    def contract_figures(self, namespace: str, organization: str) -> dict[str, Decimal]:
        def total(name: str) -> Decimal:
            return self._totals[organization, name]

        match namespace:
            case "unsiloed":
                return {"current_usage": total("credits of the cycle")}
            case "aitronos":
                return {
                    "totalRequests": total("requests"),
                    "totalNeurons": total("neurons"),
                    "total_synapses": total("synapses"),
                    "totalCost": francs(total("cost")),
                    "currentMonth.requests": total("requests of the cycle"),
                    "currentMonth.cost": francs(total("cost of the cycle")),
                }
            case "octolens":
                return {"mentions.count": total("mentions"), "keywords.count": total("keywords")}
            case "autoposting":
                return {
                    "credits.used": total("credits of the cycle").to_integral_value(ROUND_FLOOR),
                    "aiTokens.used": total("ai_tokens of the cycle"),
                    "clips.uploaded": total("clips_uploaded of the cycle"),
                    "posts.published": self._count_posts(organization, "published", CYCLES[namespace]),
                    "posts.scheduled": self._count_posts(organization, "scheduled"),
                }
        return {
            "characters.total": total("characters of the cycle"),
            "lines.total": total("lines of the cycle"),
        }

    def _count_posts(self, organization: str, state: str, since: datetime = NOW - SPAN) -> Decimal:
        changes = [change for (owner, _), change in self._posts.items() if owner == organization]
        return Decimal(sum(at >= since and said == state for at, said in changes))


def francs(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def observed(server: Server, keys: dict[str, str], *, contracts: bool) -> Figures:
    """The same numbers, as the server has them: its own usage endpoint and the one of each contract."""

    def ask(namespace: str, organization: str) -> Figures:
        meters = server.usage(organization)["meters"]
        told = {meter: meters[meter]["used"] for meter in METERS[namespace]}
        if contracts:
            told |= _contract_answer(server, namespace, organization, keys[organization])
        return {(organization, name): Decimal(value) for name, value in told.items()}

    figures: Figures = {}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(ask, *zip(*PAIRS, strict=True)):
            figures |= answer
    return figures


def unequal(answered: Figures, expected: Figures) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    assert answered.keys() == expected.keys()
    return {name: (answered[name], expected[name]) for name in expected if answered[name] != expected[name]}


ENDPOINTS = {
    "unsiloed": ("/api/v1/org/get_usage", "api-key", "{}"),
    "aitronos": ("/v1/analytics/usage/summary/aitronos-1", "x-api-key", "{}"),
    "octolens": ("/api/v2/org/usage", "authorization", "Bearer {}"),
    "autoposting": ("/usage/summary", "x-api-key", "{}"),
    "onepin": ("/api/v1/usage/summary?timezone=UTC&range=30d", "authorization", "Bearer {}"),
}


def _contract_answer(server: Server, namespace: str, organization: str, key: str) -> dict[str, Any]:
    path, header, credential = ENDPOINTS[namespace]
    answer = server.http.get(path, headers={header: credential.format(key)})
    assert answer.status_code == 200, answer.text
    body = _decoder.decode(answer.content)
    body = body.get("data", body)
    told = {}
    for name in Books().contract_figures(namespace, organization):  # the names are those of the answer
        value = body
        for part in name.split("."):
            value = value[part]
        told[name] = value
    return told
