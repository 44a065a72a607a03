"""The command line as people and scripts use it: in processes of its own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App

from meterhouse import cli
from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server, event, serve


def meterhouse(
    *arguments: str, cwd: Path | None = None, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", **env}
    done = run_meterhouse(*arguments, environment=environment, cwd=cwd, stdin=stdin.encode())
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_a_whole_day_on_a_folder(tmp_path: Path) -> None:
    """Without a server: organization, subscription, key, events, usage."""
    org = meterhouse("org", "add", "acme", "--namespace", "unsiloed", "--name", "Acme [bold]", "--json", cwd=tmp_path)
    assert org.returncode == 0, org.stderr
    assert json.loads(org.stdout)[0]["name"] == "Acme [bold]"
    subscribed = meterhouse(
        "org",
        "subscribe",
        "acme",
        "--anchor",
        "2026-01-01",
        "--interval",
        "P30D",
        "--limit",
        "credits=1.5",
        cwd=tmp_path,
    )
    assert subscribed.returncode == 0, subscribed.stderr
    key = meterhouse("key", "add", "acme", cwd=tmp_path)
    assert re.fullmatch(r"unsiloed_[0-9a-f]{48}\n", key.stdout)
    events = tmp_path / "events.ndjson"
    lines = [json.dumps(event("credit.used", "acme", {"amount": "0.1"}, at="2020-01-01T00:00:00Z")) for _ in range(7)]
    events.write_text("\n".join(lines) + "\n")
    first = meterhouse("ingest", str(events), "--namespace", "unsiloed", "--json", cwd=tmp_path)
    assert (first.returncode, json.loads(first.stdout)["ingested"]) == (0, 7)
    again = meterhouse("ingest", "-", "--namespace", "unsiloed", cwd=tmp_path, stdin=events.read_text())
    assert (again.returncode, again.stdout) == (0, "0 ingested, 7 duplicates, 0 conflicts, 0 rejected\n")
    usage = meterhouse("usage", "acme", "--json", cwd=tmp_path)
    assert usage.returncode == 0, usage.stderr
    assert json.loads(usage.stdout)["meters"]["credits"]["limit"] == 1.5
    _grant_and_void(tmp_path)
    table = meterhouse("usage", "acme", cwd=tmp_path).stdout
    assert "credits" in table
    assert "1.5" in table


def _grant_and_void(folder: Path) -> None:
    options = ("--id", "g", "--priority", "3", "--interval", "P1M", "--anchor", "2026-01-31", "--rollover", "0.5..1")
    made = meterhouse("grant", "add", "acme", "credits", "2.5", *options, "--reason", "a gift", "--json", cwd=folder)
    assert made.returncode == 0, made.stderr
    [grant] = json.loads(made.stdout)
    assert grant["recurrence"] == {"interval": "P1M", "anchor": "2026-01-31T00:00:00Z"}
    assert grant["rollover"] == {"max": 1, "min": 0.5}
    assert "a gift" in meterhouse("grant", "list", "acme", cwd=folder).stdout
    balance = meterhouse("balance", "acme", "credits", "--json", cwd=folder)
    assert balance.returncode == 0, balance.stderr
    assert json.loads(balance.stdout)["balance"] == 4
    assert meterhouse("grant", "void", "acme", "g", cwd=folder).stdout == "voided g\n"
    assert re.search(r"in all .* 1\.5 ", meterhouse("balance", "acme", "credits", cwd=folder).stdout)
    wrong = meterhouse("grant", "add", "acme", "credits", "1", "--anchor", "2026-01-31", cwd=folder)
    assert (wrong.returncode, wrong.stderr) == (1, "error: --anchor is about --interval: give both\n")
    before = meterhouse("balance", "acme", "credits", "--as-of", "2026-01-01T00:00:00Z", "--json", cwd=folder)
    assert json.loads(before.stdout)["grants"] == []


def test_talks_to_a_running_server(server: Server) -> None:
    remote = {"METERHOUSE_URL": str(server.http.base_url), "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    org = server.organization("octolens")
    listed = meterhouse("org", "list", "--json", **remote)
    assert org in {each["id"] for each in json.loads(listed.stdout)}
    key = meterhouse("key", "add", org, "--scope", "read", "--json", **remote)
    made = json.loads(key.stdout)
    assert meterhouse("key", "revoke", org, made["id"], **remote).returncode == 0
    assert "revoked_at" in meterhouse("key", "list", org, **remote).stdout
    assert meterhouse("org", "delete", org, **remote).returncode == 0
    gone = meterhouse("usage", org, **remote)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert org in gone.stderr


def test_what_is_piped_is_whole(server: Server) -> None:
    remote = {"METERHOUSE_URL": str(server.http.base_url), "METERHOUSE_ADMIN_KEY": ADMIN_KEY, "COLUMNS": "40"}
    org = server.organization("onepin", id="o" * 100, name="A name of some length " * 6)
    key = server.admin("POST", f"/v1/organizations/{org}/keys", {}).json()
    listed = meterhouse("org", "list", **remote).stdout
    assert org in listed
    assert "A name of some length " * 5 in listed
    assert key["id"] in meterhouse("key", "list", org, **remote).stdout


def test_reading_commands_make_no_folder(tmp_path: Path) -> None:
    for arguments in (("usage", "acme"), ("org", "list"), ("export", "-"), ("rebuild",), ("key", "list", "acme")):
        assert meterhouse(*arguments, cwd=tmp_path).returncode == 1
    for arguments in (("plan", "list"), ("meter", "list")):
        assert meterhouse(*arguments, cwd=tmp_path).returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_the_help_describes_every_argument() -> None:
    for name, command in commands(cli.app):
        for argument in command.assemble_argument_collection(parse_docstring=True):
            if argument.show:
                assert argument.parameter.help or argument.field_info.help, f"{name} {argument.names}"
    shown = meterhouse("ingest", "--help").stdout + meterhouse("key", "add", "--help").stdout
    assert not re.search(r"default: (\(\)|\{\}|False|None)", shown)
    first = meterhouse("--help").stdout
    assert "--json" in first
    assert "CSV" in first


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    for name in app:
        if not name.startswith("-"):
            below = app[name]
            if below.default_command is not None:
                yield " ".join((*path, name)), below
            yield from commands(below, (*path, name))


def test_bad_events_end_with_3_and_lose_nothing(server: Server) -> None:
    remote = {"METERHOUSE_URL": str(server.http.base_url), "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    org = server.organization("unsiloed")
    good, bad = event("credit.used", org, {"amount": 1}), event("credit.used", org, {"amount": "many"})
    done = meterhouse(
        "ingest", "-", "--namespace", "unsiloed", stdin=f"{json.dumps(bad)}\n{json.dumps(good)}\n", **remote
    )
    assert (done.returncode, done.stdout) == (3, "1 ingested, 0 duplicates, 0 conflicts, 1 rejected\n")
    assert "line 1: data.amount must be a number" in done.stderr
    assert server.usage(org)["meters"]["credits"]["used"] == 1


def test_lists_meters_and_plans_without_the_engine(tmp_path: Path) -> None:
    meters = meterhouse("meter", "list", "--namespace", "aitronos", "--json", cwd=tmp_path)
    assert {each["slug"] for each in json.loads(meters.stdout)} == {"requests", "neurons", "synapses", "cost"}
    assert "Pro_v3" in meterhouse("plan", "list", cwd=tmp_path).stdout
    assert not (tmp_path / "meterhouse-data").exists()
    assert meterhouse("org", "add", "acme", "--namespace", "onepin", cwd=tmp_path).returncode == 0
    assert not (tmp_path / "meterhouse-data" / "events").exists()
    assert not imported("plan", "list", cwd=tmp_path) & {
        "chdb",
        "pyarrow",
        "pydantic",
        "sqlalchemy.dialects.postgresql",
    }


def test_asks_a_server_without_what_a_server_needs(server: Server) -> None:
    remote = {"METERHOUSE_URL": str(server.http.base_url), "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
    modules = imported("org", "list", **remote)
    assert "httpx" in modules
    assert not modules & {"litestar", "sqlalchemy", "chdb", "meterhouse.wiring"}


def imported(*arguments: str, cwd: Path | None = None, **env: str) -> set[str]:
    """The modules that a command has imported."""
    code = "import sys, meterhouse.cli\ntry: meterhouse.cli.main()\nfinally: print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("usage", "nobody"), 1, "there is no data folder meterhouse-data: name a running server with --url"),
        (("org", "list"), 1, "there is no data folder meterhouse-data"),
        (("why", "a", "b", "--namespace", "onepin"), 1, "there is no data folder meterhouse-data"),
        (("backup", "b.tar"), 1, "there is no data folder meterhouse-data"),
        (("ingest", "absent.ndjson", "--namespace", "onepin"), 1, "absent.ndjson cannot be read"),
        (("ingest", "-", "--namespace", "nowhere"), 1, "unknown namespace 'nowhere'"),
        (("org", "add", "a/b", "--namespace", "onepin"), 1, "organization id"),
        (("usage",), 2, "organization"),
        (("frobnicate",), 2, "frobnicate"),
        (("serve", "--port", "many"), 2, "many"),
        (("serve", "--port", "99999"), 2, "65535"),
        (("serve", "--now", "yesterday"), 1, "--now: 'yesterday'"),
        (("plan", "list", "--namespace", "nowhere"), 1, "unknown namespace 'nowhere'"),
        (("org", "subscribe", "a", "--anchor", "2026-01-01", "--limit", "credits"), 1, "--limit credits"),
        (("usage", "a", "--url", "http://127.0.0.1:1"), 1, "METERHOUSE_ADMIN_KEY"),
    ],
)
def test_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = meterhouse(*arguments, cwd=tmp_path, stdin="{}\n")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8000", "http://", "http://[::1", "http://a:b", "ftp://a", "http://a?b", "http://a/b?c", "http://a/b#c"],
)
def test_a_url_that_is_none_is_named(tmp_path: Path, url: str) -> None:
    done = meterhouse("org", "list", cwd=tmp_path, METERHOUSE_URL=url, METERHOUSE_ADMIN_KEY=ADMIN_KEY)
    assert (done.returncode, "METERHOUSE_URL" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("METERHOUSE_PORT", "eighty"),
        ("METERHOUSE_ADMIN_KEY", "short"),
        ("METERHOUSE_LOG_LEVEL", "loud"),
        ("METERHOUSE_MAX_BODY_BYTES", "1"),
        ("METERHOUSE_NOW", "noon"),
        ("METERHOUSE_RETENTION_DAYS", "nowhere=3"),
        ("METERHOUSE_RETENTION_DAYS", "onepin"),
        ("METERHOUSE_CATALOGS", "absent.toml"),
        ("METERHOUSE_LEDGER_URL", "postgresql+psycopg://u:p@h:abc/db"),
        ("METERHOUSE_HOST", "no such host"),
        ("METERHOUSE_HOST", "." * 70),
        ("METERHOUSE_CORS_ORIGINS", "app.example.com"),
        ("METERHOUSE_ONEPIN_END_STYLE", "upside_down"),
    ],
)
def test_names_the_variable_that_is_wrong(tmp_path: Path, variable: str, value: str) -> None:
    done = meterhouse("serve", cwd=tmp_path, **{variable: value})
    assert done.returncode == 1
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("METERHOUSE_ADMIN_KEI", "METERHOUSE_ADMIN_KEY"),
        ("METERHOUSE_RETENTION_DAY", "METERHOUSE_RETENTION_DAYS"),
        ("METERHOUSE_OKTOLENS_REQUESTS_PER_HOUR", "METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR"),
    ],
)
def test_a_variable_that_is_no_setting_stops_the_start(tmp_path: Path, variable: str, nearest: str) -> None:
    done = meterhouse("serve", cwd=tmp_path, **{variable: "1"})
    assert done.returncode == 1
    assert f"{variable} is not a setting of Meterhouse; did you mean {nearest}?" in done.stderr
    assert not (tmp_path / "meterhouse-data").exists()


class TestEnvFile:
    def test_is_read_and_said_and_the_environment_wins(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            "# of ours\nexport METERHOUSE_NOW='2026-03-15T12:00:00Z'\nMETERHOUSE_LOG_LEVEL=loud\nOTHER=secret\n"
        )
        done = meterhouse("demo", "--once", "--data", "data", cwd=tmp_path, METERHOUSE_LOG_LEVEL="error")
        assert done.returncode == 0, done.stderr
        assert done.stderr == f"settings from {tmp_path / '.env'}: METERHOUSE_NOW\n"
        assert '"start": "2026-02-28T' in done.stdout

    def test_its_values_are_held_to_the_same_rules(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("METERHOUSE_PORT=eighty\n")
        done = meterhouse("plan", "list", cwd=tmp_path)
        assert (done.returncode, "METERHOUSE_PORT" in done.stderr) == (1, True)
        (tmp_path / ".env").write_text("METERHOUSE_PROT=80\n")
        done = meterhouse("plan", "list", cwd=tmp_path)
        assert (done.returncode, "did you mean METERHOUSE_PORT?" in done.stderr) == (1, True)

    @pytest.mark.parametrize("line", ["METERHOUSE_PORT", "METERHOUSE_PORT='8000", "METERHOUSE_PORT 8000"])
    def test_a_line_that_is_none_is_named(self, tmp_path: Path, line: str) -> None:
        (tmp_path / ".env").write_text(f"A=1\n{line}\n")
        done = meterhouse("org", "list", cwd=tmp_path)
        assert (done.returncode, "line 2 of" in done.stderr, "Traceback" in done.stderr) == (1, True, False)

    def test_of_other_programs_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("PASSWORD=secret\nthis is no line\n")
        done = meterhouse("plan", "list", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        (tmp_path / ".env").unlink()
        (tmp_path / ".env").mkdir()
        assert meterhouse("plan", "list", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://localhost/ledger",
        "sqlite:////proc/nowhere/ledger",
        "postgresql+psycopg://u:p@127.0.0.1:abc/db",
        "postgresql+psycopg://u:p@127.0.0.1:99999/db",
    ],
)
def test_a_ledger_that_cannot_be_had_is_explained(tmp_path: Path, url: str) -> None:
    done = meterhouse("org", "add", "a", "--namespace", "onepin", cwd=tmp_path, METERHOUSE_LEDGER_URL=url)
    assert done.returncode == 1
    assert "ledger" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"when,n\n2026-02-03 10:00:00," + b"9" * (17 << 20) + b"\n", "line 2: is not CSV: field larger"),
        (b"when,n,n\n2026-02-03 10:00:00,1,2\n", "the column 'n' 2 times"),
        (b"when,n,x,x\n2026-02-03 10:00:00,1,2,3\n", "the column 'x' 2 times"),
        (b"moment,n\n", "no column 'when'"),
        (b"", "no column 'when'"),
        (b"when:n\n2026-02-03 10:00:00:1\n", "separated by ',': --csv.delimiter names another"),
    ],
)
def test_a_csv_file_that_cannot_be_read_is_explained(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    mapping = ("--csv.type", "credit.used", "--csv.subject", "a", "--csv.time", "when", "--csv.column.amount", "n")
    arguments = ("ingest", "file.csv", "--namespace", "unsiloed", "--csv.time-zone", "Europe/Zurich", *mapping)
    done = meterhouse(*arguments, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


CATALOG = """
namespace = "acme"
[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"
"""


@pytest.mark.parametrize(
    ("catalog", "words"),
    [
        (CATALOG + CATALOG.partition("\n[[")[1] + CATALOG.partition("[[")[2], "two meters have the slug 'calls'"),
        (CATALOG + '[[plans]]\nslug = "P"\nlimits = { tokens = 1 }', "unknown meter 'tokens'"),
        (CATALOG + "unit = ", "not TOML"),
        (CATALOG.replace('"acme"', '"acme"\ncontract = "nobody"'), "the contract 'nobody' is not installed"),
        (CATALOG.replace("COUNT", "SUM"), "needs `value`"),
        (None, "cannot be read"),
    ],
)
def test_a_catalog_that_cannot_be_used_is_named(tmp_path: Path, catalog: str | None, words: str) -> None:
    path = tmp_path / "acme.toml"
    if catalog is not None:
        path.write_text(catalog)
    done = meterhouse("serve", "--catalog", str(path), "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert words in done.stderr
    assert "acme.toml" in done.stderr


def test_one_namespace_in_two_catalogs(tmp_path: Path) -> None:
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text(CATALOG)
    done = meterhouse("serve", "--catalog", "one.toml", "--catalog", "two.toml", cwd=tmp_path)
    assert (done.returncode, "two catalogs have the namespace 'acme'" in done.stderr) == (1, True)


def test_a_catalog_of_ones_own_with_a_key_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    with serve(tmp_path / "data", arguments=("--catalog", str(tmp_path / "acme.toml"))) as server:
        org = server.organization("acme")
        key = server.key(org, scopes=["events:write", "usage:read"])
        assert key.startswith("mh_live_")
        headers = {"authorization": f"Bearer {key}"}
        server.http.post("/v1/events", json=event("call", org, {}), headers=headers).raise_for_status()
        usage = server.http.get(f"/v1/organizations/{org}/usage", headers=headers).json()
        assert usage["meters"]["calls"]["used"] == 1


class TestFolder:
    def test_written_by_a_newer_version(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "format").write_text("999")
        done = meterhouse("serve", "--data", str(tmp_path / "data"))
        assert done.returncode == 1
        assert "format 999" in done.stderr
        assert "newer" in done.stderr

    def test_in_use_by_a_server_says_where_it_is(self, tmp_path: Path) -> None:
        with serve(tmp_path / "data") as server:
            done = meterhouse("usage", "acme", "--data", str(tmp_path / "data"))
        assert done.returncode == 1
        assert f"Talk to the running server with --url http://127.0.0.1:{server.port}, or name" in done.stderr

    def test_whose_events_cannot_be_opened(self, tmp_path: Path) -> None:
        assert (
            meterhouse("org", "add", "acme", "--namespace", "unsiloed", "--data", str(tmp_path / "data")).returncode
            == 0
        )
        (tmp_path / "data" / "events").write_text("not a folder")
        done = meterhouse("serve", "--data", str(tmp_path / "data"))
        assert done.returncode == 1
        assert "The server does not start on" in done.stderr
        assert "Traceback" not in done.stderr

    def test_not_a_folder_or_not_writable(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/meterhouse")):
            done = meterhouse("serve", "--data", str(path))
            assert done.returncode == 1, path
            assert "cannot be used" in done.stderr
            assert "Traceback" not in done.stderr

    def test_a_port_that_is_taken(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            done = meterhouse("serve", "--port", str(taken.getsockname()[1]), cwd=tmp_path)
        assert done.returncode == 1
        assert "choose another with --port" in done.stderr


def test_the_demo_prints_five_answers_the_same_every_time(tmp_path: Path) -> None:
    arguments = ("demo", "--once", "--now", "2026-03-15T12:00:00Z")
    first = meterhouse(*arguments, "--data", str(tmp_path / "one"))
    assert first.returncode == 0, first.stderr
    answers = re.split(r"\nGET (\S+)\n", first.stdout)
    assert len(answers) == 11
    for body in answers[2::2]:
        assert json.loads(body)
    again = meterhouse(*arguments, "--data", str(tmp_path / "one"))
    other = meterhouse(*arguments, "--data", str(tmp_path / "two"))

    def stable(text: str) -> str:
        return re.sub(r'"request_id": "[^"]+"', "", text)

    assert stable(again.stdout) == stable(first.stdout) == stable(other.stdout)


def test_every_curl_line_of_the_demo_works_when_pasted(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "meterhouse", "demo", "--port", str(port), "--data", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            printed = ""
            while "listens on" not in printed:
                line = demo.stdout.readline()
                assert line, printed
                printed += line
            lines = re.findall(r"^curl .*$", printed, re.MULTILINE)
            assert len(lines) == 10
            [command] = re.findall(r"^METERHOUSE_ADMIN_KEY=.*$", printed, re.MULTILINE)
            shown = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
            assert (shown.returncode, "credits" in shown.stdout) == (0, True), shown.stderr
            for line in lines:
                pasted = subprocess.run(
                    ["bash", "-c", f"{line} --fail --retry 5 --retry-connrefused"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert pasted.returncode == 0, (line, pasted.stderr)
                assert json.loads(pasted.stdout)
        finally:
            demo.terminate()
            assert demo.wait(30) == 0
