"""The text of a CSV file: its encoding, what separates its fields, and its rows as they stand there."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain

from ..terminal import Failed
from .records import Hopeless

_LONGEST_FIELD = 16 * 1024 * 1024
"""Longest field in characters: a quote that is never closed is found before it fills the memory."""
_BYTE_ORDER_MARK = "\ufeff"
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # which begins like the next one
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_UNDECODED = re.compile("[\udc80-\udcff]")
_DELIMITERS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\r\n]*')
"""A first line that tells Excel what separates fields."""
_QUOTES = "when a quotation mark opens a field there, look whether it is closed and those inside are doubled"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a CSV file: its fields, or why it has none."""

    line: int
    last_line: int
    text: str
    """As it stands in the file."""
    fields: Sequence[str]
    wrong: str = ""

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"line {self.line}" if self.line == self.last_line else f"lines {self.line} to {self.last_line}"


class CsvText:
    """A CSV file from its header on."""

    def __init__(self, stream: BufferedReader, name: str, encoding: str | None, delimiter: str | None):
        """Nothing is read yet. Raises `Failed` for an encoding or a delimiter that there is not."""
        csv.field_size_limit(_LONGEST_FIELD)
        self._name = name
        self._encoding = _encoding_of(stream, encoding, name)
        self._errors = "strict" if self._encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
        try:
            self._text = io.TextIOWrapper(stream, self._encoding, self._errors, newline="")
        except LookupError:
            raise Failed(f"there is no encoding {encoding!r}: give one like utf-8, cp1252 or utf-16-le") from None
        self._delimiter = None if delimiter is None else _character(delimiter)

    def begin(self, wanted: Sequence[str]) -> tuple[bytes, Sequence[str], Iterator[Row]]:
        """The heading as bytes, the columns, and the rows below, read one by one. `wanted` are the columns that have to
        be there. Raises `Failed`."""
        lines = self._decoded()
        ahead = [next(lines, "")]
        told, line = "", 1
        if separator := _SEPARATOR_LINE.fullmatch(ahead[0].lstrip(_BYTE_ORDER_MARK)):
            told, line = ahead.pop(), 2
        delimiter = self._delimiter or (separator[1] if separator else self._found(_Kept(lines, ahead), wanted))
        rows = self._parsed(chain(ahead, lines), delimiter, line)
        header = next(rows, Row(1, 1, "", []))
        self._check(header, delimiter, wanted)
        return self.bytes_of(told + header.text), header.fields, self._rows(rows, len(header.fields))

    def bytes_of(self, text: str) -> bytes:
        """A part of the file as it stands there, ended as lines are."""
        return (text if text.endswith(("\n", "\r")) else f"{text}\n").encode(self._encoding, self._errors)

    def _decoded(self) -> Iterator[str]:
        """Lines; they end at CR LF, LF or CR, and nowhere else."""
        try:
            yield from self._text
        except UnicodeDecodeError as wrong:
            raise Hopeless(f"{self._name} is not a CSV file in {self._encoding.upper()}: {wrong}") from None
        finally:
            if not self._text.closed:
                self._text.detach()  # else it would close the stream

    def _found(self, lines: _Kept, wanted: Sequence[str]) -> str:
        """The delimiter by which the header has the wanted columns; else the one that makes the most of it."""
        headers = {each: next(self._parsed(lines.again(), each, 1), Row(1, 1, "", [])) for each in _DELIMITERS}
        fitting = (each for each in _DELIMITERS if {*wanted} <= {*headers[each].fields})
        return next(fitting, max(_DELIMITERS, key=lambda each: headers[each].text.count(each)))

    def _parsed(self, lines: Iterable[str], delimiter: str, line: int) -> Iterator[Row]:
        """Rows that have fields, or should have."""
        taken: list[str] = []

        def without_marks() -> Iterator[str]:
            for each in lines:
                taken.append(each)
                yield each.lstrip(_BYTE_ORDER_MARK)

        reader = csv.reader(without_marks(), delimiter=delimiter, strict=True)
        while True:
            fields: list[str] = []
            wrong = ""
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as broken:
                wrong = f"is not CSV: {broken}; {_QUOTES}"
            if fields or wrong:
                yield Row(line, line + len(taken) - 1, "".join(taken), fields, wrong)
            line += len(taken)
            taken.clear()

    def _check(self, header: Row, delimiter: str, wanted: Sequence[str]) -> None:
        if header.wrong:
            raise Hopeless(f"{self._name}, the header: {header.wrong}")
        if _UNDECODED.search(header.text):
            raise Hopeless(f"{self._name}, the header: {self._undecoded(header.text)}")
        if "\0" in header.text:
            raise Hopeless(f"{self._name} looks like UTF-16: say --csv.encoding utf-16-le, or utf-16-be")
        for column in wanted:
            if column not in header.fields:
                raise Hopeless(
                    f"{self._name} has no column {column!r}; its header names {', '.join(header.fields)}, separated by "
                    f"{delimiter!r}: --csv.delimiter names another"
                )
        for column in header.fields:
            if column and header.fields.count(column) > 1:
                raise Hopeless(
                    f"{self._name} has the column {column!r} {header.fields.count(column)} times: name each differently"
                )

    def _rows(self, rows: Iterator[Row], width: int) -> Iterator[Row]:
        for row in rows:
            wrong = row.wrong
            if "field larger" in wrong:
                raise Hopeless(f"{self._name}, {row.place}: {wrong}")
            if not wrong and len(row.fields) != width:
                than = "more" if len(row.fields) > width else "fewer"
                wrong = f"has {than} fields than the header: {len(row.fields)}, not {width}"
            if not wrong and _UNDECODED.search(row.text):
                wrong = self._undecoded(row.text)
            yield row if wrong == row.wrong else Row(row.line, row.last_line, row.text, row.fields, wrong)

    def _undecoded(self, text: str) -> str:
        found = ", ".join(f"0x{ord(each) - 0xDC00:02X}" for each in _UNDECODED.findall(text)[:4])
        return (
            f"is not in {self._encoding.upper()}, where {found} cannot stand there: name the file's encoding, for "
            "instance --csv.encoding cp1252"
        )


class _Kept:
    """Lines that are read ahead, and kept for whoever reads them after that."""

    def __init__(self, lines: Iterator[str], kept: list[str]):
        self._lines = lines
        self._kept = kept

    def again(self) -> Iterator[str]:
        """From the first one on."""
        yield from [*self._kept]
        for line in self._lines:
            self._kept.append(line)
            yield line


def _encoding_of(stream: BufferedReader, named: str | None, name: str) -> str:
    begin = stream.peek(4)[:4]
    marked = next((encoding for mark, encoding in _MARKS.items() if begin.startswith(mark)), None)
    family = (named or "").lower().replace("_", "-")
    if named is None or family == "utf-8-sig":
        return marked or "utf-8"
    if family in ("utf-16", "utf-32"):
        if marked is None or not marked.startswith(family):
            raise Hopeless(
                f"{name} does not begin with a byte order mark: say --csv.encoding {family}-le, or {family}-be"
            )
        return marked
    return family


def _character(named: str) -> str:
    character = "\t" if named in ("tab", "\\t") else named
    if len(character) != 1 or character in '"\r\n':
        raise Failed(f"--csv.delimiter is {named[:20]!r}; it must be one character, or tab")
    return character
