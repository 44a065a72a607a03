"""Usage in adjoining buckets of UTC, as makers of language models tell it: some sums at once, by some properties."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

import msgspec

from ..domain.errors import Invalid
from ..domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery
from ..domain.period import format_instant, parse_instant
from ..domain.quantity import ZERO
from .namespace_contract import Call, NamespaceOptions, Refuse, Services, number_between

MOST_GROUPS = 10_000
_PAGE = "page_"
_DAY = timedelta(days=1)


class UsageOptions(NamespaceOptions, frozen=True, kw_only=True):
    """What an operator may set of a contract that tells usage of language models."""

    event_type: Annotated[
        str, msgspec.Meta(min_length=1, max_length=512, description="The type of the events that tell of tokens.")
    ] = "llm.usage"


@dataclass(frozen=True, slots=True)
class Width:
    """How wide buckets are, how many there are on a page where a request does not say it, and how many there may be."""

    length: timedelta
    usual: int
    most: int


WIDTHS = {
    "1m": Width(timedelta(minutes=1), 60, 1440),
    "1h": Width(timedelta(hours=1), 24, 168),
    "1d": Width(_DAY, 7, 31),
}


@dataclass(frozen=True, slots=True)
class Buckets:
    """Some adjoining buckets: those that one answer has, and where the next one begins."""

    edges: tuple[datetime, ...]
    following: datetime | None
    """The beginning of the first bucket that is not among them; None where they are all."""


@dataclass(frozen=True, slots=True)
class Filter:
    """The texts that a property may have."""

    name: str
    texts: tuple[str, ...]


def buckets_between(start: datetime, end: datetime, width: timedelta, most: int) -> Buckets:
    """The buckets from one instant to a later one, whose edges are whole minutes, hours or days of UTC; the first and
    the last are cut to the span."""
    edges, at = [start], start
    while at < end and len(edges) <= most:
        at = min(floor(at, width) + width, end)
        edges.append(at)
    return Buckets(tuple(edges), at if at < end else None)


def floor(at: datetime, width: timedelta) -> datetime:
    """When the bucket of an instant begins."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // width * width


def counted(event_type: str) -> Meter:
    """Counts events of a type."""
    return Meter("count", event_type, Aggregation.COUNT)


def summed(event_type: str, name: str) -> Meter:
    """Adds up a property of events of a type; one without it counts as 0."""
    return Meter(name, event_type, Aggregation.SUM, values=(name,), optional=True)


def read_buckets(
    call: Call,
    services: Services,
    meters: Mapping[str, Meter],
    buckets: Buckets,
    *,
    by: Sequence[str],
    filters: Sequence[Filter],
) -> list[dict[tuple[str, ...], dict[str, Decimal]]]:
    """For each bucket, by the texts of some properties, what the meters come to, by their names. Only what the key may
    see."""
    organizations = (call.organization,) if call.organization is not None else ()
    snapshot = services.snapshots.snapshot(call.namespace, organizations, None)
    asked = MeterQuery(
        namespace=call.namespace,
        organization=call.organization,
        meters=tuple(meters.values()),
        edges=buckets.edges,
        as_of_commit=snapshot.commit,
        group_by=tuple(by),
        filters=tuple((each.name, each.texts) for each in filters),
        most_groups=MOST_GROUPS,
    )
    names = [*meters]
    found: list[defaultdict[tuple[str, ...], dict[str, Decimal]]] = [
        defaultdict(lambda: dict.fromkeys(names, ZERO)) for _ in buckets.edges[1:]
    ]
    for measure in snapshot.reader.measure(asked):
        found[measure.window][measure.group][names[measure.meter]] = measure.value
    return [dict(sorted(groups.items())) for groups in found]


def bad_parameter(name: str, message: str) -> Refuse:
    """The refusal of a parameter."""
    return Refuse(400, f"{name}: {message}", param=name)


def every(call: Call, name: str) -> tuple[str, ...]:
    """All values of a parameter that is a list, written `name[]=a&name[]=b` or `name=a&name=b`."""
    return (*call.every(f"{name}[]"), *call.every(name))


def groups_of(call: Call, known: Sequence[str]) -> tuple[str, ...]:
    """What results are told apart by. Raises `Refuse`."""
    groups = tuple(dict.fromkeys(every(call, "group_by")))
    for each in groups:
        if each not in known:
            raise bad_parameter("group_by", f"{each[:60]!r} is not one of {', '.join(known)}")
    return groups


def width_of(call: Call, widths: Mapping[str, Width]) -> tuple[timedelta, int]:
    """How wide the buckets are that a request asks for, and how many it asks for. Raises `Refuse`."""
    name = call.one("bucket_width") or "1d"
    if name not in widths:
        raise bad_parameter("bucket_width", f"must be one of {', '.join(widths)}")
    width = widths[name]
    limit = number_between(call.one("limit") or str(width.usual), 1, width.most)
    if limit is None:
        raise bad_parameter("limit", f"must be a number from 1 to {width.most}")
    return width.length, limit


def page_start(call: Call) -> datetime | None:
    """Where the page begins that a request asks for; None for the first one. Raises `Refuse`."""
    page = call.one("page")
    if page is None:
        return None
    try:
        return parse_instant(page.removeprefix(_PAGE))
    except Invalid:
        raise bad_parameter("page", "is not one of this list: begin again without") from None


def next_page(buckets: Buckets) -> str | None:
    """What asks for the page after these buckets; None where there is none."""
    return None if buckets.following is None else _PAGE + format_instant(buckets.following)


def place_of(call: Call, name: str, container: str) -> str:
    """Where a property is read. What contains the users of a namespace (a project, a workspace) is the organization of
    an event for whoever sees all of them, and a property of that name for the organization itself."""
    return BY_ORGANIZATION if name == container and call.organization is None else name
