"""The canonical workload: five products, organizations by a power law, forty days, some duplicates, some late.

Of each product's events the largest organization has 35 %, the largest five 78 %, the largest ten 90 %. One event in
a hundred is sent twice, two in a hundred are late by up to ten days. Seeded: every run sends the same.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAYS = 40
ORGANIZATIONS = 100
_WEIGHTS = [35.0, *[43 / 4] * 4, *[12 / 5] * 5, *[10 / 90] * 90]
_MODELS = [f"model-{number}" for number in range(12)]

Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Product:
    """A namespace, its summary endpoint, and what happens there."""

    namespace: str
    path: str
    header: str
    happens: Callable[[random.Random], tuple[str, Data]]

    def organization(self, rank: int) -> str:
        """The organization of that rank, 0 the largest."""
        return f"{self.namespace}-{rank}"


def _autoposting(rng: random.Random) -> tuple[str, Data]:
    kind = rng.random()
    if kind < 0.4:
        state = rng.choice(("scheduled", "published", "published", "failed"))
        return "post.state", {"post_id": f"post-{rng.randrange(50_000)}", "state": state}
    if kind < 0.7:
        return "ai.usage", {"model": rng.choice(_MODELS), "input_tokens": rng.randrange(9000), "output_tokens": 120}
    return "credit.used", {"amount": rng.choice(("0.25", "1", "1.5"))}


def _aitronos(rng: random.Random) -> tuple[str, Data]:
    neurons = rng.randrange(1, 9000)
    usage = {"neurons": neurons, "synapses": rng.randrange(900), "cost": f"0.{neurons:06}"}
    return "ai.request", {"model": rng.choice(_MODELS), **usage}


def _unsiloed(rng: random.Random) -> tuple[str, Data]:
    return "credit.used", {"amount": rng.randrange(1, 13), "operation": rng.choice(("parse", "extract", "split"))}


def _onepin(rng: random.Random) -> tuple[str, Data]:
    who = {"run_id": f"run-{rng.randrange(20_000)}", "user_id": f"user-{rng.randrange(40)}"}
    if rng.random() < 0.2:
        return "run.state", {**who, "state": rng.choice(("pending", "running", "completed", "failed"))}
    said = {"locale": rng.choice(("en-US", "de-CH", "ja-JP")), "characters": rng.randrange(160)}
    return "line.generated", {**who, **said, "credits": f"{rng.randrange(9)}.{rng.randrange(100):02}"}


def _octolens(rng: random.Random) -> tuple[str, Data]:
    keyword = f"keyword-{rng.randrange(40)}"
    if rng.random() < 0.01:
        return "keyword.state", {"keyword_id": keyword, "state": rng.choice(("active", "paused", "deleted"))}
    return "mention.found", {"mention_id": f"mention-{rng.randrange(10**9)}", "keyword_id": keyword}


PRODUCTS = (
    Product("autoposting", "/api-proxy/usage/summary", "authorization", _autoposting),
    Product("aitronos", "/v1/analytics/usage/summary/aitronos-0", "x-api-key", _aitronos),
    Product("unsiloed", "/api/v1/org/get_usage", "api-key", _unsiloed),
    Product("onepin", "/api/v1/usage/summary?range=90d&activity_view=monthly", "authorization", _onepin),
    Product("octolens", "/api/v2/org/usage", "authorization", _octolens),
)


def batches(product: Product, events: int, size: int) -> Iterator[bytes]:
    """The product's share of the workload as NDJSON bodies of `size` events."""
    lines = _lines(product, events)
    while batch := list(islice(lines, size)):
        yield b"\n".join(batch)


def _lines(product: Product, events: int) -> Iterator[bytes]:
    rng = random.Random(product.namespace)
    encode = msgspec.json.encode
    ranks = list(range(ORGANIZATIONS))
    previous = b""
    for number in range(events):
        if previous and rng.random() < 0.01:
            yield previous
            continue
        late = timedelta(days=rng.uniform(0, 10)) if rng.random() < 0.02 else timedelta()
        at = NOW - timedelta(days=DAYS) * (1 - number / events) - late
        event_type, data = product.happens(rng)
        previous = encode(
            {
                "specversion": "1.0",
                "id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
                "source": "bench",
                "type": event_type,
                "subject": product.organization(rng.choices(ranks, _WEIGHTS)[0]),
                "time": at.isoformat(),
                "data": data,
            }
        )
        yield previous
