"""Any flat Parquet file with a mapping: decimals and instants are exact, and what is not flat is refused by name."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ingests import AT, ingest, mapped, used
from pyarrow import parquet

from support.processes import run_meterhouse
from support.server import Server

NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 123456)  # noqa: DTZ001 - it gets zones below
LARGE = Decimal("1234567890123456789012345678.0123456789")


def write(path: Path, **columns: pa.Array[Any]) -> str:
    parquet.write_table(pa.table(columns), path, row_group_size=2)
    return str(path)


def previewed(path: str, *options: str) -> list[dict[str, Any]]:
    command = ["ingest", path, *options, "--preview", "100", "--json"]
    done = run_meterhouse(*command, environment={"COLUMNS": "200"})
    assert done.stdout, done.stderr.decode()
    return list(json.loads(done.stdout))


VALUES = {
    "decimal": (pa.array([LARGE], pa.decimal128(38, 10)), "1234567890123456789012345678.0123456789"),
    "small": (pa.array([Decimal("1E-10")], pa.decimal128(38, 20)), "0.00000000010000000000"),
    "wide": (pa.array([Decimal("0.1")], pa.decimal256(60, 30)), "0.1" + "0" * 29),
    "whole": (pa.array([2**64 - 1], pa.uint64()), "18446744073709551615"),
    "double": (pa.array([0.1], pa.float64()), "0.1"),
    "float": (pa.array([0.1], pa.float32()), "0.1"),
    "text": (pa.array(["a\nb,"]), "a\nb,"),
    "word": (pa.array(["株"]).dictionary_encode(), "株"),
    "flag": (pa.array([True]), "true"),
    "bytes": (pa.array(["é".encode()]), "é"),
    "at": (pa.array([NOON], pa.timestamp("us", "Europe/Zurich")), "2026-03-01 12:00:00.123456Z"),
    "day": (pa.array([NOON.date()]), "2026-03-01"),
}


def test_values_lose_nothing(tmp_path: Path) -> None:
    columns = {name: array for name, (array, _) in VALUES.items()}
    path = write(tmp_path / "values.parquet", time=pa.array([AT]), **columns)
    options = [part for name in VALUES for part in (f"--csv.column.{name}", name)]
    [read] = previewed(path, "--csv.type", "t", "--csv.subject", "acme", "--csv.time", "time", *options)
    assert read["event"]["data"] == {name: text for name, (_, text) in VALUES.items()}


@pytest.mark.parametrize(
    ("times", "options", "instant"),
    [
        (pa.array([NOON], pa.timestamp("us")), ("--csv.time-zone", "Europe/Zurich"), "2026-03-01T11:00:00.123456Z"),
        (pa.array([NOON], pa.timestamp("us", "America/New_York")), (), "2026-03-01 12:00:00.123456Z"),
        (pa.array([NOON], pa.timestamp("ns", "UTC")), (), "2026-03-01 12:00:00.123456000Z"),
        (pa.array([1767225600]), ("--csv.time-format", "unix"), "2026-01-01T00:00:00Z"),
        (pa.array([1767225600.5]), ("--csv.time-format", "unix"), "2026-01-01T00:00:00.500000Z"),
        (pa.array(["2026-01-01T00:00:00+01:00"]), (), "2026-01-01T00:00:00+01:00"),
    ],
)
def test_times_with_and_without_a_zone(
    tmp_path: Path, times: pa.Array[Any], options: tuple[str, ...], instant: str
) -> None:
    path = write(tmp_path / "times.parquet", time=times, amount=pa.array([1]))
    mapping = ("--csv.type", "credit.used", "--csv.subject", "acme", "--csv.time", "time", *options)
    [read] = previewed(path, *mapping, "--csv.column.amount", "amount")
    assert read["event"]["time"] == instant


def test_rows_are_ingested_once_and_refused_ones_are_kept_as_csv(server: Server, org: str, tmp_path: Path) -> None:
    amounts = pa.array([Decimal("0.10"), None, Decimal("2.00"), Decimal("4.00")], pa.decimal128(10, 2))
    times = pa.array([AT, AT, "soon", AT])
    extra = pa.array([[1], [2], [3], [4]])
    path = write(tmp_path / "usage.parquet", time=times, amount=amounts, extra=extra, note=pa.array(['a"b'] * 4))
    kept = tmp_path / "refused.csv"
    options = mapped(org, "--csv.column.note", "note")
    code, totals, told = ingest(server, path, *options, "--refused", str(kept))
    assert (code, totals["ingested"], totals["rejected"]) == (3, 2, 2)
    assert used(server, org) == Decimal("4.1")
    assert "row 2: data.amount is missing" in told
    assert "row 3: the time 'soon' is not" in told
    assert kept.read_text() == f'time,amount,note\n{AT},,"a""b"\nsoon,2.00,"a""b"\n'
    assert ingest(server, path, *options)[1]["duplicates"] == 2
    with Path(path).open("rb") as file:
        piped = ingest(server, "-", *options, stdin=file.read())
    assert piped[1]["duplicates"] == 2
    kept.write_text(kept.read_text().replace(",,", ",8,").replace("soon", AT))
    assert ingest(server, str(kept), *options)[1]["ingested"] == 2
    assert used(server, org) == Decimal("14.1")


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([[1]]), "it is a list<element: int64>: only flat columns"),
        (pa.array([{"a": 1}]), "it is a struct<a: int64>: only flat columns"),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "it is a map<string, int64"),
        (pa.array([dt.timedelta(seconds=1)]), "it is a duration[us]: only flat columns"),
    ],
)
def test_a_column_that_is_not_flat_is_refused(tmp_path: Path, column: pa.Array[Any], words: str) -> None:
    path = write(tmp_path / "nested.parquet", time=pa.array([AT]), amount=column)
    done = run_meterhouse("ingest", path, *mapped("acme"), "--preview", "1", environment={"COLUMNS": "200"})
    assert done.returncode == 1
    assert f"column 'amount': {words}" in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("columns", "options", "words"),
    [
        ({"time": pa.array([NOON.date()]), "amount": pa.array([1])}, (), "it is a date32[day], which is no instant"),
        ({"when": pa.array([AT]), "amount": pa.array([1])}, (), "no column 'time'; its columns are when, amount"),
        ({"time": pa.array([AT]), "amount": pa.array([b"\xff"])}, (), "cannot be read from row 1 on"),
    ],
)
def test_a_hopeless_table_says_why(
    tmp_path: Path, columns: dict[str, pa.Array[Any]], options: tuple[str, ...], words: str
) -> None:
    path = write(tmp_path / "other.parquet", **columns)
    done = run_meterhouse("ingest", path, *mapped("acme", *options), "--preview", "1", environment={"COLUMNS": "200"})
    assert done.returncode == 1
    assert words in done.stderr.decode()


def test_without_a_mapping_it_has_to_be_an_export(server: Server, tmp_path: Path) -> None:
    path = write(tmp_path / "table.parquet", id=pa.array(["1"]), amount=pa.array([1]))
    code, _, told = ingest(server, path)
    assert code == 1
    assert "no Parquet file of an export" in told
    assert "--csv" in told
