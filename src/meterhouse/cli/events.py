"""`meterhouse ingest`: events from a file, NDJSON or CSV."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import App, Parameter
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .client import Target, connect
from .csv_events import CsvMapping, read_csv
from .terminal import Failed, errors, out, print_json

_LOCAL = Target()
_SHOWN_FAILURES = 10
SOME_NOT_INGESTED = 3


def register(app: App) -> None:
    """Adds the command."""
    app.command(ingest)


def ingest(
    file: Annotated[str, Parameter(allow_leading_hyphen=True)],
    *,
    namespace: str,
    csv: CsvMapping | None = None,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    target: Target = _LOCAL,
) -> int:
    """Ingests a file of CloudEvents, one JSON object a line, or a CSV file with a mapping (`--csv.…`).

    Ingesting a file again changes nothing: an event is known by its namespace, source and id.

    Parameters
    ----------
    file
        The file, or - for standard input.
    namespace
        The namespace of the events.
    json
        Prints the totals as JSON.
    """
    totals = {"ingested": 0, "duplicates": 0, "conflicts": 0, "rejected": 0}
    failures: list[str] = []
    with ExitStack() as stack:
        stream, size_bytes = _open(file, stack)
        client = stack.enter_context(connect(target, engine=True))
        progress = stack.enter_context(_progress())
        task = progress.add_task("ingesting", total=size_bytes)
        lines = stream if csv is None else read_csv(stream, csv, "stdin" if file == "-" else Path(file).name)
        begin = 0
        events = (line.strip() for line in lines if not line.isspace())
        for report in client.send_events(namespace, events):
            for outcome in totals:
                totals[outcome] += report[outcome]
            failures += [f"event {begin + each['index'] + 1}: {each['message']}" for each in report["errors"]]
            begin = sum(totals.values())
            done = stream.tell() if stream.seekable() else None
            progress.update(task, completed=done, description=f"{begin:,} events")
    if json:
        print_json(totals)
    else:
        out.print(", ".join(f"{count:,} {outcome}" for outcome, count in totals.items()))
    for failure in failures[:_SHOWN_FAILURES]:
        errors.print(failure, markup=False, highlight=False, soft_wrap=True)
    if len(failures) > _SHOWN_FAILURES:
        errors.print(f"… and {len(failures) - _SHOWN_FAILURES:,} more")
    return SOME_NOT_INGESTED if failures else 0


def _open(file: str, stack: ExitStack) -> tuple[BinaryIO, int | None]:
    if file == "-":
        return sys.stdin.buffer, None
    try:
        return stack.enter_context(Path(file).open("rb")), Path(file).stat().st_size
    except OSError as wrong:
        raise Failed(f"{file} cannot be read: {wrong.strerror}") from None


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
