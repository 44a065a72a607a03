"""`meterhouse verify` and `repair`: whether a data folder is whole, and what to do when it is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ..domain.errors import MeterhouseError
from ..settings import from_environment
from .terminal import errors, out

AcceptLoss = Annotated[bool, Parameter(negative="")]
Catalogs = Annotated[tuple[Path, ...], Parameter(negative="")]


def register(app: App) -> None:
    """Adds the commands."""
    app.command(verify)
    app.command(repair)


def verify(path: Path | None = None, *, catalog: Catalogs = ()) -> int:
    """Reads all of a data folder, or of a backup, and says whether it is whole; for a cron job, on backups.

    Exits with 1 when it is not. A server must not be running on the folder. What the engine cannot read it sets aside
    in the folder, as at a start; nothing else is changed.

    Parameters
    ----------
    path
        A data folder, or a file with a backup. METERHOUSE_DATA, else ./meterhouse-data.
    catalog
        A catalog file; may be repeated. The five built-in ones when none is named.
    """
    from ..offline import verify as problems_of  # noqa: PLC0415 - see `target`

    settings = from_environment()
    path = path or settings.data
    try:
        problems = problems_of(path, replace(settings, catalogs=catalog or settings.catalogs))
    except (MeterhouseError, OSError) as wrong:
        problems = [str(wrong)]
    for problem in problems:
        errors.print(f"- {problem}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"{path}: {'whole' if not problems else 'NOT whole'}", markup=False, highlight=False, soft_wrap=True)
    return 1 if problems else 0


def repair(path: Path | None = None, *, accept_loss: AcceptLoss = False, catalog: Catalogs = ()) -> int:
    """Puts a damaged data folder right: takes back what is sound, drops what is derived, and says what is lost.

    Exits with 1, and the server does not start, as long as anything is lost and that is not accepted. What cannot be
    read is set aside in the folder, never deleted.

    Parameters
    ----------
    path
        The data folder; no server may be running on it. METERHOUSE_DATA, else ./meterhouse-data.
    accept_loss
        Go on without what is lost. Answers say from then on that they may be incomplete.
    catalog
        A catalog file; may be repeated. The five built-in ones when none is named.
    """
    from ..offline import repair as repair_folder  # noqa: PLC0415 - see `target`

    settings = from_environment()
    path = path or settings.data
    report = repair_folder(path, replace(settings, catalogs=catalog or settings.catalogs), accept_loss=accept_loss)
    for heading, entries in (("done", report.done), ("lost", report.lost)):
        for entry in entries:
            out.print(f"{heading}: {entry}", markup=False, highlight=False, soft_wrap=True)
    if not report.lost:
        out.print(f"{path}: nothing is lost; the server can start", markup=False, highlight=False, soft_wrap=True)
        return 0
    if report.accepted:
        out.print(
            f"{path}: the loss is written down; the server can start", markup=False, highlight=False, soft_wrap=True
        )
        return 0
    errors.print(
        "restore a backup; or go on without what is lost: meterhouse repair --accept-loss",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return 1
