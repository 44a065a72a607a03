"""What was refused is told by its line, kept as it was, and can be mended and ingested; a preview sends nothing."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pytest
from ingests import AT, ingest, mapped, used

from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server, event

FILE = f"""time;amount;who
{AT};1,5;a
{AT};2;b;c
{AT};many;d
not a time;4;e
{AT};1.000,5;f
{AT};2,5;"g
h"
"""
COMMAS = ("--csv.decimal-comma", "amount")


def test_refused_rows_are_told_by_line_kept_and_ingested_when_they_are_mended(
    server: Server,
    org: str,
    tmp_path: Path,
) -> None:
    whole, refused = tmp_path / "whole.csv", tmp_path / "refused.csv"
    whole.write_bytes(FILE.encode("utf-16"))
    code, totals, told = ingest(server, str(whole), *mapped(org), *COMMAS, "--refused", str(refused))
    assert (code, totals["ingested"], totals["rejected"]) == (3, 2, 4)
    assert used(server, org) == 4
    lines = [line for line in told.splitlines() if line.startswith("line")]
    assert [line.partition(":")[0] for line in lines] == ["line 3", "line 4", "line 5", "line 6"]
    for line, words in zip(
        lines, ["4, not 3", "amount is 'many'", "not a time", "thousands is not guessed"], strict=True
    ):
        assert words in line
    assert "refused.csv, as it was: mend it and ingest it, or the whole file again, but not both" in told
    assert refused.stat().st_mode & 0o777 == 0o600
    kept = refused.read_text("utf-16")
    assert kept.splitlines() == [FILE.splitlines()[number] for number in (0, 2, 3, 4, 5)]
    mended = kept.replace("2;b;c", "2;b").replace("many", "3").replace("not a time", AT).replace("1.000,5", "1000,5")
    refused.write_text(mended, "utf-16", newline="")
    code, totals, told = ingest(server, str(refused), *mapped(org), *COMMAS)
    assert (code, totals["ingested"]) == (0, 4), told
    assert used(server, org) == Decimal("1013.5")


def test_a_file_for_what_is_refused_is_new_and_there_only_when_something_is(
    server: Server,
    org: str,
    tmp_path: Path,
) -> None:
    (tmp_path / "good.csv").write_text(f"time,amount\n{AT},1\n")
    kept = tmp_path / "refused.csv"
    assert ingest(server, str(tmp_path / "good.csv"), *mapped(org), "--refused", str(kept))[0] == 0
    assert not kept.exists()
    kept.write_text("mine")
    code, _, told = ingest(server, str(tmp_path / "good.csv"), *mapped(org), "--refused", str(kept))
    assert (code, kept.read_text()) == (1, "mine")
    assert "is there already" in told


def test_all_refused_lines_are_kept_however_many_a_server_tells_of(
    server: Server,
    org: str,
    tmp_path: Path,
) -> None:
    """A server names the first hundred of a request."""
    lines = [
        json.dumps({**event("credit.used", org, {} if number % 3 else {"amount": 1}), "id": f"{org}-{number}"}).encode()
        for number in range(700)
    ]
    lines[5] = b"{broken"
    (tmp_path / "some.ndjson").write_bytes(b"\n".join(lines))
    kept = tmp_path / "refused.ndjson"
    code, totals, told = ingest(server, str(tmp_path / "some.ndjson"), "--refused", str(kept))
    bad = [line for number, line in enumerate(lines) if number % 3 or number == 5]
    assert (code, totals["rejected"], totals["ingested"]) == (3, len(bad), 700 - len(bad))
    assert kept.read_bytes().splitlines() == bad
    assert used(server, org) == 700 - len(bad)
    assert f"and {len(bad) - 10} more" in told


def test_a_conflict_is_kept_too(server: Server, org: str, tmp_path: Path) -> None:
    first = event("credit.used", org, {"amount": 1})
    other = {**first, "data": {"amount": 2}}
    (tmp_path / "two.ndjson").write_text(f"{json.dumps(first)}\n{json.dumps(other)}\n")
    kept = tmp_path / "refused.ndjson"
    code, totals, told = ingest(server, str(tmp_path / "two.ndjson"), "--refused", str(kept))
    assert (code, totals["conflicts"]) == (3, 1)
    assert "line 2: " in told
    assert json.loads(kept.read_text()) == other


def test_events_of_an_array_are_kept_one_a_line(server: Server, org: str, tmp_path: Path) -> None:
    good, bad = event("credit.used", org, {"amount": 1}), event("credit.used", org, {"amount": [1]})
    (tmp_path / "array.json").write_text(json.dumps([bad, good, bad], indent=1))
    kept = tmp_path / "refused.ndjson"
    code, totals, told = ingest(server, str(tmp_path / "array.json"), "--refused", str(kept))
    assert (code, totals["ingested"], totals["rejected"]) == (3, 1, 2)
    assert [json.loads(line) for line in kept.read_text().splitlines()] == [bad, bad]
    assert "event 1: " in told
    assert "event 3: " in told


def test_json_in_utf_16_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "wide.ndjson").write_text("{}", "utf-16")
    code, _, told = ingest(server, str(tmp_path / "wide.ndjson"))
    assert code == 1
    assert "is in UTF-16" in told


@pytest.mark.parametrize("form", ["people", "json"])
def test_a_preview_shows_events_and_sends_nothing(tmp_path: Path, form: str) -> None:
    """Neither a server nor a data folder is there, nor is one made."""
    (tmp_path / "file.csv").write_text(FILE)
    mapping = (*mapped("acme", "--csv.id", "who", "--csv.column.user.id", "who"), *COMMAS)
    options = ("--preview", "3", *(["--json"] if form == "json" else []))
    done = run_meterhouse("ingest", "file.csv", *mapping, *options, environment={"COLUMNS": "80"}, cwd=tmp_path)
    assert done.returncode == 3
    assert "nothing was sent" in done.stderr.decode()
    assert [each.name for each in tmp_path.iterdir()] == ["file.csv"]
    shown = {
        "specversion": "1.0",
        "id": "a",
        "source": "file.csv",
        "type": "credit.used",
        "subject": "acme",
        "time": AT,
        "data": {"amount": "1.5", "user": {"id": "a"}},
    }
    if form == "json":
        first, second, third = json.loads(done.stdout)
        assert first == {"place": "line 2", "event": shown}
        assert (second["place"], "refused" in second) == ("line 3", True)
        assert (third["place"], "refused" in third) == ("line 4", True)
        return
    first, second, third = done.stdout.decode().splitlines()
    assert json.loads(first.removeprefix("line 2: ")) == shown
    assert second.startswith("line 3: refused: has more fields")
    assert third.startswith("line 4: refused: amount is 'many'")


def test_times_that_were_there_twice_are_told(server: Server, org: str, tmp_path: Path) -> None:
    (tmp_path / "hours.csv").write_text(
        "time,amount\n2025-10-26 01:00:00,1\n2025-10-26 02:00:00,2\n2025-10-26 03:00:00,4\n2025-03-30 02:30:00,8\n"
    )
    zone = ("--csv.time-zone", "Europe/Zurich")
    mapping = ("--csv.type", "credit.used", "--csv.subject", org, "--csv.time", "time", *zone)
    code, totals, told = ingest(server, str(tmp_path / "hours.csv"), *mapping, "--csv.column.amount", "amount")
    assert (code, totals["ingested"], totals["rejected"]) == (3, 3, 1)
    assert "1 times were there twice" in told
    assert "line 3, 2025-10-26 02:00:00 was the first" in told
    assert "line 5: the time '2025-03-30 02:30:00' does not exist in Europe/Zurich" in told


def test_columns_of_an_excel_export_in_windows_1252(server: Server, org: str, tmp_path: Path) -> None:
    rows = [["Zeit", "Menge", "Gerät"], ["46023,5", "1234,25", "Größe 1"], ["46023,75", "-0,25", "x;y"]]
    with (tmp_path / "excel.csv").open("w", encoding="cp1252", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    mapping = ("--csv.type", "credit.used", "--csv.subject", org, "--csv.time", "Zeit", "--csv.time-format", "excel")
    commas = ("--csv.decimal-comma", "Zeit", "--csv.decimal-comma", "Menge", "--csv.encoding", "windows-1252")
    options = (*mapping, *commas, "--csv.time-zone", "Europe/Zurich", "--csv.column.amount", "Menge")
    code, totals, told = ingest(server, str(tmp_path / "excel.csv"), *options, "--csv.column.device", "Gerät")
    assert (code, totals["ingested"]) == (0, 2), told
    assert used(server, org) == 1234
    listed = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").json()["events"]
    assert {each["time"] for each in listed} == {"2026-01-01T11:00:00Z", "2026-01-01T17:00:00Z"}


def test_what_is_missing_in_the_command_is_said_before_anything_is_read(tmp_path: Path) -> None:
    for options, words in (
        ((), "name a file, or a folder with --watch"),
        (("-", "--watch", "."), "name a file, or a folder with --watch"),
        (("-", "--csv.type", "t", "--csv.time", "x"), "give the namespace of a CSV file's events"),
        (("-", "--csv.type", "t", "--csv.time", "x", "--namespace", "onepin"), "whose events these are"),
        (("--watch", "none"), "there is no folder none"),
        (("--watch", ".", "--preview", "3"), "has no --preview"),
        (("--watch", ".", "--settle-seconds", "0"), "must be at least 1"),
    ):
        done = run_meterhouse("ingest", *options, environment={"METERHOUSE_ADMIN_KEY": ADMIN_KEY}, cwd=tmp_path)
        assert done.returncode == 1, options
        assert words in done.stderr.decode(), options
    assert not [*tmp_path.iterdir()]
