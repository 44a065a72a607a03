"""Rows of a CSV file as CloudEvents."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, BinaryIO

import msgspec
import xxhash
from cyclopts import Parameter

from ..domain.local_time import zone
from ..domain.period import format_instant
from .terminal import Failed

_LOCAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?")
_LONGEST_FIELD = 16 * 1024 * 1024
"""Longest field in characters: a quote that is never closed is found before it fills the memory."""
_BYTE_ORDER_MARK = "\ufeff"


def _by_path(_: object, tokens: Mapping[str, Any], around: str = "") -> dict[str, str]:
    """Options like `--csv.column.user.id X`, which arrive as objects in objects, by their dotted paths."""
    found: dict[str, str] = {}
    for name, inner in tokens.items():
        if isinstance(inner, Mapping):
            found |= _by_path(_, inner, f"{around}{name}.")
        elif len(inner) > 1:
            raise ValueError(f"{inner[0].keyword} is there {len(inner)} times")
        else:
            found[around + name] = inner[0].value
    return found


_ByPath = Annotated[dict[str, str], Parameter(negative="", converter=_by_path)]


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
    """The column that identifies a row; without one, the content of the file, the row's number and the row do."""
    source: str | None = None
    """The source of every row; when absent, the file's name, or `csv` without a column that identifies a row."""
    time_zone: str | None = None
    """The zone of times that are written without one, like UTC or Europe/Zurich."""
    column: _ByPath = field(default_factory=dict)
    """The column a property of the event's data is read from: `--csv.column.neurons ContextTokens`, in an object
    `--csv.column.user.id UserId`."""
    constant: _ByPath = field(default_factory=dict)
    """A property that is the same for every row: `--csv.constant.model gpt`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that rows come from."""

    name: str
    digest: str
    """A hash of its content."""


def read_csv(stream: BinaryIO, mapping: CsvMapping, origin: Origin) -> Iterator[bytes]:
    """Each row as a CloudEvent in JSON. Quantities keep their digits: they become decimal strings as written. An empty
    field is an absent property.

    Raises `Failed` when a column is missing or there twice, the mapping is not complete, a time cannot be understood, a
    quote is left open, or the file is no CSV in UTF-8.
    """
    if (mapping.subject is None) == (mapping.subject_column is None):
        raise Failed("say whose events these are: --csv.subject ORGANIZATION or --csv.subject-column COLUMN")
    try:
        rows = _rows(stream, origin.name)
        _, header = next(rows, (0, []))
        _check_header(header, [mapping.time, mapping.subject_column, mapping.id, *mapping.column.values()], origin.name)
        for number, fields in rows:
            yield msgspec.json.encode(_event(mapping, dict(zip(header, fields, strict=True)), number, origin))
    except UnicodeDecodeError as wrong:
        raise Failed(f"{origin.name} is not a CSV file in UTF-8: {wrong}") from None


def _rows(stream: BinaryIO, name: str) -> Iterator[tuple[int, list[str]]]:
    """The header as number 0, then the rows that have fields. Rows end at CR LF, LF or CR, and nowhere else."""
    csv.field_size_limit(_LONGEST_FIELD)
    text = io.TextIOWrapper(stream, "utf-8", newline="")
    reader = csv.reader((line.lstrip(_BYTE_ORDER_MARK) for line in text), strict=True)
    number, width = 0, None
    try:
        while True:
            line = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as wrong:
                place = f"row {number}, line {line}" if number else "the header"
                raise Failed(
                    f"{name}, {place}: not CSV: {wrong}; when a quotation mark opens a field there, look whether it is"
                    " closed and those inside are doubled"
                ) from None
            if not fields:
                continue
            if width is not None and len(fields) != width:
                than = "more" if len(fields) > width else "fewer"
                raise Failed(f"{name}, row {number}: has {than} fields than the header")
            width = len(fields)
            yield number, fields
            number += 1
    finally:
        if not stream.closed:
            text.detach()  # else it would close the stream


def _check_header(header: Sequence[str], wanted: Sequence[str | None], name: str) -> None:
    for column in wanted:
        if column is not None and column not in header:
            separator = next((each for each in ";\t|" if len(header) == 1 and each in header[0]), "")
            hint = f"; are its fields separated by {separator!r}? Only commas are read" if separator else ""
            raise Failed(f"{name} has no column {column!r}; its header names {', '.join(header)}{hint}")
    for column in header:
        if column and header.count(column) > 1:
            raise Failed(f"{name} has the column {column!r} {header.count(column)} times: name each differently")


def _event(mapping: CsvMapping, row: dict[str, str], number: int, origin: Origin) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for path, text in {**mapping.constant, **{path: row[column] for path, column in mapping.column.items()}}.items():
        if text:
            *around, name = path.split(".")
            place = data
            for each in around:
                place = place.setdefault(each, {})
            place[name] = text
    if mapping.id is not None:
        row_id, source = row[mapping.id], mapping.source or origin.name
    else:
        content = xxhash.xxh3_64_hexdigest(msgspec.json.encode([*row.values()]))
        row_id, source = f"{origin.digest}:{number}:{content}", mapping.source or "csv"
    return {
        "specversion": "1.0",
        "id": row_id,
        "source": source,
        "type": mapping.type,
        "subject": row[mapping.subject_column] if mapping.subject_column is not None else mapping.subject,
        "time": _time(row[mapping.time], mapping.time_zone, f"{origin.name}, row {number}"),
        "data": data,
    }


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
