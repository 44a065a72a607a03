"""`meterhouse backup`, `restore` and `export`: a Meterhouse in a file, and out of it."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.filesize import decimal

from ..domain.export import ExportForm
from ..settings import from_environment
from .arguments import given
from .files import File, keep, open_file
from .target import Target, connect
from .terminal import errors

_LOCAL = Target()
_ACCEPT = {ExportForm.NDJSON: "application/x-ndjson", ExportForm.PARQUET: "application/vnd.apache.parquet"}


def register(app: App) -> None:
    """Adds the commands."""
    app.command(backup)
    app.command(restore)
    app.command(export)


def backup(file: File, *, target: Target = _LOCAL) -> None:
    """Takes a backup of a running server or of a folder: events, and the ledger unless it is on PostgreSQL.

    Parameters
    ----------
    file
        A new file, or - for standard output.
    """
    with connect(target, engine=True) as client, closing(client.download("/v1/backup")) as chunks:
        size = keep(file, chunks)
    errors.print(f"backup of {decimal(size)}", highlight=False)


def restore(file: File, *, data: Annotated[Path | None, Parameter(env_var="METERHOUSE_DATA")] = None) -> None:
    """Makes a data folder from a backup, after everything in it is checked.

    Parameters
    ----------
    file
        The backup, or - for standard input.
    data
        The new folder: absent, or empty. METERHOUSE_DATA, else ./meterhouse-data.
    """
    from ..offline import restore as restore_backup  # noqa: PLC0415 - see `target`

    folder = data or from_environment().data
    with ExitStack() as stack:
        restored = restore_backup(open_file(file, stack), folder)
    errors.print(f"restored {restored.events:,} events into {folder}", markup=False, highlight=False, soft_wrap=True)
    if not restored.has_ledger:
        errors.print(
            "the ledger was on PostgreSQL and is not in the backup: restore that database, and name it with "
            "METERHOUSE_LEDGER_URL",
            soft_wrap=True,
        )


def export(
    file: File,
    *,
    namespace: str | None = None,
    organization: str | None = None,
    form: Annotated[ExportForm, Parameter(name="--format")] = ExportForm.NDJSON,
    target: Target = _LOCAL,
) -> None:
    """Writes events in the order in which they were stored, so that `meterhouse ingest` can take them back.

    Parameters
    ----------
    file
        A new file, or - for standard output.
    namespace
        Only the events of this namespace.
    organization
        Only the events of this organization.
    form
        ndjson has a CloudEvent in JSON on each line; parquet a column for each attribute.
    """
    chosen = given(namespace=namespace, organization=organization)
    with (
        connect(target, engine=True) as client,
        closing(client.download("/v1/export", chosen, _ACCEPT[form])) as chunks,
    ):
        size = keep(file, chunks)
    errors.print(f"export of {decimal(size)}", highlight=False)
