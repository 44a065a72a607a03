"""Rows of a CSV file as CloudEvents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

import msgspec
import xxhash

from .csv_text import CsvText, Row
from .mapping import CsvMapping, Rows
from .records import NoEvent, Reading, Record


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that rows come from."""

    name: str
    digest: str
    """A hash of its content, where no column identifies a row."""


def read_csv(stream: BufferedReader, mapping: CsvMapping, origin: Origin) -> Reading:
    """Each row as a CloudEvent, or why it is none.

    Raises `Failed` when a column is missing or there twice, or the mapping is not complete, and, while it is read, when
    a field has no end.
    """
    text = CsvText(stream, origin.name, mapping.encoding, mapping.delimiter)
    rows = Rows(mapping, "--csv", origin.name if mapping.id is not None else "csv", mapping.decimal_comma)
    heading, header, found = text.begin(mapping.columns())

    def records() -> Iterator[Record]:
        for number, row in enumerate(found, 1):
            event, wrong, place = None, row.wrong, row.place
            if not wrong:
                try:
                    fields = dict(zip(header, row.fields, strict=True))
                    event = rows.event(fields, _id_of(row, number, fields), place)
                except NoEvent as why:
                    wrong = str(why)
            yield Record(place, text.bytes_of(row.text), event, wrong)

    def _id_of(row: Row, number: int, fields: dict[str, str]) -> str:
        if mapping.id is not None:
            return fields[mapping.id]
        return f"{origin.digest}:{number}:{xxhash.xxh3_64_hexdigest(msgspec.json.encode([*row.fields]))}"

    return Reading(records(), heading, rows.times.notes, by_content=mapping.id is None)
