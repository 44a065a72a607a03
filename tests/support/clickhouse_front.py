"""ClickHouse's HTTP interface over the embedded engine: a server for tests where none can be installed.

`python -m tests.support.clickhouse_front --data DIR --port 0` prints its port. Statements, parameters, settings,
formats and errors are the engine's own; what is imitated here is how they come and go. `POST /control/ACTION`, from
this machine alone, makes it fail: `delay?seconds=2` answers inserts that much later, though they have happened; `cut`
does them too, and ends the connection without an answer; `gone` does nothing that it is asked for and ends every
connection; `resume` ends all of it.
"""

from __future__ import annotations

import argparse
import base64
import email.parser
import email.policy
import gzip
import json
import os
import re
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import lz4.frame
import zstandard

from .front_sessions import Sessions

_NO_SETTING = re.compile(
    "(query|database|user|password|default_format|session_id|session_timeout|session_check|query_id|compress|decompress"
    "|wait_end_of_query|buffer_size|client_protocol_version|role|quota_key|close_session|stacktrace"
    "|enable_http_compression|send_progress_in_http_headers|http_.*|cancel_http_.*|param_.*)$"
)
"""What is about the interface, not about the statement."""
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(?P<into>.+?)\s+FORMAT\s+(?P<format>\w+)[ \t]*\r?\n?", re.I | re.S)
_LONGEST_FIELD = 128 * 1024  # as servers have it
_CODE = re.compile(r"Code: (\d+)")
_STATUS = {60: 404, 81: 404, 516: 403, 159: 408, **dict.fromkeys((36, 42, 43, 47, 53, 62, 457), 400)}
_READS = re.compile(r"\s*(SELECT|WITH|\()", re.I)
_LASTS = re.compile(rb"\s*(SET|USE|CREATE\s+(OR\s+REPLACE\s+)?TEMPORARY)\b", re.I)


@dataclass
class Faults:
    """What goes wrong, for tests."""

    delay_s: float = 0
    cut: bool = False
    gone: bool = False


