"""ClickHouse on a server, over its HTTP interface."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import msgspec
import structlog
from clickhouse_connect import get_client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error, ProgrammingError
from clickhouse_connect.driver.httpclient import HttpClient
from clickhouse_connect.driver.httputil import get_pool_manager
from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from ....ports.chunks import Chunks
from . import schema_queries
from .engine import NO_PARAMETERS, EngineError, EngineUnavailable, Parameter, Parameters, error_of
from .table_form import TableForm

CONNECT_TIMEOUT_S = 2
STATEMENT_TIMEOUT_S = 60

_OLDEST = (26, 5)
"""The first version whose tables take `PROJECTION … INDEX … TYPE basic`."""
_CONNECTIONS = 64
"""How many connections stay open for the next statement."""
_CHUNK_BYTES = 1 << 20
_ENDING_BYTES = 32 * 1024
"""The most that a server writes about a failure in the middle of an answer, with room to spare."""
# Servers take parameters of 128 KiB at most, but texts in statements as long as they are told to.
_LONGEST_PARAMETER = 64 * 1024
_LONGEST_STATEMENT = 256 * 1024 * 1024

# What was inserted is read wherever it is asked for next.
_REPLICATED = {"insert_quorum": "auto", "insert_quorum_parallel": 0, "select_sequential_consistency": 1}

_NAME = re.compile(r"\w+", re.ASCII)
_PLACEHOLDER = re.compile(r"\{(\w+):([^{}]+)\}")
_CODE = re.compile(r"Code: (\d+)")
_AFTER_TOLD = re.compile(r"\s+\d+ \w+\s+__exception__\s*$")
# Servers, and those that they need: too busy, out of reach, or without the answer of other replicas.
_UNAVAILABLE = {202, 209, 210, 225, 242, 252, 279, 285, 286, 319, 999}

_log = structlog.get_logger(__name__)
_row = msgspec.json.Decoder(list[list[Any]])
Answer = TypeVar("Answer")


class ServerEngine:
    """One database of a ClickHouse server. Raises `EngineError`; `EngineUnavailable` when the server does not answer.

    Nothing but what only reads is sent again when a connection ends without an answer.
    """

    def __init__(
        self,
        url: str,
        database: str,
        *,
        cluster: str | None = None,
        connect_timeout_s: int = CONNECT_TIMEOUT_S,
        statement_timeout_s: int = STATEMENT_TIMEOUT_S,
        abandon: Callable[[], None] | None = None,
    ):
        """`url` is `http[s]://user:password@host:port`. The database must exist. With a `cluster`, all its replicas get
        the tables. `abandon` ends this owner, see `Engine`; without it there is no other."""
        if not _NAME.fullmatch(database):
            raise EngineError(f"{database!r} cannot be the name of a database: letters, digits and _ can")
        address = _address(url)
        self._form = TableForm(on_server=True, cluster=cluster)
        self._abandon = abandon or _no_other_owner
        self._pool = get_pool_manager(maxsize=_CONNECTIONS)
        try:
            self._client = self._asked(
                lambda: cast(
                    "HttpClient",
                    get_client(
                        **address,
                        database=database,
                        pool_mgr=self._pool,
                        compress=False,
                        connect_timeout=connect_timeout_s,
                        send_receive_timeout=statement_timeout_s,
                        query_retries=0,
                        autogenerate_session_id=False,
                        show_clickhouse_errors=True,
                        settings={
                            "max_execution_time": statement_timeout_s,
                            **schema_queries.STATEMENT_SETTINGS,
                            **(_REPLICATED if cluster else {}),
                        },
                    ),
                )
            )
            self._client.http_retries = 0  # which would make the time limits longer
            self._check_version()
        except BaseException:
            self._pool.clear()
            raise

    @property
    def table_form(self) -> TableForm:
        """See `Engine`."""
        return self._form

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        """See `Engine`."""
        text, bound, settings = _bound(sql, parameters)
        self._asked(lambda: self._client.command(text, parameters=bound, settings=settings))

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        """See `Engine`."""
        plain = {"output_format_json_quote_64bit_integers": 0}
        answer = self._read(sql, parameters, "JSONCompactEachRow", plain)
        return _row.decode(b"[" + answer.replace(b"]\n[", b"],[") + b"]")

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        """See `Engine`."""
        return self._read(sql, parameters, "RowBinary")

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        """See `Engine`. Sent once: whether to repeat it after a failure is the caller's to decide."""
        settings: dict[str, Any] = {**schema_queries.INSERT_SETTINGS, "async_insert": 0}
        # A server would take a block without a token that it has had before for a repetition.
        settings["deduplicate_insert"] = "enable" if token else "disable"
        if token:
            settings |= {"insert_deduplicate": 1, "insert_deduplication_token": token}
        # From an iterator the client can't send a block once more, which it does with bytes when a connection ends.
        self._asked(lambda: self._client.raw_insert(table, None, iter([block]), settings, "Native"))  # type: ignore[arg-type]

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        """See `Engine`."""
        text, bound, settings = _bound(sql, parameters)
        answer = cast(
            "HTTPResponse",
            self._asked(lambda: self._client.raw_stream(text, bound, settings, output_format)),
        )
        # A failure in the middle is told at the end, after a marker: what may be its beginning is held back.
        marker = b"__exception__\r\n" + answer.headers.get("X-ClickHouse-Exception-Tag", "").encode()
        held = b""
        failure: EngineUnavailable | None = None
        with closing(answer):
            try:
                for chunk in answer.stream(_CHUNK_BYTES):
                    held += chunk
                    if len(held) > _ENDING_BYTES:
                        yield held[:-_ENDING_BYTES]
                        held = held[-_ENDING_BYTES:]
            except HTTPError as error:
                failure = _unavailable(error)
        if marker in held:
            raise _told(held.partition(marker)[2].decode(errors="backslashreplace"))
        if failure is not None:
            raise failure
        yield held

    def sync_names(self, table: str) -> None:
        """Does nothing: the server syncs the folder of a part with its insert, as `fsync_part_directory` has it."""

    def sync_parts(self, table: str) -> None:
        """Does nothing: nobody else can sync a server's files. What an insert or a merge wrote is synced as the
        settings of the tables have it, what a change in place wrote when the server's system does: a loss of power
        soon after it can leave such a part damaged, and the events of a replicated table are fetched from another
        replica then."""

    def release_memory(self) -> None:
        """Does nothing: the server has others to serve, and its memory is not this process's."""

    def abandon(self) -> None:
        """See `Engine`."""
        self._abandon()

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()
        self._pool.clear()

    def _read(
        self, sql: str, parameters: Parameters, output_format: str, settings: Mapping[str, Any] = NO_PARAMETERS
    ) -> bytes:
        text, bound, needed = _bound(sql, parameters)
        return self._asked(lambda: self._client.raw_query(text, bound, {**needed, **settings}, output_format))

    def _check_version(self) -> None:
        version = self._client.server_version or ""
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers < _OLDEST:
            raise EngineError(
                f"the server at {self._client.url} is ClickHouse {version}; "
                f"{'.'.join(map(str, _OLDEST))} is the oldest that has what the table of events needs"
            )

    @staticmethod
    def _asked(ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except ClickHouseError as failure:
            raise _error(failure) from failure
        except (HTTPError, OSError) as failure:
            raise _unavailable(failure) from failure


def _no_other_owner() -> None:
    raise EngineError("a change of rollups was not answered, and may still come: start anew")


def _address(url: str) -> dict[str, Any]:
    """Where the server is, and who asks. An error says nothing of the URL, which has a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise EngineError("the URL of a ClickHouse server is http[s]://user:password@host:port")
    return {
        "interface": parts.scheme,
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
    }


def _error(failure: ClickHouseError) -> EngineError:
    code = failure.code if isinstance(failure, Error) else None
    if code is not None and code not in _UNAVAILABLE:
        return error_of(code, str(failure))
    if isinstance(failure, ProgrammingError):  # what was asked cannot even be sent
        return EngineError(str(failure))
    return _unavailable(failure)  # without a code there is no answer, or one that is not ClickHouse's


def _unavailable(failure: Exception) -> EngineUnavailable:
    _log.warning("a ClickHouse server does not answer", reason=str(failure))
    return EngineUnavailable(str(failure))


def _told(message: str) -> EngineError:
    """The error that a server tells in the middle of an answer."""
    found = _CODE.search(message)
    return error_of(int(found[1]) if found else 0, _AFTER_TOLD.sub("", message).strip())


def _bound(sql: str, parameters: Parameters) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A statement, its parameters and its settings: with long parameters as texts in the statement."""
    bound: dict[str, Any] = {}
    texts: dict[str, str] = {}
    for name, value in parameters.items():
        if _length(value) > _LONGEST_PARAMETER:
            texts[name] = _literal(value)
        else:
            bound[name] = value if isinstance(value, str | int) else [*value]
    if not texts:
        return sql, bound, {}

    def written(found: re.Match[str]) -> str:
        return f"CAST({texts[found[1]]}, {_quoted(found[2])})" if found[1] in texts else found[0]

    return _PLACEHOLDER.sub(written, sql), bound, {"max_query_size": _LONGEST_STATEMENT}


def _length(value: Parameter) -> int:
    """About as many bytes as a parameter takes."""
    if isinstance(value, str):
        return 2 * len(value)
    if isinstance(value, int):
        return 20
    return sum(2 * len(each) + 4 if isinstance(each, str) else 22 for each in value)


def _literal(value: Parameter) -> str:
    """A value as a text that `CAST` reads."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _quoted("[" + ",".join(_quoted(each) if isinstance(each, str) else str(each) for each in value) + "]")
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
