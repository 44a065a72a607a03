"""Files from a web server and from memory, through fsspec; what is in an address and nobody's business is not told."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest
from ingests import AT, ingest, mapped, used

from meterhouse.cli.files import open_file
from meterhouse.cli.ingesting.mapping import CsvMapping
from meterhouse.cli.ingesting.opening import begin
from meterhouse.cli.remote_files import name_of, without_secrets
from meterhouse.cli.terminal import Failed
from support.server import Server

CSV = f"time,amount\n{AT},1\n{AT},2\n".encode()
FILES = {"/usage.csv": CSV, "/usage.csv.gz": gzip.compress(CSV)}


RANGES: list[str | None] = []
"""What was asked for of each file."""


class _Files(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/secret.csv":
            self.send_error(403)
            return
        content = FILES.get(path.removeprefix("/cut"))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            RANGES.append(self.headers["range"])
            self.wfile.write(content[:20] if path.startswith("/cut") else content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_a_file_of_a_web_server(server: Server, org: str, address: str, tmp_path: Path) -> None:
    """By its content the same as a local one; by an id it is read as it comes."""
    RANGES.clear()
    assert ingest(server, f"{address}/usage.csv?signature=hidden", *mapped(org))[1]["ingested"] == 2
    assert ingest(server, f"{address}/usage.csv.gz", *mapped(org))[1]["duplicates"] == 2
    (tmp_path / "local.csv").write_bytes(CSV)
    assert ingest(server, str(tmp_path / "local.csv"), *mapped(org))[1]["duplicates"] == 2
    by_id = ingest(server, f"{address}/usage.csv?signature=hidden", *mapped(org, "--csv.id", "amount"))
    assert by_id[1]["ingested"] == 2
    listed = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").json()["events"]
    assert {each["source"] for each in listed} == {"csv", "usage.csv"}
    assert used(server, org) == 6
    assert RANGES == [None, None, None], "each in one request, so that it is one version of the file"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/absent.csv", "cannot be read: look whether it is there"),
        ("/secret.csv", "whether it may be read"),
        ("/cut/usage.csv", "broke off"),
    ],
)
def test_what_a_web_server_does_not_give_is_told_without_secrets(
    server: Server, org: str, address: str, path: str, words: str
) -> None:
    secret = address.replace("http://", "http://me:pass%40word@") + f"{path}?X-Signature=hidden"
    code, _, told = ingest(server, secret, *mapped(org))
    assert code == 1
    assert words in told
    assert address + path in told
    assert "word" not in told
    assert "hidden" not in told


def test_a_file_in_memory() -> None:
    with fsspec.open("memory://folder/usage.csv.gz", "wb") as file:
        file.write(gzip.compress(CSV))
    mapping = CsvMapping(type="t", time="time", subject="a", id="amount", column={"amount": "amount"})
    with ExitStack() as stack:
        file = "memory://folder/usage.csv.gz"
        records = [*begin(file, open_file(file, stack), mapping, stack).records]
    assert [each.event is not None for each in records] == [True, True]
    with ExitStack() as stack, pytest.raises(Failed, match="look whether it is there"):
        open_file("memory://folder/other.csv", stack)


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    for address, package in (("s3://bucket/a.csv", "s3fs"), ("gs://bucket/a.csv", "gcsfs")):
        with ExitStack() as stack, pytest.raises(Failed, match=f"pip install {package} 'meterhouse"):
            open_file(address, stack)
    with ExitStack() as stack, pytest.raises(Failed, match="Protocol not known"):
        open_file("nowhere://a.csv", stack)


def test_addresses_lose_their_secrets() -> None:
    assert without_secrets("GET 'https://u:p@w@h:1/a/b.csv?key=1#x' failed") == "GET 'https://h:1/a/b.csv' failed"
    assert name_of("s3://bucket/folder/a%20b.csv?versionId=1") == "a b.csv"
