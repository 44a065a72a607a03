"""What several shards take on paper: `python -m bench.cluster_model`, from measured costs and a law of organizations.

Organizations have events by Zipf's law: the one of rank r has 1 / r ** exponent. The largest are placed one by one, by
the product's own hash or at random. All others together are many and small: what they bring to a virtual shard is drawn
from the normal distribution with their mean and variance, so that a hundred million of them take no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from cyclopts import App
from rich.console import Console
from rich.table import Table

from meterhouse.domain.shards import VIRTUAL_SHARDS, ShardMap, virtual_shard

SHARDS = (2, 4, 8, 16, 32, 64)
CORES = (4, 8, 16)
_PLACED = 20_000
"""How many of the largest organizations are placed one by one."""
_SENT = {"by the thousand": 1_000, "by the hundred": 100, "one by one": 1}

Weights = npt.NDArray[np.float64]
app = App(name="cluster_model", result_action="return_value")


class Placing(StrEnum):
    """What tells the virtual shard of an organization."""

    PRODUCT = "product"
    UNIFORM = "uniform"


@dataclass(frozen=True, slots=True)
class Law:
    """How many events which organization has."""

    organizations: int
    exponent: float

    def largest(self) -> Weights:
        """The weights of those that are placed one by one."""
        return np.arange(1, min(self.organizations, _PLACED) + 1, dtype=np.float64) ** -self.exponent

    def others(self, power: int = 1) -> float:
        """The sum of all other weights, or of their squares: the integral between the middles of neighbouring ranks."""
        first, last = _PLACED + 0.5, self.organizations + 0.5
        if last <= first:
            return 0.0
        exponent = self.exponent * power
        if abs(exponent - 1) < 1e-9:
            return float(np.log(last / first))
        return float((last ** (1 - exponent) - first ** (1 - exponent)) / (1 - exponent))

    def largest_share(self) -> float:
        """What part of all events the largest organization has."""
        return 1 / float(self.largest().sum() + self.others())


@dataclass(frozen=True, slots=True)
class Balance:
    """How events are spread over a number of shards. Shares are of all events, or of the mean shard's."""

    shards: int
    imbalance: float
    """The largest shard's events by the mean shard's: the median of all placings,"""
    worst: float
    """and the most of them."""
    largest: float
    """What part of what the mean shard has the largest organization has alone."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor time in microseconds."""

    event: float
    """For an event at the right process, up to its rollups,"""
    hop: float
    """and for handing on a request."""

    def of_an_event(self, size: int, requests: float) -> float:
        """With so many requests handed on for one of that size."""
        return self.event + self.hop * requests / size


def shares(law: Law, placing: Placing, seed: int) -> Weights:
    """The part of all events that each virtual shard has."""
    largest, rng = law.largest(), np.random.default_rng(seed)
    if placing is Placing.PRODUCT:
        names = (f"org-{rank}" for rank in range(largest.size))
        places = np.fromiter((virtual_shard(f"namespace-{seed}", name) for name in names), np.intp, largest.size)
    else:
        places = rng.integers(VIRTUAL_SHARDS, size=largest.size)
    weights = np.bincount(places, largest, VIRTUAL_SHARDS)
    part = 1 / VIRTUAL_SHARDS
    deviation = np.sqrt(law.others(power=2) * part * (1 - part))
    weights += rng.normal(law.others() * part, deviation, VIRTUAL_SHARDS)
    return np.asarray(weights / weights.sum())


def balance(law: Law, placings: Sequence[Weights], shards: int) -> Balance:
    """How even the product's own map of virtual shards is."""
    shard_of = np.array(ShardMap.even(shards).shards)
    each = [float(np.bincount(shard_of, placed, shards).max()) * shards for placed in placings]
    return Balance(shards, float(np.median(each)), max(each), law.largest_share() * shards)


def per_second(cores: int, microseconds: float, imbalance: float) -> float:
    """Events a second of that many cores, when the largest shard has no more than its part of them."""
    return cores * 1e6 / microseconds / imbalance


def ways(costs: Costs, size: int, shards: int) -> tuple[float, float, float]:
    """What an event costs in requests of that size: when each comes to the right process; when each is about one
    organization and comes to any; when the events are of any organizations."""
    elsewhere = (shards - 1) / shards
    parts = (shards - 1) * (1 - (1 - 1 / shards) ** size)  # other shards that have at least one of the events
    return (
        costs.of_an_event(size, 0),
        costs.of_an_event(size, elsewhere),
        costs.of_an_event(size, parts),
    )


@app.default
def model(
    *,
    organizations: int = 100_000_000,
    exponent: float = 1.0,
    placing: Placing = Placing.PRODUCT,
    placings: int = 20,
    event_us: tuple[float, float, float] = (12.0, 13.0, 87.0),
    hop_us: tuple[float, float, float] = (78.0, 304.0, 39.0),
    rollup_us: float = 9.0,
) -> None:
    """Prints how even shards are, and what they take together.

    Parameters
    ----------
    organizations
        How many there are.
    exponent
        Of Zipf's law: 0 makes all alike, 1 is usual, more makes the largest larger.
    placing
        Whether the product's hash places organizations, or chance.
    placings
        How many times they are placed, each time in a namespace of another name.
    event_us
        What an event costs at the right process when sent by the thousand, by the hundred and one by one.
    hop_us
        What handing on a request costs, for the same sizes. Small ones share calls.
    rollup_us
        What it costs to bring an event into the rollups, wherever it came to.
    """
    law = Law(organizations, exponent)
    placed = [shares(law, placing, seed) for seed in range(placings)]
    balances = {shards: balance(law, placed, shards) for shards in SHARDS}
    console = Console(width=120)
    title = f"{organizations:,} organizations, exponent {exponent}, the largest has {law.largest_share():.2%} of events"
    table = Table(
        "shards", "largest shard by mean", "the same, worst", "largest organization by mean shard", title=title
    )
    for each in balances.values():
        table.add_row(str(each.shards), f"{each.imbalance:.2f}", f"{each.worst:.2f}", f"{each.largest:.2f}")
    console.print(table)
    table = Table("cores", "sent", "right process", "any, of one organization", "any, mixed", title="events a second")
    table.add_column("the largest organization at most")
    for cores in CORES:
        for (name, size), event, hop in zip(_SENT.items(), event_us, hop_us, strict=True):
            costs = ways(Costs(event + rollup_us, hop), size, cores)
            rates = [per_second(cores, cost, balances[cores].imbalance) for cost in costs]
            one_shard = per_second(1, event + rollup_us, 1)
            table.add_row(str(cores), name, *(f"{rate:,.0f}" for rate in rates), f"{one_shard:,.0f}")
    console.print(table)


if __name__ == "__main__":
    app()
