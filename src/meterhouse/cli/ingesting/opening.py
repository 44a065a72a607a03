"""Which reader a file needs."""

from __future__ import annotations

from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from ..files import digest, rereadable, unpacked
from ..remote_files import is_remote, name_of
from .csv_rows import Origin, read_csv
from .json_records import read_json
from .mapping import CsvMapping
from .parquet_rows import read_parquet, read_parquet_table
from .records import Reading
from .refusals import note

_PARQUET = b"PAR1"


def begin(file: str, stream: BinaryIO, mapping: CsvMapping | None, stack: ExitStack) -> Reading:
    """Begins to read a file's events. Raises `Failed`."""
    name = "stdin" if file == "-" else name_of(file) if is_remote(file) else Path(file).name
    content = unpacked(stream, stack)
    is_parquet = content.peek(4)[:4] == _PARQUET
    if is_parquet:
        content = rereadable(content, stack)
    if mapping is None:
        return read_parquet(content, name) if is_parquet else read_json(content, name)
    content, origin = _known(content, mapping, name, stack)
    return read_parquet_table(content, mapping, origin) if is_parquet else read_csv(content, mapping, origin)


def _known(content: BufferedReader, mapping: CsvMapping, name: str, stack: ExitStack) -> tuple[BufferedReader, Origin]:
    """The content, and by what its rows are known."""
    if mapping.id is not None:
        return content, Origin(name, "")
    whole = rereadable(content, stack)
    origin = Origin(name, digest(whole))
    note(f"no --csv.id: rows are known by the content of the file, {origin.digest}; one that has grown has other rows")
    return whole, origin
