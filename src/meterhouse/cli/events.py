"""`meterhouse ingest`: events from a file, or from the files that appear in a folder."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import App, Parameter
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .arguments import Json
from .files import File, open_file
from .ingesting.mapping import CsvMapping, Rows
from .ingesting.opening import begin
from .ingesting.records import Reading
from .ingesting.refusals import SOME_NOT_INGESTED, Account, RefusedFile, note
from .ingesting.sending import Sender
from .ingesting.stopping import stopped_by_signals
from .ingesting.watching import Watch
from .target import Target, connect
from .terminal import Failed, errors, out, print_json

_LOCAL = Target()


def register(app: App) -> None:
    """Adds the command."""
    app.command(ingest)


def ingest(
    file: File | None = None,
    *,
    namespace: str | None = None,
    preview: int | None = None,
    refused: Path | None = None,
    watch: Path | None = None,
    settle_seconds: Annotated[int, Parameter(show_default=True)] = 5,
    csv: CsvMapping | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> int:
    """Ingests a file of CloudEvents in JSON, one a line or an array, an export in Parquet, or any CSV or Parquet file
    with a mapping (`--csv.…`); also when it is packed with gzip.

    Ingesting a file again changes nothing: an event is known by its namespace, organization, source
    and id.

    Parameters
    ----------
    file
        The file, or - for standard input, or an address like s3://…, gs://… or https://….
    namespace
        The namespace of the events; else each event names its own, like those of an export.
    preview
        Shows so many of the first rows as events. Nothing is sent.
    refused
        A new file for what was refused, as it was.
    watch
        Instead of a file: ingests the files that appear in this folder, until it is told to end.
    settle_seconds
        How long a file in the folder has to stay as it is to be taken for whole.
    """
    if (file is None) == (watch is None):
        raise Failed("name a file, or a folder with --watch")
    if csv is not None and namespace is None and preview is None:
        raise Failed("give the namespace of a CSV file's events with --namespace")
    if csv is not None:
        Rows(csv, "--csv", "")  # says what is wrong with the options before anything is read
    if watch is not None:
        if preview is not None or refused is not None:
            raise Failed("--watch keeps what is refused in the folder, in `refused`, and has no --preview or --refused")
        return _watch(watch, settle_seconds, namespace, csv, target, json=json)
    assert file is not None
    with ExitStack() as stack:
        if preview is not None:
            reading = begin(file, open_file(file, stack), csv, stack)
            return _preview(reading, preview, json=json)
        return _ingest(file, stack, namespace=namespace, refused=refused, csv=csv, target=target, json=json)


def _ingest(
    file: str,
    stack: ExitStack,
    *,
    namespace: str | None,
    refused: Path | None,
    csv: CsvMapping | None,
    target: Target,
    json: bool,
) -> int:
    account = Account()
    stream = open_file(file, stack)
    size_bytes = Path(file).stat().st_size if stream.seekable() and file != "-" else None
    reading = begin(file, stream, csv, stack)
    kept = RefusedFile(refused, reading.heading) if refused is not None else None
    client = stack.enter_context(connect(target, engine=True, makes=True))
    with _progress() as progress:
        task = progress.add_task("ingesting", total=size_bytes)
        for _ in Sender(client, namespace, account, kept).send(reading.records):
            done = stream.tell() if size_bytes is not None else None
            progress.update(task, completed=done, description=f"{account.totals['ingested']:,} ingested")
    if json:
        print_json(account.totals)
    else:
        account.print_summary()
    for each in reading.notes():
        note(each)
    account.print_refusals(kept, by_content=reading.by_content)
    return account.status


def _preview(reading: Reading, count: int, *, json: bool) -> int:
    records = list(islice(reading.records, count))
    shown = [
        {"place": each.place, "event": msgspec.Raw(each.event)}
        if each.event is not None
        else {"place": each.place, "refused": each.wrong}
        for each in records
    ]
    if json:
        print_json(shown)
    else:
        for each in records:
            text = each.event.decode(errors="replace") if each.event is not None else f"refused: {each.wrong}"
            out.print(f"{each.place}: {text}", markup=False, highlight=False, soft_wrap=True)
    for told in reading.notes():
        note(told)
    note("this is a preview: nothing was sent")
    return SOME_NOT_INGESTED if any(each.event is None for each in records) else 0


def _watch(
    folder: Path, settle_s: int, namespace: str | None, csv: CsvMapping | None, target: Target, *, json: bool
) -> int:
    if not folder.is_dir():
        raise Failed(f"there is no folder {folder} to watch")
    if settle_s < 1:
        raise Failed(f"--settle-seconds is {settle_s}; it must be at least 1")
    with stopped_by_signals() as stopping, connect(target, engine=True, makes=True) as client:
        Watch(folder, settle_s, stopping, client, namespace, csv, json).run()
    return 0


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
