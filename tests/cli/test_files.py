"""Files as people have them: every row and event counted once, or a message that says what is wrong with the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ingests import AT, ingest, mapped, used

from support.server import ADMIN_KEY, Server, event

MARK = b"\xef\xbb\xbf"


def events_of(server: Server, org: str) -> list[dict[str, Any]]:
    return list(server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").json()["events"])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\n", "\r\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_end_where_csv_says(server: Server, org: str, tmp_path: Path, separator: str, end: str) -> None:
    text = io.StringIO()
    rows = [["time", "amount", "prompt"], [AT, "1", "a"], [AT, "2", f"one{separator}two"], [AT, "4", "x" * 140_000]]
    quoting = csv.QUOTE_ALL if "\n" in separator else csv.QUOTE_MINIMAL
    csv.writer(text, lineterminator=end, quoting=quoting).writerows(rows)
    (tmp_path / "prompts.csv").write_bytes(text.getvalue().encode())
    code, totals, told = ingest(server, str(tmp_path / "prompts.csv"), *mapped(org))
    assert (code, totals["ingested"]) == (0, 3), told
    assert used(server, org) == 7


def test_files_are_told_apart_by_what_they_say(server: Server, org: str, tmp_path: Path) -> None:
    rows = [f"{AT},1\n", f"{AT},1\n"]
    contents = {
        "january/usage.csv": ["time,amount\n", *rows],
        "february/usage.csv": ["time,amount\n", *rows, f"{AT},5\n"],
        "march/usage.csv": ["time,amount\r\n", *rows],
    }
    for number, (name, lines) in enumerate(contents.items(), 1):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text("".join(lines), newline="")
        assert ingest(server, str(path), *mapped(org))[1]["ingested"] == len(lines) - 1, number
    content = (tmp_path / "january/usage.csv").read_bytes()
    (tmp_path / "copy.csv").write_bytes(content)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(content))
    for again in ("january/usage.csv", "copy.csv", "packed.csv.gz"):
        assert ingest(server, str(tmp_path / again), *mapped(org))[1]["duplicates"] == 2
    code, totals, told = ingest(server, "-", *mapped(org), stdin=content)
    assert (code, totals["duplicates"]) == (0, 2)
    ids = {each["id"].partition(":")[0] for each in events_of(server, org)}
    assert len(ids) == 3
    assert any(digest in told for digest in ids), "it is said what they are known by"


def test_every_byte_order_mark_is_skipped(server: Server, org: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(
        MARK
        + MARK
        + b'"id",time,amount\r\n'
        + MARK
        + b'"INV-1",2026-03-01T00:00:00Z,1\r\nINV-2,'
        + AT.encode()
        + b",2\r\n"
    )
    options = mapped(org, "--csv.id", "id", "--csv.source", f"azure-{org}")
    assert ingest(server, str(path), *options)[1]["ingested"] == 2
    assert {each["id"] for each in events_of(server, org)} == {"INV-1", "INV-2"}


def test_an_empty_field_is_an_absent_property(server: Server, org: str, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text(f"time,amount,who,plan\n{AT},1,u1,\n{AT},,u2,x\n")
    columns = ("--csv.column.user.id", "who", "--csv.column.user.plan.name", "plan", "--csv.constant.user.kind", "k")
    code, totals, told = ingest(server, str(tmp_path / "file.csv"), *mapped(org, *columns))
    assert (code, totals["ingested"], totals["rejected"]) == (3, 1, 1)
    assert "line 3: data.amount is missing" in told
    [listed] = events_of(server, org)
    story = server.admin("GET", f"/v1/namespaces/unsiloed/events/csv/{listed['id']}").json()
    assert story["data"] == {"amount": "1", "user": {"id": "u1", "kind": "k"}}


def test_a_property_that_two_columns_are_named_for_is_refused(server: Server, org: str, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text(f"time,amount,b\n{AT},1,2\n")
    assert ingest(server, str(tmp_path / "file.csv"), *mapped(org, "--csv.column.amount", "b"))[0] != 0


def test_events_in_json_come_in_whatever_form_they_have(server: Server, org: str, tmp_path: Path) -> None:
    events = [event("credit.used", org, {"amount": 1, "note": 'a\u2028b\x85 ]},"[{'}) for _ in range(5)]
    lines = [json.dumps(each, ensure_ascii=False).encode() for each in events]
    forms = {
        "lines.ndjson": b"\n".join(lines),
        "windows.ndjson": MARK + b"\r\n\r\n".join(lines) + b"\r\n",
        "array.json": MARK + b"[\n  " + b",\n  ".join(lines) + b"\n]\n",
        "pretty.json": json.dumps(events, indent=2).encode(),
        "packed.ndjson.gz": gzip.compress(lines[0] + b"\n") + gzip.compress(b"\n".join(lines[1:])),
        "packed.json.gz": gzip.compress(json.dumps(events).encode()),
    }
    for number, (name, content) in enumerate(forms.items()):
        (tmp_path / name).write_bytes(content)
        code, totals, told = ingest(server, str(tmp_path / name))
        assert (code, totals["duplicates" if number else "ingested"]) == (0, 5), (name, told)
    assert ingest(server, "-", stdin=forms["packed.json.gz"])[1]["duplicates"] == 5
    (tmp_path / "cut.json").write_bytes(forms["array.json"][:-40])
    assert "not closed" in ingest(server, str(tmp_path / "cut.json"))[2]
    assert used(server, org) == 5


def test_a_large_array_is_read_piece_by_piece(server: Server, org: str, tmp_path: Path) -> None:
    note = 'quo"te \\ ' * 500
    events = [event("credit.used", org, {"amount": 1, "note": note}) for _ in range(2_000)]
    (tmp_path / "large.json").write_text(json.dumps(events))
    assert (tmp_path / "large.json").stat().st_size > 10 << 20
    assert ingest(server, str(tmp_path / "large.json"))[:2] == (0, {"ingested": 2_000, **_NONE})


def test_batches_are_cut_by_bytes_too(server: Server, org: str, tmp_path: Path) -> None:
    with (tmp_path / "prompts.ndjson").open("w") as file:
        for _ in range(900):
            file.write(json.dumps(event("credit.used", org, {"amount": 1, "prompt": "x" * 60_000})) + "\n")
    assert (tmp_path / "prompts.ndjson").stat().st_size > 50 << 20
    assert ingest(server, str(tmp_path / "prompts.ndjson"))[:2] == (0, {"ingested": 900, **_NONE})


_NONE = {"duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": 0}


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_an_export_goes_back_in(server: Server, org: str, tmp_path: Path, form: str) -> None:
    data = {"amount": "0.10", "user": {"id": "株式会社", "n": 12345678901234567890123}, "note": "a\nb"}
    server.send("unsiloed", [event("credit.used", org, data, at="2026-03-01T00:00:00.123456Z")])
    exported = tmp_path / f"export.{form}"
    accept = {"ndjson": "application/x-ndjson", "parquet": "application/vnd.apache.parquet"}[form]
    answer = server.admin("GET", "/v1/export", params={"organization": org}, headers={"accept": accept})
    exported.write_bytes(answer.content)
    assert ingest(server, str(exported))[:2] == (0, {**_NONE, "ingested": 0, "duplicates": 1})


def test_a_parquet_file_of_something_else_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "other.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    code, _, told = ingest(server, str(tmp_path / "other.parquet"))
    assert code == 1
    assert "is no Parquet file" in told


def test_a_file_of_which_nothing_is_taken_is_told_event_by_event(server: Server, org: str, tmp_path: Path) -> None:
    bad = [json.dumps({**event("credit.used", org, {}), "id": f"bad-{n}"}) for n in range(150)]
    (tmp_path / "bad.ndjson").write_text("\n".join(bad))
    code, totals, told = ingest(server, str(tmp_path / "bad.ndjson"))
    assert (code, totals["rejected"]) == (3, 150)
    assert "line 10: data.amount is missing" in told
    assert "and 140 more" in told


def test_events_that_no_meter_reads_are_told(server: Server, org: str, tmp_path: Path) -> None:
    (tmp_path / "odd.ndjson").write_text(json.dumps(event("credit.usd", org, {"amount": 1})))
    assert ingest(server, str(tmp_path / "odd.ndjson"))[1]["unmatched"] == 1


def test_numbers_are_printed_without_an_exponent(server: Server, org: str) -> None:
    one = event("credit.used", org, {"amount": "0.00000011"}, at=AT)
    assert server.send("unsiloed", [one])["ingested"] == 1
    environment = {"METERHOUSE_ADMIN_KEY": ADMIN_KEY, "METERHOUSE_URL": str(server.http.base_url), "COLUMNS": "200"}
    for options in ((), ("--json",)):
        command = [sys.executable, "-m", "meterhouse", "usage", org, *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        assert "0.00000011" in done.stdout, done.stdout


@pytest.mark.parametrize("begin", [b'{"a": "', b'[{"a": "'])
def test_what_is_longer_than_any_event_is_refused_before_it_fills_the_memory(
    server: Server, tmp_path: Path, begin: bytes
) -> None:
    (tmp_path / "long.json").write_bytes(begin + b"x" * (40 << 20))
    code, _, told = ingest(server, str(tmp_path / "long.json"))
    assert code == 1
    assert "has more than 16777216 bytes" in told
