"""Rows of a CSV file as CloudEvents."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, BinaryIO

import msgspec
from cyclopts import Parameter

from ..domain.local_time import zone
from ..domain.period import format_instant
from .terminal import Failed

_LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class CsvMapping:
    """What the columns of a CSV file with a header line mean."""

    type: str
    """The event type of every row."""
    time: str
    """The column that holds the time."""
    subject: str | None = None
    """The organization of every row."""
    subject_column: str | None = None
    """Or the column that names it."""
    id: str | None = None
    """The column that identifies a row; without one, the file's name and the row's number do."""
    source: str | None = None
    """The source of every row; the file's name when absent."""
    time_zone: str | None = None
    """The zone of times that are written without one, like UTC or Europe/Zurich."""
    column: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """The column a property of the event's data is read from: `--csv.column.neurons ContextTokens`."""
    constant: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """A property that is the same for every row: `--csv.constant.model gpt`."""


def read_csv(stream: BinaryIO, mapping: CsvMapping, name: str) -> Iterator[bytes]:
    """Each row as a CloudEvent in JSON. Quantities keep their digits: they become decimal strings as written.

    Raises `Failed` when a column is missing, the mapping is not complete, a time cannot be understood, or the file is
    no CSV in UTF-8.
    """
    try:
        yield from _events(stream, mapping, name)
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise Failed(f"{name} is not a CSV file in UTF-8: {wrong}") from None


def _events(stream: BinaryIO, mapping: CsvMapping, name: str) -> Iterator[bytes]:
    if (mapping.subject is None) == (mapping.subject_column is None):
        raise Failed("say whose events these are: --csv.subject ORGANIZATION or --csv.subject-column COLUMN")
    rows = csv.DictReader(codecs.getreader("utf-8-sig")(stream))
    wanted = [mapping.time, mapping.subject_column, mapping.id, *mapping.column.values()]
    header = rows.fieldnames or []
    for column in wanted:
        if column is not None and column not in header:
            raise Failed(f"{name} has no column {column!r}; its header names {', '.join(header)}")
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values():
            raise Failed(f"{name}, row {number}: has {'more' if None in row else 'fewer'} fields than the header")
        data = {**mapping.constant, **{prop: row[column] for prop, column in mapping.column.items()}}
        event = {
            "specversion": "1.0",
            "id": row[mapping.id] if mapping.id is not None else f"{name}:{number}",
            "source": mapping.source or name,
            "type": mapping.type,
            "subject": row[mapping.subject_column] if mapping.subject_column is not None else mapping.subject,
            "time": _time(row[mapping.time], mapping.time_zone, f"{name}, row {number}"),
            "data": data,
        }
        yield msgspec.json.encode(event)


def _time(text: str, zone_name: str | None, place: str) -> str:
    """RFC 3339; a time without a zone is read in the mapping's."""
    if _LOCAL_TIME.fullmatch(text) is None:
        return text
    if zone_name is None:
        raise Failed(f"{place}: the time {text!r} has no zone; say which with --csv.time-zone, for instance UTC")
    whole, point, fraction = text.partition(".")
    try:
        instant = format_instant(datetime.fromisoformat(whole).replace(tzinfo=zone(zone_name)))
    except (ValueError, OverflowError) as wrong:
        raise Failed(f"{place}: the time {text!r} does not exist: {wrong}") from None
    return instant.removesuffix("Z") + point + fraction + "Z"
