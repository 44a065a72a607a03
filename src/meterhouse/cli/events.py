"""`meterhouse ingest`: events from a file, NDJSON or CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
from cyclopts import App
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .arguments import Json
from .csv_events import CsvMapping, read_csv
from .files import File, open_file
from .target import BATCH_EVENTS, Target, connect
from .terminal import Failed, errors, out, print_json

_LOCAL = Target()
_SHOWN_FAILURES = 10
SOME_NOT_INGESTED = 3


class _Exported(msgspec.Struct):
    namespace: str


_exported = msgspec.json.Decoder(_Exported)


def register(app: App) -> None:
    """Adds the command."""
    app.command(ingest)


def ingest(
    file: File,
    *,
    namespace: str | None = None,
    csv: CsvMapping | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> int:
    """Ingests a file of CloudEvents, one JSON object a line, or a CSV file with a mapping (`--csv.…`).

    Ingesting a file again changes nothing: an event is known by its namespace, source and id.

    Parameters
    ----------
    file
        The file, or - for standard input.
    namespace
        The namespace of the events; else each event names its own, like those of an export.
    """
    if csv is not None and namespace is None:
        raise Failed("give the namespace of a CSV file's events with --namespace")
    totals = {"ingested": 0, "duplicates": 0, "conflicts": 0, "rejected": 0}
    failures: list[str] = []
    with ExitStack() as stack:
        stream = open_file(file, stack)
        size_bytes = None if file == "-" else Path(file).stat().st_size
        client = stack.enter_context(connect(target, engine=True, makes=True))
        progress = stack.enter_context(_progress())
        task = progress.add_task("ingesting", total=size_bytes)
        lines = stream if csv is None else read_csv(stream, csv, "stdin" if file == "-" else Path(file).name)
        events = (line.strip() for line in lines if not line.isspace())
        for named, batch in _batches(events, namespace):
            [report] = client.send_events(named, [event for _, event in batch])
            for outcome in totals:
                totals[outcome] += report[outcome]
            failures += [f"event {batch[each['index']][0]}: {each['message']}" for each in report["errors"]]
            done = stream.tell() if stream.seekable() else None
            progress.update(task, completed=done, description=f"{sum(totals.values()):,} events")
    if json:
        print_json(totals)
    else:
        out.print(", ".join(f"{count:,} {outcome}" for outcome, count in totals.items()))
    for failure in failures[:_SHOWN_FAILURES]:
        errors.print(failure, markup=False, highlight=False, soft_wrap=True)
    if len(failures) > _SHOWN_FAILURES:
        errors.print(f"… and {len(failures) - _SHOWN_FAILURES:,} more")
    return SOME_NOT_INGESTED if failures else 0


def _batches(events: Iterable[bytes], namespace: str | None) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """The events, numbered from 1, in batches of one namespace: the one given, or the one that each event names."""
    waiting: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for number, event in enumerate(events, 1):
        named = namespace or _namespace_of(number, event)
        waiting[named].append((number, event))
        if len(waiting[named]) == BATCH_EVENTS:
            yield named, waiting.pop(named)
    yield from waiting.items()


def _namespace_of(number: int, event: bytes) -> str:
    try:
        return _exported.decode(event).namespace
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failed(f"event {number} names no namespace: give the namespace of all of them with --namespace") from None


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
