"""Rows of Parquet files as CloudEvents: those of `meterhouse export`, and those of any flat table with a mapping."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from ...domain.period import format_instant
from .csv_rows import Origin
from .mapping import CsvMapping, Rows
from .records import Hopeless, NoEvent, Reading, Record

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_ROWS = 5_000
_EXPORTED = ("id", "source", "type", "subject", "time", "namespace", "data")


def read_parquet(stream: BinaryIO, name: str) -> Reading:
    """The rows of a file with the columns of an export. Raises `Hopeless` for any other file."""
    import pyarrow  # noqa: PLC0415 - a third of a second that other files do without

    file = _opened(stream, name)
    if missing := [each for each in _EXPORTED if each not in file.schema_arrow.names]:
        raise Hopeless(
            f"{name} is no Parquet file of an export, which has {', '.join(_EXPORTED)}; it has no {missing[0]}: say "
            "what its columns mean with --csv.…"
        )

    def records() -> Iterator[Record]:
        number = 0
        try:
            for batch in file.iter_batches(_ROWS, columns=[*_EXPORTED]):
                for row in batch.to_pylist():
                    number += 1
                    texts = {each: text.decode() if isinstance(text, bytes) else text for each, text in row.items()}
                    told = {"time": format_instant(row["time"]), "data": msgspec.Raw(texts["data"].encode())}
                    event = msgspec.json.encode({"specversion": "1.0", **texts, **told})
                    yield Record(f"row {number}", event + b"\n", event)
        except (pyarrow.ArrowException, OSError, KeyError, AttributeError, UnicodeDecodeError) as wrong:
            raise Hopeless(f"{name} is no Parquet file of an export, from row {number + 1} on: {wrong}") from None

    return Reading(records())


def read_parquet_table(stream: BinaryIO, mapping: CsvMapping, origin: Origin) -> Reading:
    """The rows of any table whose mapped columns are flat. What is refused is kept as CSV, for the same mapping.

    Raises `Failed` when a column is missing or nested, or the mapping is not complete.
    """
    import pyarrow  # noqa: PLC0415 - see above

    from .parquet_texts import texts_of, what_is_wrong_with  # noqa: PLC0415 - the same

    file = _opened(stream, origin.name)
    columns = mapping.columns()
    schema = file.schema_arrow
    for column in columns:
        if schema.names.count(column) != 1:
            raise Hopeless(
                f"{origin.name} has {schema.names.count(column) or 'no'} column{'s' * (column in schema.names)} "
                f"{column!r}; its columns are {', '.join(schema.names)}"
            )
        if wrong := what_is_wrong_with(schema.field(column).type, is_time=column == mapping.time):
            raise Hopeless(f"{origin.name}, column {column!r}: {wrong}")
    rows = Rows(mapping, "--csv", origin.name if mapping.id is not None else "parquet", mapping.decimal_comma)

    def records() -> Iterator[Record]:
        number = 0
        try:
            for batch in file.iter_batches(_ROWS, columns=columns):
                texts = [texts_of(batch.column(column)) for column in columns]
                for values in zip(*texts, strict=True):
                    number += 1
                    yield _record(rows, mapping, origin, number, dict(zip(columns, values, strict=True)))
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as wrong:
            raise Hopeless(f"{origin.name} cannot be read from row {number + 1} on: {wrong}") from None

    return Reading(records(), _csv_line(columns), rows.times.notes, by_content=mapping.id is None)


def _record(rows: Rows, mapping: CsvMapping, origin: Origin, number: int, row: dict[str, str]) -> Record:
    place, event, wrong = f"row {number}", None, ""
    try:
        event = rows.event(row, row[mapping.id] if mapping.id is not None else f"{origin.digest}:{number}", place)
    except NoEvent as why:
        wrong = str(why)
    return Record(place, _csv_line(list(row.values())), event, wrong)


def _csv_line(fields: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(fields)
    return line.getvalue().encode()


def _opened(stream: BinaryIO, name: str) -> ParquetFile:
    from pyarrow import ArrowException, parquet  # noqa: PLC0415 - see above

    try:
        return parquet.ParquetFile(stream)
    except (ArrowException, OSError) as wrong:
        raise Hopeless(f"{name} is no Parquet file: {wrong}") from None
