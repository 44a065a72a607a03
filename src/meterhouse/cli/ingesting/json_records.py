"""CloudEvents in files of JSON: one a line, or an array."""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO

from .records import Hopeless, Reading, Record

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MARKS_OF_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BLANK = b" \t\r\n" + _BYTE_ORDER_MARK
_CHUNK_BYTES = 1 << 20
_LONGEST_EVENT_BYTES = 16 * 1024 * 1024


def read_json(stream: BufferedReader, name: str) -> Reading:
    """Each event on one line, whatever it is. Reading raises `Hopeless` for an array that is not closed, and for events
    that are larger than any may be."""
    begin = stream.peek(_CHUNK_BYTES)
    if begin.startswith(_MARKS_OF_UTF_16):
        raise Hopeless(f"{name} is in UTF-16, which JSON in files must not be: store it as UTF-8")
    is_array = begin.lstrip(_BLANK).startswith(b"[")
    return Reading(_of_array(stream, name) if is_array else _of_lines(stream, name))


def _of_array(stream: BufferedReader, name: str) -> Iterator[Record]:
    for number, element in enumerate(_elements(stream, name), 1):
        # Line breaks stand between values only, where a space means the same.
        event = element.translate(ON_ONE_LINE)
        yield Record(f"event {number}", event + b"\n", event)


def _of_lines(stream: BufferedReader, name: str) -> Iterator[Record]:
    number = 0
    while line := stream.readline(_LONGEST_EVENT_BYTES + 1):
        number += 1
        if len(line) > _LONGEST_EVENT_BYTES:
            raise Hopeless(
                f"{name}, line {number}: it has more than {_LONGEST_EVENT_BYTES} bytes; is there an event on each line?"
            )
        if event := line.strip(_BLANK):
            yield Record(f"line {number}", line if line.endswith(b"\n") else line + b"\n", event)


ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
"""Line breaks as spaces."""
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
            raise Hopeless(f"{name}: the array is not closed; is the file cut short?")
        if len(text) - begin > _LONGEST_EVENT_BYTES:
            raise Hopeless(f"{name}: an event has more than {_LONGEST_EVENT_BYTES} bytes; is the array sound JSON?")
        text, searched, begin = text[begin:] + more, searched - begin, 0
