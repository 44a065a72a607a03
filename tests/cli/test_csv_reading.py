"""CSV as people have it, read in this process: every dialect gives the rows that were written, or a row's fault."""

from __future__ import annotations

import csv
import io
import re
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterhouse.cli.ingesting.csv_rows import Origin, read_csv
from meterhouse.cli.ingesting.mapping import CsvMapping
from meterhouse.cli.ingesting.records import Hopeless, Record
from meterhouse.cli.terminal import Failed

AT = "2026-03-01T00:00:00Z"
COLUMNS = {"a": "first column", "b": "b"}


def read(content: bytes, **options: Any) -> list[Record]:
    stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    given = {"type": "t", "time": "when", "subject": "acme", "column": COLUMNS, **options}
    return [*read_csv(stream, CsvMapping(**given), Origin("file.csv", "digest")).records]


def heading(content: bytes, **options: Any) -> bytes:
    stream = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    given = {"type": "t", "time": "when", "subject": "acme", "column": COLUMNS, **options}
    return read_csv(stream, CsvMapping(**given), Origin("file.csv", "digest")).heading


def data(record: Record) -> dict[str, str]:
    assert record.event is not None, record.wrong
    return dict(msgspec.json.decode(record.event)["data"])


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"), max_size=12)
ODD = st.sampled_from(["", '"', ";", ",", "\t", "|", "a\r\nb", "\n", "\u2028", "sep=;", ' "', "é", "1,5", "'"])
FIELDS = TEXTS | ODD
DIALECTS = st.tuples(
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le+", "utf-16-be+", "utf-32"]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)


def written(rows: list[list[str]], delimiter: str, end: str, encoding: str, quoting: int) -> bytes:
    def field(text: str) -> str:
        bare = quoting == csv.QUOTE_MINIMAL and text and not {*text} & {delimiter, '"', "\r", "\n"}
        return text if bare else '"' + text.replace('"', '""') + '"'

    text = "".join(delimiter.join(map(field, row)) + end for row in rows)
    mark = "\ufeff" if encoding.endswith("+") else ""
    return (mark + text).encode(encoding.removesuffix("+"))


@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=6), DIALECTS)
@example([("x\r\ny", '"')], (";", "\r\n", "utf-16", csv.QUOTE_MINIMAL))
def test_every_dialect_gives_the_rows_that_were_written(rows: list[tuple[str, str]], dialect: Any) -> None:
    content = written([["when", "first column", "b"], *([AT, *each] for each in rows)], *dialect)
    records = read(content)
    assert [data(each) for each in records] == [
        {name: text for name, text in zip("ab", each, strict=True) if text} for each in rows
    ]
    # What would be kept of them is the file as it was, byte for byte.
    kept = heading(content) + b"".join(each.original for each in records)
    assert kept == content


@given(st.lists(st.tuples(FIELDS, FIELDS, st.integers(0, 4)), min_size=1, max_size=6), DIALECTS)
def test_a_row_of_another_width_is_refused_alone(rows: list[tuple[str, str, int]], dialect: Any) -> None:
    table = [[AT, a, b, *["x"] * (width - 3)][:width] if width != 0 else [AT, a, b] for a, b, width in rows]
    content = written([["when", "first column", "b"], *table], *dialect)
    records = read(content)
    assert [each.event is None for each in records] == [len(row) != 3 for row in table]
    for record, row in zip(records, table, strict=True):
        if record.event is None:
            assert f"fields than the header: {len(row)}, not 3" in record.wrong


def test_lines_are_counted_as_an_editor_does() -> None:
    content = f'sep=;\r\nwhen;"first\r\n column";b\r\n{AT};"1\n2";x\r\n\r\n{AT};5\r\n{AT};6;y'.encode()
    records = read(content, column={"a": "first\r\n column"})
    assert [each.place for each in records] == ["lines 4 to 5", "line 7", "line 8"]
    assert [each.event is None for each in records] == [False, True, False]
    assert records[1].original == f"{AT};5\r\n".encode()
    assert records[2].original == f"{AT};6;y\n".encode(), "it ends as lines do"


def test_a_quote_that_is_never_closed_takes_the_rest_with_it_and_says_where_it_opened() -> None:
    rest = f'{AT},"6 inch,2\n{AT},3,4\n'
    records = read(f"when,first column,b\n{AT},1,2\n{rest}".encode())
    assert [each.place for each in records] == ["line 2", "lines 3 to 4"]
    assert records[1].original == rest.encode()
    assert "whether it is closed" in records[1].wrong


