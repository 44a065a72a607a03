"""The canonical workload: thirty meters, organizations by a power law, forty days, some duplicates, some late.

Of each product's events the largest organization has 35 %, the largest five 78 %, the largest ten 90 %. One event in
a hundred is sent twice, two in a hundred are late by up to ten days. Seeded: every run sends the same. The five
built-in catalogs have 25 meters; `catalog.toml` beside this module has five more, of the aggregations they do without.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import accumulate, islice
from pathlib import Path

from .load import request

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAYS = 40
LATE_DAYS = 10
ORGANIZATIONS = 100
WEIGHTS = [35.0, *[43 / 4] * 4, *[12 / 5] * 5, *[10 / 90] * 90]
MODELS = [f"model-{number}" for number in range(12)]
_SUMS = list(accumulate(WEIGHTS))
CATALOGS = [
    *sorted(Path(str(entry)) for entry in (resources.files("meterhouse") / "catalogs").iterdir()),
    Path(__file__).with_name("catalog.toml"),
]

Body = tuple[str, bytes]
"""A namespace, and events of it as NDJSON."""
Happening = tuple[str, str]
"""The type of an event and its data, as JSON."""


@dataclass(frozen=True, slots=True)
class Product:
    """A namespace, its summary endpoint, and what happens there."""

    namespace: str
    path: str
    header: str
    happens: Callable[[random.Random], Happening]

    def organization(self, rank: int) -> str:
        """The organization of that rank, 0 the largest."""
        return f"{self.namespace}-{rank}"


def _autoposting(rng: random.Random) -> Happening:
    kind, pick = rng.random(), rng.random()
    if kind < 0.4:
        state = ("scheduled", "published", "published", "failed")[int(pick * 4)]
        return "post.state", f'{{"post_id":"post-{int(rng.random() * 50_000)}","state":"{state}","source":"api"}}'
    if kind < 0.65:
        tokens = f'"input_tokens":{int(pick * 9000)},"output_tokens":120,"cost":"0.{int(pick * 9000):06}"'
        return "ai.usage", f'{{"model":"{MODELS[int(rng.random() * 12)]}",{tokens}}}'
    if kind < 0.9:
        return "credit.used", f'{{"amount":"{("0.25", "1", "1.5")[int(pick * 3)]}"}}'
    if kind < 0.94:
        return ("clip.uploaded" if pick < 0.5 else "clip.rendered"), f'{{"clip_id":"clip-{int(pick * 9000)}"}}'
    return "agent.run", f'{{"agent_id":"agent-{int(pick * 30)}","posts_generated":{int(pick * 5)}}}'


def _aitronos(rng: random.Random) -> Happening:
    neurons = int(rng.random() * 9000)
    usage = f'"neurons":{neurons},"synapses":{int(rng.random() * 900)},"cost":"0.{neurons:06}"'
    return "ai.request", f'{{"model":"{MODELS[int(rng.random() * 12)]}",{usage}}}'


def _unsiloed(rng: random.Random) -> Happening:
    operation = ("parse", "extract", "split")[int(rng.random() * 3)]
    return "credit.used", f'{{"amount":{1 + int(rng.random() * 12)},"operation":"{operation}"}}'


def _onepin(rng: random.Random) -> Happening:
    kind, pick = rng.random(), rng.random()
    who = f'"run_id":"run-{int(pick * 20_000)}","user_id":"user-{int(rng.random() * 40)}"'
    if kind < 0.2:
        state = ("pending", "running", "completed", "failed")[int(kind * 20)]
        return "run.state", f'{{{who},"state":"{state}"}}'
    if kind < 0.3:
        return "audio.delivered", f'{{{who},"audio_ms":{int(pick * 60_000)}}}'
    said = f'"locale":"{("en-US", "de-CH", "ja-JP")[int(pick * 3)]}","characters":{int(pick * 160)}'
    return (
        "line.generated",
        f'{{{who},{said},"corrected_words":{int(pick * 3)},"credits":"{int(pick * 900) / 100:.2f}"}}',
    )


def _octolens(rng: random.Random) -> Happening:
    keyword = f'"keyword_id":"keyword-{int(rng.random() * 40)}"'
    if rng.random() < 0.01:
        return "keyword.state", f'{{{keyword},"state":"{("active", "paused", "deleted")[int(rng.random() * 3)]}"}}'
    return "mention.found", f'{{"mention_id":"mention-{int(rng.random() * 10**9)}",{keyword}}}'


def _fleet(rng: random.Random) -> Happening:
    reading = f'"device_id":"device-{int(rng.random() * 500)}","celsius":"{int(rng.random() * 900) / 10:.1f}"'
    return "device.reading", f'{{{reading},"bytes_stored":{int(rng.random() * 10**12)}}}'


PRODUCTS = (
    Product("autoposting", "/api-proxy/usage/summary", "authorization", _autoposting),
    Product("aitronos", "/v1/analytics/usage/summary/aitronos-0", "x-api-key", _aitronos),
    Product("unsiloed", "/api/v1/org/get_usage", "api-key", _unsiloed),
    Product("onepin", "/api/v1/usage/summary?range=90d&activity_view=monthly", "authorization", _onepin),
    Product("octolens", "/api/v2/org/usage", "authorization", _octolens),
    Product("fleet", "/v1/organizations/fleet-0/usage", "authorization", _fleet),
)
"""The last one has no contract of its own: Meterhouse's native answer."""
FIVE = PRODUCTS[:5]
"""Those with a contract."""


def batches(product: Product, events: int, size: int, *, first: int = 0, of: int | None = None) -> Iterator[bytes]:
    """Events of a product as NDJSON bodies of `size`: number `first` and on, of as many as fill the forty days."""
    lines = _lines(product, first, events, of or first + events)
    while batch := list(islice(lines, size)):
        yield b"\n".join(batch)


def _lines(product: Product, first: int, events: int, of: int) -> Iterator[bytes]:
    rng = random.Random(f"{product.namespace} {first}")
    draw, namespace = rng.random, product.namespace
    previous = b""
    for number in range(first, first + events):
        if previous and draw() < 0.01:
            yield previous
            continue
        late = draw() * LATE_DAYS if draw() < 0.02 else 0.0
        at = NOW - timedelta(days=DAYS * (1 - number / of) + late)
        event_type, data = product.happens(rng)
        [rank] = rng.choices(range(ORGANIZATIONS), cum_weights=_SUMS)
        key = f"{rng.getrandbits(128):032x}"
        previous = (
            f'{{"specversion":"1.0","id":"{key[:8]}-{key[8:12]}-4{key[13:16]}-a{key[17:20]}-{key[20:]}",'
            f'"source":"bench","type":"{event_type}","subject":"{namespace}-{rank}","time":"{at.isoformat()}",'
            f'"data":{data}}}'
        ).encode()
        yield previous


def posts(bodies: Sequence[Body], who: Mapping[str, str]) -> list[bytes]:
    """Requests that send events."""
    headers = {**who, "content-type": "application/x-ndjson"}
    return [request("POST", f"/v1/events?namespace={namespace}", headers, body) for namespace, body in bodies]


def reads(keys: Mapping[str, str], products: Sequence[Product] = FIVE) -> list[bytes]:
    """Requests for the summaries of the largest organizations."""
    return [request("GET", product.path, {product.header: keys[product.namespace]}) for product in products]
