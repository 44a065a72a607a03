"""The different values of a store, held to the reference and to what the store counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meterhouse.domain.errors import Invalid, TooManyGroups
from meterhouse.domain.meter import Aggregation, MeterQuery
from meterhouse.ports.aggregate_reader import AggregateReader


def hold_different_values(store: AggregateReader, reference: AggregateReader, query: MeterQuery) -> None:
    """Asks for the values of the query's UNIQUE_COUNTs, if it has any, and for fewer of them than there are."""
    meters = tuple(meter for meter in query.meters if meter.aggregation is Aggregation.UNIQUE_COUNT)
    if not meters:
        return
    query = replace(query, meters=meters)
    found = store.distinct(query)
    assert found == reference.distinct(query), query
    counted = {(each.meter, each.group, each.window): each.value for each in store.measure(query)}
    assert {key: len(values) for key, values in found.items()} == counted, query
    if found:
        groups, values = len({group for _, group, _ in found}), sum(map(len, found.values()))
        assert store.distinct(replace(query, most_groups=groups, most_values=values)) == found, query
        with pytest.raises(TooManyGroups):
            store.distinct(replace(query, most_groups=groups - 1))
        with pytest.raises(Invalid):
            store.distinct(replace(query, most_values=values - 1))
