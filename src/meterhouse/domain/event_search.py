"""Searching the events of a namespace, of all of its organizations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from .listing import StoredEvent


class Attribute(StrEnum):
    """A text of an event."""

    ID = "id"
    SOURCE = "source"
    TYPE = "type"
    ORGANIZATION = "organization"


class Moment(StrEnum):
    """An instant of an event."""

    TIME = "time"
    STORED_AT = "stored_at"


class Comparison(StrEnum):
    """How something is compared. Patterns of the last two have `%` for any text and `_` for any character."""

    EQUAL = "="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    LIKE = "like"
    LIKE_IN_ANY_CASE = "ilike"


class TextTest(msgspec.Struct, frozen=True, tag=True):
    """Whether an attribute compares with a text."""

    attribute: Attribute
    comparison: Comparison
    text: str


class OneOf(msgspec.Struct, frozen=True, tag=True):
    """Whether an attribute is one of some texts."""

    attribute: Attribute
    texts: tuple[str, ...]


class MomentTest(msgspec.Struct, frozen=True, tag=True):
    """Whether a moment compares with an instant."""

    moment: Moment
    comparison: Comparison
    instant: datetime


class AllOf(msgspec.Struct, frozen=True, tag=True):
    """Whether all tests are passed."""

    tests: tuple[EventTest, ...]


class AnyOf(msgspec.Struct, frozen=True, tag=True):
    """Whether one of the tests is passed."""

    tests: tuple[EventTest, ...]


class Not(msgspec.Struct, frozen=True, tag=True):
    """Whether a test is not passed."""

    test: EventTest


EventTest: TypeAlias = TextTest | OneOf | MomentTest | AllOf | AnyOf | Not

Rank: TypeAlias = tuple[datetime, str, str, str]
"""What events are ordered by, whatever shard they are of: time, organization, source and id."""


def rank_of(stored: StoredEvent) -> Rank:
    """The rank of an event."""
    event = stored.event
    return event.time, event.organization, event.source, event.id


@dataclass(frozen=True, slots=True)
class EventSearch:
    """The events of a namespace that pass a test, those of the highest rank first; of equal time that is no more than
    an order. Voided events are among them, Meterhouse's own are not."""

    namespace: str
    test: EventTest
    limit: int
    below: Rank | None = None
    """Only those of a lower rank."""
    oldest_first: bool = False
    """Lists those of the lowest rank first."""
