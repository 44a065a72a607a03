"""`meterhouse source …`: events from what is no file, a PostgreSQL table or a Kafka topic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Annotated

from cyclopts import App, Parameter

from .arguments import Json
from .event_sources.patience import Patience
from .event_sources.state_file import StateFile
from .ingesting.mapping import RowMapping, Rows
from .ingesting.records import Record
from .ingesting.refusals import Account, RefusedFile
from .ingesting.sending import NotSent, Sender
from .ingesting.stopping import stopped_by_signals
from .target import Target, connect
from .terminal import Failed, print_json

_LOCAL = Target()
_RETRY_S = 5
_PROPERTY = re.compile(r"\s*([A-Za-z0-9._-]+)\s*=\s*(.*?)\s*")

_source = App(name="source", help="Reads events from PostgreSQL or Kafka.")


def register(app: App) -> None:
    """Adds the commands."""
    app.command(_source)


@dataclass(frozen=True, slots=True)
class _Delivery:
    """Where events go, and what became of them."""

    sender: Sender
    account: Account
    refused: RefusedFile | None
    stopping: Event
    patience: Patience

    def store(self, records: Iterable[Record]) -> None:
        """Sends them, and tells which were refused. Raises `NotSent` when not all of them were sent."""
        for _ in self.sender.send(records):
            self.account.print_refusals(None)


@_source.command
def postgresql(
    *,
    namespace: str,
    cursor: str,
    state: Path,
    row: RowMapping,
    database: str = "",
    table: str | None = None,
    query: str | None = None,
    follow: Annotated[bool, Parameter(negative="")] = False,
    poll_seconds: Annotated[int, Parameter(show_default=True)] = 5,
    lag_seconds: int = 0,
    refused: Path | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> int:
    """Ingests the rows of a PostgreSQL table or query, and notes in a file how far it has come.

    Parameters
    ----------
    namespace
        The namespace of the events.
    cursor
        The column by which rows are read: unique, never NULL, and greater in every new row, like a bigserial.
    state
        The file that says how far rows have been read; it is made.
    database
        A PostgreSQL URL or connection string; what it does not say, like the password, libpq's own variables do.
    table
        The table, like usage or billing.usage.
    query
        Or a SELECT, whose columns are those of the rows.
    follow
        Goes on, and reads what comes, until it is told to end.
    poll_seconds
        How often it looks then.
    lag_seconds
        How much later than a greater value of the cursor a smaller one may appear, beside what transactions explain.
    refused
        A file to which rows that were refused are added, as events in JSON.
    """
    if (table is None) == (query is None):
        raise Failed("name a table with --table, or a query with --query")
    if poll_seconds < 1 or lag_seconds < 0:
        raise Failed("--poll-seconds must be at least 1, and --lag-seconds at least 0")
    if table is None and row.source is None:
        raise Failed("say with --row.source what the source of a query's events is called")
    try:
        from .event_sources.postgresql.cursor_queries import Place  # noqa: PLC0415 - an extra
        from .event_sources.postgresql.table_source import TableSource  # noqa: PLC0415 - the same
    except ImportError:
        raise Failed("reading PostgreSQL needs psycopg: pip install 'meterhouse[postgresql]'") from None
    place = Place(table, query, cursor)
    rows = Rows(row, "--row", f"postgresql:{table}")
    noted = StateFile(state, place.name)
    with _delivering(namespace, refused, target, follow=follow, json=json) as to:
        TableSource(database, place, row, rows, noted, lag_seconds, to.stopping, to.patience, to.store).run(
            poll_seconds if follow else None
        )
    return to.account.status


@_source.command
def kafka(
    *,
    namespace: str,
    brokers: str,
    topic: Annotated[tuple[str, ...], Parameter(negative="")],
    group: str,
    properties: Path | None = None,
    follow: Annotated[bool, Parameter(negative="")] = False,
    refused: Path | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> int:
    """Ingests the CloudEvents of Kafka topics, in structured or binary mode, as a member of a consumer group.

    Parameters
    ----------
    namespace
        The namespace of the events.
    brokers
        Brokers to begin with, like host:9092,other:9092.
    topic
        A topic; may be repeated.
    group
        The consumer group, whose offsets say how far messages have been read.
    properties
        A file of librdkafka's properties, like sasl.password, one a line.
    follow
        Goes on, and reads what comes, until it is told to end.
    refused
        A file to which messages that were refused are added, in JSON.
    """
    try:
        from .event_sources.kafka_source import TopicSource  # noqa: PLC0415 - an extra
    except ImportError:
        raise Failed("reading Kafka needs confluent-kafka: pip install 'meterhouse[kafka]'") from None
    given = {**_properties(properties), "bootstrap.servers": brokers, "group.id": group}
    with _delivering(namespace, refused, target, follow=follow, json=json) as to:
        TopicSource(given, topic, to.stopping, to.patience, to.store).run(follow=follow)
    return to.account.status


@contextmanager
def _delivering(
    namespace: str, refused: Path | None, target: Target, *, follow: bool, json: bool
) -> Iterator[_Delivery]:
    """Prints what became of the events in the end."""
    account = Account()
    kept = RefusedFile(refused, goes_on=True) if refused is not None else None
    with stopped_by_signals() as stopping, connect(target, engine=True, makes=True) as client:
        patience = Patience(stopping, _RETRY_S, goes_on=follow)
        sender = Sender(client, namespace, account, kept, patience.once_more)
        try:
            yield _Delivery(sender, account, kept, stopping, patience)
        except NotSent:
            if not stopping.is_set():
                raise
        finally:
            if json:
                print_json(account.totals)
            else:
                account.print_summary()


def _properties(path: Path | None) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines() if path is not None else []
    except (OSError, UnicodeDecodeError) as wrong:
        raise Failed(f"{path} cannot be read: {wrong}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            pair = _PROPERTY.fullmatch(line)
            if pair is None:
                raise Failed(f"{path}, line {number}: a property is like security.protocol=sasl_ssl")
            found[pair[1]] = pair[2]
    return found
