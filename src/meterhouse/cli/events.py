"""`meterhouse ingest`: events from a file, NDJSON or CSV."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import msgspec
from cyclopts import App
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .arguments import Json
from .batches import BATCH_BYTES, BATCH_EVENTS
from .csv_events import CsvMapping, Origin, read_csv
from .files import File, digest, open_file, rereadable, unpacked
from .json_events import read_json, read_parquet
from .target import Target, connect
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
    """Ingests a file of CloudEvents in JSON, one a line or an array, an export in Parquet, or a CSV file with a mapping
    (`--csv.…`); also when it is packed with gzip.

    Ingesting a file again changes nothing: an event is known by its namespace, organization, source
    and id.

    Parameters
    ----------
    file
        The file, or - for standard input.
    namespace
        The namespace of the events; else each event names its own, like those of an export.
    """
    if csv is not None and namespace is None:
        raise Failed("give the namespace of a CSV file's events with --namespace")
    totals = {"ingested": 0, "duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": 0}
    failures: list[str] = []
    with ExitStack() as stack:
        stream = open_file(file, stack)
        size_bytes = None if file == "-" else Path(file).stat().st_size
        client = stack.enter_context(connect(target, engine=True, makes=True))
        progress = stack.enter_context(_progress())
        task = progress.add_task("ingesting", total=size_bytes)
        for named, batch in _batches(_events(file, stream, csv, stack), namespace):
            report = client.send_batch(named, [event for _, event in batch])
            for outcome in totals:
                totals[outcome] += report[outcome]
            failures += [f"event {batch[each['index']][0]}: {each['message']}" for each in report["errors"]]
            failures = failures[:_SHOWN_FAILURES]
            done = stream.tell() if stream.seekable() else None
            progress.update(task, completed=done, description=f"{totals['ingested']:,} ingested")
    if json:
        print_json(totals)
    else:
        unmatched = totals["unmatched"]
        told = f"; no meter reads the type of {unmatched:,}" if unmatched else ""
        shown = (f"{count:,} {outcome}" for outcome, count in totals.items() if outcome != "unmatched")
        out.print(f"{', '.join(shown)}{told}", highlight=False)
    for failure in failures:
        errors.print(failure, markup=False, highlight=False, soft_wrap=True)
    failed = totals["conflicts"] + totals["rejected"]
    if failed > len(failures):
        errors.print(f"… and {failed - len(failures):,} more")
    return SOME_NOT_INGESTED if failed else 0


def _events(file: str, stream: BinaryIO, mapping: CsvMapping | None, stack: ExitStack) -> Iterator[bytes]:
    """The file's events in JSON, each on a line."""
    name = "stdin" if file == "-" else Path(file).name
    content = unpacked(stream, stack)
    if mapping is None:
        is_parquet = content.peek(4)[:4] == b"PAR1"
        return read_parquet(rereadable(content, stack), name) if is_parquet else read_json(content, name)
    if mapping.id is not None:
        return read_csv(content, mapping, Origin(name, ""))
    whole = rereadable(content, stack)
    origin = Origin(name, digest(whole))
    errors.print(
        f"no --csv.id: rows are known by the content of the file, {origin.digest}; one that has grown has other rows",
        soft_wrap=True,
        highlight=False,
    )
    return read_csv(whole, mapping, origin)


def _batches(events: Iterable[bytes], namespace: str | None) -> Iterator[tuple[str, list[tuple[int, bytes]]]]:
    """The events, numbered from 1, in batches of one namespace: the one given, or the one that each event names."""
    waiting: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    sizes: defaultdict[str, int] = defaultdict(int)
    for number, event in enumerate(events, 1):
        named = namespace or _namespace_of(number, event)
        if waiting[named] and (len(waiting[named]) == BATCH_EVENTS or sizes[named] + len(event) > BATCH_BYTES):
            yield named, waiting.pop(named)
            del sizes[named]
        waiting[named].append((number, event))
        sizes[named] += len(event) + 1
    yield from waiting.items()


def _namespace_of(number: int, event: bytes) -> str:
    try:
        return _exported.decode(event).namespace
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failed(f"event {number} names no namespace: give the namespace of all of them with --namespace") from None


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
