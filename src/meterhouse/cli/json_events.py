"""CloudEvents in files of JSON: one a line, or an array; and in Parquet files as `meterhouse export` writes them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO

import msgspec

from ..domain.period import format_instant
from .terminal import Failed

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n" + _BYTE_ORDER_MARK
_CHUNK_BYTES = 1 << 20
_LONGEST_EVENT_BYTES = 16 * 1024 * 1024
_ROWS = 5_000


def read_json(stream: BufferedReader, name: str) -> Iterator[bytes]:
    """Each event on one line, whatever it is. Raises `Failed` for an array that is not closed, and for events that are
    larger than any may be."""
    if stream.peek(_CHUNK_BYTES).lstrip(_BLANK).startswith(b"["):
        for element in _elements(stream, name):
            # Line breaks stand between values only, where a space means the same.
            yield element.translate(_ON_ONE_LINE)
        return
    while line := stream.readline(_LONGEST_EVENT_BYTES + 1):
        if len(line) > _LONGEST_EVENT_BYTES:
            raise Failed(f"{name}: a line has more than {_LONGEST_EVENT_BYTES} bytes; is there an event on each?")
        if event := line.strip(_BLANK):
            yield event


_ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
_MARKS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


def _elements(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The elements of an array."""
    text = b""
    depth = begin = searched = 0
    while True:
        for mark in _MARKS.finditer(text, searched):
            if mark[0][:1] == b'"':
                if len(mark[0]) == 1 or not mark[0].endswith(b'"'):
                    break  # not all of it has been read
            elif mark[0] in (b"[", b"{"):
                depth += 1
                begin = mark.end() if depth == 1 else begin
            elif mark[0] in (b"]", b"}"):
                depth -= 1
            searched = mark.end()
            if depth == 0 or (depth == 1 and mark[0] == b","):
                if element := text[begin : mark.start()].strip():
                    yield element
                begin = mark.end()
            if depth == 0:
                return
        more = stream.read(_CHUNK_BYTES)
        if not more:
            raise Failed(f"{name}: the array is not closed; is the file cut short?")
        if len(text) - begin > _LONGEST_EVENT_BYTES:
            raise Failed(f"{name}: an event has more than {_LONGEST_EVENT_BYTES} bytes; is the array sound JSON?")
        text, searched, begin = text[begin:] + more, searched - begin, 0


def read_parquet(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The rows of a file with the columns of an export. Raises `Failed` for any other file."""
    import pyarrow  # noqa: PLC0415 - a third of a second that other files do without
    from pyarrow import parquet  # noqa: PLC0415 - the same

    columns = ["id", "source", "type", "subject", "time", "namespace", "data"]
    try:
        for batch in parquet.ParquetFile(stream).iter_batches(_ROWS, columns=columns):
            for row in batch.to_pylist():
                texts = {each: text.decode() if isinstance(text, bytes) else text for each, text in row.items()}
                told = {"time": format_instant(row["time"]), "data": msgspec.Raw(texts["data"].encode())}
                yield msgspec.json.encode({"specversion": "1.0", **texts, **told})
    except (pyarrow.ArrowException, KeyError, AttributeError, UnicodeDecodeError) as wrong:
        raise Failed(f"{name} is no Parquet file of an export, with {', '.join(columns)}: {wrong}") from None
