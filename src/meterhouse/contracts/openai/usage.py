"""Usage in buckets, by project, user, key, model and more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal

from ...domain.quantity import ZERO, add, plain
from ..namespace_contract import Call, Reply, Services
from ..usage_buckets import (
    WIDTHS,
    Filter,
    UsageOptions,
    bad_parameter,
    counted,
    every,
    groups_of,
    place_of,
    read_buckets,
    summed,
)
from .kinds import Kind
from .wire import buckets_of, page_of

_PROJECT, _BATCH, _OPERATION = "project_id", "batch", "operation"
_EMBEDDINGS = "embeddings"
_FILTERS = {"model": "models", "size": "sizes", "source": "sources", "context_level": "context_levels"}
"""The parameters that are not called like what they filter, with an s behind it."""


def reader_of(kind: Kind) -> Callable[[Call, Services], Reply]:
    """Tells usage of a kind."""

    def read(call: Call, services: Services) -> Reply:
        """One page of buckets."""
        assert isinstance(services.options, UsageOptions)
        groups, buckets = groups_of(call, kind.groups), buckets_of(call, WIDTHS)
        event_type = kind.event_type or services.options.event_type
        meters = {name: summed(event_type, path) for name, path in kind.sums.items()}
        if kind.count is not None:
            meters[kind.count] = counted(event_type)
        by = [place_of(call, name, _PROJECT) for name in groups]
        if kind.embeddings is not None:
            by.append(_OPERATION)
        found = read_buckets(call, services, meters, buckets, by=by, filters=_filters(call, kind))
        return page_of(buckets, [_results(kind, groups, each) for each in found])

    return read


def _filters(call: Call, kind: Kind) -> list[Filter]:
    filters = []
    for name in kind.filters:
        if name == _BATCH:
            if (wanted := call.one(_BATCH)) is None:
                continue
            if wanted not in ("true", "false"):
                raise bad_parameter(_BATCH, "must be true or false")
            # An event that does not say it was not in a batch.
            filters.append(Filter(_BATCH, ("true",) if wanted == "true" else ("false", "")))
        elif texts := every(call, _FILTERS.get(name, f"{name}s")):
            filters.append(Filter(place_of(call, name, _PROJECT), texts))
    return filters


def _results(
    kind: Kind, groups: tuple[str, ...], found: Mapping[tuple[str, ...], Mapping[str, Decimal]]
) -> list[dict[str, object]]:
    """The results of a bucket."""
    together: defaultdict[tuple[str, ...], dict[str, Decimal]] = defaultdict(dict)
    for texts, numbers in found.items():
        if kind.embeddings is not None:
            if (texts[-1] == _EMBEDDINGS) != kind.embeddings:
                continue
            texts = texts[:-1]  # noqa: PLW2901 - what is left tells results apart
        whole = together[texts]
        for name, number in numbers.items():
            whole[name] = add((whole.get(name, ZERO), number))
    return [_result(kind, dict(zip(groups, texts, strict=True)), whole) for texts, whole in together.items()]


def _result(kind: Kind, texts: Mapping[str, str], numbers: Mapping[str, Decimal]) -> dict[str, object]:
    result: dict[str, object] = {"object": kind.result}
    result |= {name: plain(number) for name, number in numbers.items()}
    for name in kind.groups:
        text = texts.get(name) or None
        result[name] = text == "true" if name == _BATCH and text is not None else text
    return result
