"""What the columns of a table mean, and the CloudEvents that its rows are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from ..terminal import Failed
from .records import NoEvent
from .times import RFC_3339, TimeReader

_DECIMAL_COMMA = re.compile(r"-?[0-9]+(,[0-9]+)?([eE][+-]?[0-9]+)?")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RowMapping:
    """What the columns of a table mean."""

    type: str
    """The event type of every row."""
    time: str
    """The column that holds the time."""
    subject: str | None = None
    """The organization of every row."""
    subject_column: str | None = None
    """Or the column that names it."""
    id: str | None = None
    """The column that identifies a row."""
    source: str | None = None
    """The source of every row."""
    time_zone: str | None = None
    """The zone of times that are written without one, like UTC or Europe/Zurich."""
    time_format: str = RFC_3339
    """How times are written: rfc3339, with or without a zone; unix, unix-ms, unix-us, unix-ns; excel, excel-1904; or a
    pattern like '%d.%m.%Y %H:%M:%S'."""
    column: _ByPath = field(default_factory=dict)
    """The column a property of the event's data is read from: `….column.neurons ContextTokens`, in an object
    `….column.user.id UserId`."""
    constant: _ByPath = field(default_factory=dict)
    """A property that is the same for every row: `….constant.model gpt`."""

    def columns(self) -> list[str]:
        """The columns that are read, each once."""
        named = (self.time, self.subject_column, self.id, *self.column.values())
        return list(dict.fromkeys(each for each in named if each is not None))


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvMapping(RowMapping):
    """What the columns of a CSV file with a header line mean, or of a Parquet file, and how a CSV file is written."""

    delimiter: str | None = None
    """What separates fields: a character, or `tab`. Else the one of comma, semicolon, tab and | by which the header has
    the columns that are named."""
    encoding: str | None = None
    """The encoding of the file, like cp1252 or utf-16; UTF-8 or what a byte order mark says when absent."""
    decimal_comma: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A column of numbers with a decimal comma, like 1234,5; may be repeated."""

    def columns(self) -> list[str]:
        """See `RowMapping.columns`."""
        return list(dict.fromkeys([*RowMapping.columns(self), *self.decimal_comma]))


class Rows:
    """Makes events of the rows of one table."""

    def __init__(self, mapping: RowMapping, prefix: str, source: str, decimal_commas: Sequence[str] = ()):
        """`prefix` is that of the mapping's options, `source` the source when the mapping names none. Raises `Failed`
        when the mapping is not complete."""
        if (mapping.subject is None) == (mapping.subject_column is None):
            raise Failed(f"say whose events these are: {prefix}.subject ORGANIZATION or {prefix}.subject-column COLUMN")
        self._mapping = mapping
        self._source = mapping.source or source
        self._decimal_commas = decimal_commas
        self.times = TimeReader(mapping.time_format, mapping.time_zone, f"{prefix}.time-zone")

    def draft(self, row: Mapping[str, str], row_id: str) -> dict[str, Any]:
        """The event with its time as it stands in the row. Quantities keep their digits: they become decimal strings as
        written. An empty field is an absent property. Raises `NoEvent`."""
        mapping = self._mapping
        if self._decimal_commas:
            row = {**row, **{column: _with_point(column, row[column]) for column in self._decimal_commas}}
        return {
            "specversion": "1.0",
            "id": row_id,
            "source": self._source,
            "type": mapping.type,
            "subject": row[mapping.subject_column] if mapping.subject_column is not None else mapping.subject,
            "time": row[mapping.time],
            "data": self._data(row),
        }

    def event(self, row: Mapping[str, str], row_id: str, place: str) -> bytes:
        """The event in JSON. Raises `NoEvent`."""
        event = self.draft(row, row_id)
        event["time"] = self.times.read(event["time"], place)
        return msgspec.json.encode(event)

    def _data(self, row: Mapping[str, str]) -> dict[str, Any]:
        mapping, data = self._mapping, dict[str, Any]()
        for path, text in {
            **mapping.constant,
            **{path: row[column] for path, column in mapping.column.items()},
        }.items():
            if text:
                *around, name = path.split(".")
                place = data
                for each in around:
                    place = place.setdefault(each, {})
                place[name] = text
        return data


def _with_point(column: str, text: str) -> str:
    if text and _DECIMAL_COMMA.fullmatch(text) is None:
        raise NoEvent(
            f"{column} is {text[:60]!r}, which is no plain number with a decimal comma like 1234,5: what separates "
            "thousands is not guessed"
        )
    return text.replace(",", ".")
