"""Answering meters of several shards together, exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from typing import TypeAlias, TypeVar

from ..domain.errors import Invalid, TooManyGroups
from ..domain.meter import BY_ORGANIZATION, Aggregation, Measure, MeterQuery, Ranking
from ..domain.partial_aggregate import Partial, PartialKey, check_groups, check_values, merge_partials, value_of
from ..domain.quantity import add
from ..ports.aggregate_reader import AggregateReader

Answer = TypeVar("Answer")
Group: TypeAlias = tuple[str, ...]

MOST_RANKED_GROUPS = 100_000
"""The most groups that are ranked here, where organizations of several shards may share one: the whole of each leaves
its shard then. Groups by organization have no such limit."""
MOST_UNITED_VALUES = 1_000_000
"""The most different values, those of each group and window counted, that leave the shards for one UNIQUE_COUNT."""


class SpanningReader:
    """Answers queries over several shards as one store would that had all of their events: see `ports.AggregateReader`.

    An organization lives in one shard. So do its entities and, where a query groups by organization, its groups; what
    shards have in common is merged from partial aggregates, and of a UNIQUE_COUNT from the values themselves. Shards
    number their commits on their own: of a LATEST's events with the same time the one in the shard with the greatest
    number is the latest, as if shards had been stored one after the other.
    """

    def __init__(self, shards: Sequence[tuple[AggregateReader, int]], threads: ThreadPoolExecutor):
        """`shards`, in the order of their numbers, each with the commit that it answers as of, whatever a query says.
        They are asked at the same time, in `threads` that nobody asks this reader in."""
        self._shards = shards
        self._threads = threads

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.AggregateReader`."""
        if self._apart(query):
            measures = [*chain.from_iterable(self._ask(lambda shard, asked: shard.measure(asked), query))]
        elif query.meters[0].aggregation is Aggregation.STATE_COUNT:
            measures = self._states(query)
        else:
            measures = [*self._merged(query), *self._united(query)]
        check_groups((each.group for each in measures), query.most_groups)
        return measures

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """See `ports.AggregateReader`. They are merged with none but those of this reader."""
        found: defaultdict[PartialKey, list[Partial]] = defaultdict(list)
        for number, partials in enumerate(self._ask(lambda shard, asked: shard.partials(asked), query)):
            for key, partial in partials.items():
                found[key].append(_of_shard(partial, number))
        check_groups((group for _, group, _ in found), query.most_groups)
        merged = {key: merge_partials(query.meters[key[0]].aggregation, parts) for key, parts in found.items()}
        return {key: partial for key, partial in merged.items() if partial is not None}

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """See `ports.AggregateReader`."""
        united: defaultdict[PartialKey, set[str]] = defaultdict(set)
        for found in self._ask(lambda shard, asked: shard.distinct(asked), query):
            for key, values in found.items():
                united[key] |= values
        check_groups((group for _, group, _ in united), query.most_groups)
        check_values(united, query.most_values)
        return united

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.AggregateReader`. Raises `Invalid` where groups of several shards are too many to be merged."""
        if self._apart(query):
            rankings = self._ask(lambda shard, asked: shard.rank(asked, count), query)
            totals = chain.from_iterable(zip(each.groups, each.totals, strict=True) for each in rankings)
            return _ranking(totals, count, sum(each.of for each in rankings))
        try:
            measures = self.measure(replace(query, most_groups=MOST_RANKED_GROUPS))
        except TooManyGroups:
            raise Invalid(
                f"group_by: {query.meters[0].slug} has more than {MOST_RANKED_GROUPS:,} groups, too many to be ranked "
                "over several shards; narrow from and to, filter, or group by organization or by less"
            ) from None
        return _ranking(((each.group, each.value) for each in measures), count, len(measures))

    def _apart(self, query: MeterQuery) -> bool:
        """Whether every group of the query has events in one shard only."""
        return len(self._shards) == 1 or query.organization is not None or BY_ORGANIZATION in query.group_by

    def _ask(self, reading: Callable[[AggregateReader, MeterQuery], Answer], query: MeterQuery) -> list[Answer]:
        """The answers of all shards, in their order."""

        def ask(shard: tuple[AggregateReader, int]) -> Answer:
            reader, commit = shard
            return reading(reader, replace(query, as_of_commit=commit))

        return [*self._threads.map(ask, self._shards)]

    def _states(self, query: MeterQuery) -> list[Measure]:
        """The entities of all shards in each state."""
        entities: defaultdict[tuple[int, Group, str], list[Decimal]] = defaultdict(list)
        for each in chain.from_iterable(self._ask(lambda shard, asked: shard.measure(asked), query)):
            entities[each.window, each.group, each.state].append(each.value)
        return [Measure(window, add(counts), group, state) for (window, group, state), counts in entities.items()]

    def _merged(self, query: MeterQuery) -> list[Measure]:
        """The query's meters but UNIQUE_COUNTs."""
        numbers = [n for n, meter in enumerate(query.meters) if meter.aggregation is not Aggregation.UNIQUE_COUNT]
        if not numbers:
            return []
        partials = self.partials(replace(query, meters=tuple(query.meters[n] for n in numbers)))
        return [
            Measure(window, value_of(query.meters[numbers[place]].aggregation, partial), group, meter=numbers[place])
            for (place, group, window), partial in partials.items()
        ]

    def _united(self, query: MeterQuery) -> list[Measure]:
        """The query's UNIQUE_COUNTs."""
        numbers = [n for n, meter in enumerate(query.meters) if meter.aggregation is Aggregation.UNIQUE_COUNT]
        if not numbers:
            return []
        meters = tuple(query.meters[n] for n in numbers)
        values = self.distinct(replace(query, meters=meters, most_values=MOST_UNITED_VALUES))
        return [
            Measure(window, Decimal(len(each)), group, meter=numbers[place])
            for (place, group, window), each in values.items()
        ]


def _of_shard(partial: Partial, number: int) -> Partial:
    """A LATEST's version has its shard behind its time, so that commits are compared within one shard only."""
    if not isinstance(partial.number, tuple):
        return partial
    (time, *place), value = partial.number
    return Partial(partial.events, ((time, number, *place), value))


def _ranking(totals: Iterable[tuple[Group, Decimal]], count: int, of: int) -> Ranking:
    """The first of some groups, by total and then by name."""
    ordered = sorted(totals, key=lambda each: (each[1].copy_negate(), each[0]))[:count]
    return Ranking(tuple(group for group, _ in ordered), of, tuple(total for _, total in ordered))