class Front(ThreadingHTTPServer):
    """Serves one folder."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, data: Path, port: int = 0, password: str = ""):
        super().__init__(("127.0.0.1", port), Handler)
        self.faults = Faults()
        self.sessions = Sessions(data)
        self.password = password


class Failed(Exception):
    """What the engine, or the front, says to a request."""

    def __init__(self, message: str):
        super().__init__(message)
        found = _CODE.search(message)
        self.code = int(found[1]) if found else 1000
        self.message = message[found.start() :] if found else f"Code: 1000. DB::Exception: {message}"


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Front

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        fields = dict(parse_qsl(address.query, keep_blank_values=True))
        body = self._body()
        if address.path.startswith("/control/"):
            self._control(address.path.removeprefix("/control/"), fields)
        elif self.server.faults.gone:
            self.close_connection = True
        elif address.path == "/ping" or not (fields or body):
            self._send(200, b"Ok.\n", {})
        else:
            self._ask(fields, body)

    do_POST = do_GET  # noqa: N815 - the name that http.server calls

    def _control(self, action: str, fields: dict[str, str]) -> None:
        faults = self.server.faults
        if self.client_address[0] != "127.0.0.1" or action not in ("delay", "cut", "gone", "resume"):
            self._send(404, b"", {})
            return
        if action == "delay":
            faults.delay_s = float(fields["seconds"])
        else:
            faults.gone, faults.cut, faults.delay_s = action == "gone", action == "cut", 0
        self._send(200, b"", {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        match self.headers.get("Content-Encoding"):
            case "zstd":
                return zstandard.ZstdDecompressor().decompressobj().decompress(body)
            case "lz4":
                return bytes(lz4.frame.decompress(body))
            case "gzip":
                return gzip.decompress(body)
        return body

    def _ask(self, fields: dict[str, str], body: bytes) -> None:
        headers = {"X-ClickHouse-Query-Id": fields.get("query_id") or str(uuid4()), "X-ClickHouse-Timezone": "Etc/UTC"}
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            fields |= _form(kind, body)
            body = b""
        try:
            self._authenticate()
            if any(len(value.encode()) > _LONGEST_FIELD for value in fields.values()):
                raise Failed("HTML Form Exception: Field value too long")
            settings = tuple(sorted(pair for pair in fields.items() if not _NO_SETTING.match(pair[0])))
            state = fields.get("database", ""), settings
            lasts = bool(_LASTS.match(fields.get("query", "").encode() + body))
            with self.server.sessions.take(fields.get("session_id", ""), state, lasts=lasts) as connection:
                self._answer(connection, fields, body, headers)
        except (Failed, RuntimeError, UnicodeDecodeError) as failure:
            failed = failure if isinstance(failure, Failed) else Failed(str(failure))
            headers["X-ClickHouse-Exception-Code"] = str(failed.code)
            self._send(_STATUS.get(failed.code, 500), failed.message.encode(errors="surrogateescape"), headers)

    def _authenticate(self) -> None:
        given = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if self.server.password and given.partition(":")[2] != self.server.password:
            raise Failed("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")

    def _answer(self, connection: Any, fields: dict[str, str], body: bytes, headers: dict[str, str]) -> None:
        text = fields.get("query", "").encode()
        text = text + b"\n" + body if text and body else text or body
        parameters = {name.removeprefix("param_"): value for name, value in fields.items() if name.startswith("param_")}
        if (insert := _INSERT.match(text)) and (data := text[insert.end() :]):
            _insert(connection, insert["into"].decode(), insert["format"].decode(), data)
            time.sleep(self.server.faults.delay_s)
            if self.server.faults.cut:
                self.close_connection = True
            else:
                self._send(200, b"", headers)
            return
        sql = text.decode().strip().rstrip(";")
        output = fields.get("default_format", "TabSeparated")
        if not _READS.match(sql) or "wait_end_of_query" in fields:
            answer = connection.query(sql, output, params=parameters).bytes()
            if answer and (named := re.search(r"\sFORMAT\s+(\w+)\s*$", sql)):
                headers["X-ClickHouse-Format"] = named[1]
            self._send(200, bytes(answer), headers)
        else:
            self._stream(connection.send_query(sql, output, params=parameters), headers)

    def _stream(self, answer: Any, headers: dict[str, str]) -> None:
        """Sends an answer as it is made. A failure after its beginning is told at its end, which is no proper one."""
        pieces = (bytes(piece.bytes()) for piece in answer)
        first = next(pieces, b"")
        tag = uuid4().hex[:16]
        coded = self._begin(200, {**headers, "X-ClickHouse-Exception-Tag": tag, "Transfer-Encoding": "chunked"})
        try:
            self._chunk(coded.compress(first))
            for piece in pieces:
                self._chunk(coded.compress(piece))
        except RuntimeError as failure:
            told = Failed(str(failure)).message.encode()
            told = b"%b\r\n%b\r\n%d %b" % (tag.encode(), told, len(told), tag.encode())
            self._chunk(coded.compress(b"\r\n__exception__\r\n%b\r\n__exception__\r\n" % told) + coded.flush())
            self.close_connection = True
        except OSError:  # nobody reads any more
            answer.close()
            self.close_connection = True
        else:
            self._chunk(coded.flush())
            self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, piece: bytes) -> None:
        if piece:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _begin(self, status: int, headers: dict[str, str]) -> Any:
        """Sends the head of an answer; what compresses the rest as the client asks for."""
        asked = re.findall("zstd|lz4|gzip", self.headers.get("Accept-Encoding", ""))
        coding = asked[0] if asked and "enable_http_compression=1" in self.path else ""
        summary = dict.fromkeys(("read_rows", "read_bytes", "written_rows", "written_bytes", "result_rows"), "0")
        self.send_response(status)
        for name, value in {**headers, "X-ClickHouse-Summary": json.dumps(summary)}.items():
            self.send_header(name, value)
        if coding:
            self.send_header("Content-Encoding", coding)
        self.end_headers()
        if coding in ("zstd", "gzip"):
            return zlib.compressobj(wbits=31) if coding == "gzip" else zstandard.ZstdCompressor().compressobj()
        return _Whole(lz4.frame.compress if coding else bytes)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        with suppress(OSError):  # nobody waits for it any more
            coded = self._begin(status, {**headers, "Transfer-Encoding": "chunked"})
            self._chunk(coded.compress(content) + coded.flush())
            self.wfile.write(b"0\r\n\r\n")


class _Whole:
    """Codes each piece of an answer on its own."""

    def __init__(self, code: Callable[[bytes], bytes]):
        self._code = code

    def compress(self, piece: bytes) -> bytes:
        return self._code(piece) if piece else b""

    def flush(self) -> bytes:
        return b""


def _form(kind: str, body: bytes) -> dict[str, str]:
    """The fields of a form."""
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found = {}
    for part in parts.iter_parts():
        content = part.get_payload(decode=True)
        found[str(part.get_param("name", header="Content-Disposition"))] = content.decode()
    return found


def _insert(connection: Any, into: str, form: str, data: bytes) -> None:
    with os.fdopen(os.memfd_create("front-insert"), "w+b") as file:
        file.write(data)
        file.flush()
        connection.query(f"INSERT INTO {into} FROM INFILE '/dev/fd/{file.fileno()}' FORMAT {form}", "TabSeparated")


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--password", default="")
    given = parser.parse_args()
    with Front(given.data.absolute(), given.port, given.password) as front:
        print(front.server_port, flush=True)
        front.serve_forever()


if __name__ == "__main__":
    main()