def test_a_quote_inside_a_field_is_refused_and_the_next_row_is_read() -> None:
    records = read(f'when,first column,b\n{AT},"6" pipe,2\n{AT},3,4\n'.encode())
    assert [each.event is None for each in records] == [True, False]


def test_bytes_that_are_not_utf_8_are_refused_with_what_to_do_and_kept() -> None:
    content = f"when,first column,b\n{AT},caf\xe9,1\n{AT},tea,2\n".encode("latin-1")
    latin, tea = read(content)
    assert "not in UTF-8" in latin.wrong
    assert "0xE9" in latin.wrong
    assert "--csv.encoding cp1252" in latin.wrong
    assert latin.original == f"{AT},caf\xe9,1\n".encode("latin-1")
    assert data(tea)["a"] == "tea"
    assert [data(each)["a"] for each in read(content, encoding="cp1252")] == ["café", "tea"]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (b"wh\xe9n,first column,b\n", {}, "the header: is not in UTF-8"),
        ("when,first column,b\n".encode("utf-16-le"), {}, "looks like UTF-16: say --csv.encoding utf-16-le"),
        (b"when,first column,b\n", {"encoding": "utf-16"}, "does not begin with a byte order mark"),
        (b"when,first column,b\n", {"encoding": "utf-99"}, "there is no encoding 'utf-99'"),
        (b"when,first column,b\n", {"encoding": "rot13"}, "there is no encoding 'rot13'"),
        (b"when,first column,b\n", {"delimiter": ";;"}, "must be one character, or tab"),
        (b"when,first column,b\n", {"delimiter": ";"}, "has no column 'when'"),
        (b'when,"first column\n', {}, "the header: is not CSV"),
        (b"when,first column,b,b\n", {}, "has the column 'b' 2 times"),
        (b"when,first column,b\n", {"decimal_comma": ("c",)}, "has no column 'c'"),
        (b"when,first column,b\n", {"time_format": "iso"}, "no time format 'iso'"),
        (b"when,first column,b\n", {"time_zone": "Mars/Olympus"}, "not an IANA time zone"),
        (b"when,first column,b\n", {"subject": None}, "whose events these are"),
    ],
)
def test_a_hopeless_file_says_why(content: bytes, options: dict[str, Any], words: str) -> None:
    with pytest.raises(Failed, match=re.escape(words)):
        read(content, **options)


def test_utf_16_that_breaks_off_is_hopeless() -> None:
    content = "\ufeffwhen,first column,b\n".encode("utf-16-le") + b"\x00\xd8a"
    with pytest.raises(Hopeless, match="not a CSV file in UTF-16-LE"):
        read(content)


def test_a_named_delimiter_may_be_any_character() -> None:
    assert data(read(f"when^first column^b\n{AT}^1;2^3\n".encode(), delimiter="^")[0])["a"] == "1;2"
    assert data(read(f"when\tfirst column\tb\n{AT}\t1\t3\n".encode(), delimiter="tab")[0])["a"] == "1"


def test_the_delimiter_is_the_one_by_which_the_columns_are_there() -> None:
    """Not the one that is most frequent: a header may have others in its names."""
    content = f"when;first column;b;x,y,z,u,v\n{AT};1;2;3\n".encode()
    assert data(read(content)[0]) == {"a": "1", "b": "2"}


DIGITS = st.text("0123456789", min_size=1, max_size=30)


@given(st.sampled_from(["", "-"]), DIGITS, st.none() | DIGITS)
def test_a_decimal_comma_is_the_same_number(sign: str, whole: str, fraction: str | None) -> None:
    text = f"{sign}{whole}" + ("" if fraction is None else f",{fraction}")
    [record] = read(f"when;first column;b\n{AT};{text};{text}\n".encode(), decimal_comma=("first column",))
    shift = len(fraction or "")
    assert Fraction(data(record)["a"]) == Fraction(int(f"{sign}{whole}{fraction or ''}"), 10**shift)
    assert data(record)["b"] == text, "a column that is not named stays as it is"


@pytest.mark.parametrize(
    "text",
    ["1.234,5", "1.234", "1 234,5", "1\u00a0234,5", "1'234,5", "1,234,567", "1,2,3", ",5", "5,", "1,5 €", "--1", "٣,٥"],
)
def test_what_separates_thousands_is_not_guessed(text: str) -> None:
    [record] = read(f"when;first column;b\n{AT};{text};1\n".encode(), decimal_comma=("first column",))
    assert record.event is None
    assert "no plain number with a decimal comma" in record.wrong


def test_an_empty_number_is_an_absent_property() -> None:
    [record] = read(f"when;first column;b\n{AT};;1\n".encode(), decimal_comma=("first column",))
    assert data(record) == {"b": "1"}
