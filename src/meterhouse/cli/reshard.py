"""`meterhouse reshard`: another number of shards for a data folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from ..settings import from_environment
from .terminal import out

Count = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))]


def register(app: App) -> None:
    """Adds the command."""
    app.command(reshard)


def reshard(
    shards: Count, *, data: Path | None = None, catalog: Annotated[tuple[Path, ...], Parameter(negative="")] = ()
) -> None:
    """Gives a data folder another number of shards, 1 to 64: moves the events of every organization to its new shard.

    A server must not be running on the folder. Until the new shards are whole the folder stays as it is; when the
    command is interrupted later, the same command finishes its work, and a server does not start before.

    Parameters
    ----------
    shards
        How many there are to be.
    data
        The data folder. METERHOUSE_DATA, else ./meterhouse-data.
    catalog
        A catalog file; may be repeated. The five built-in ones when none is named.
    """
    from ..offline import reshard as reshard_folder  # noqa: PLC0415 - see `target`

    settings = from_environment()
    path = data or settings.data
    done = reshard_folder(path, replace(settings, catalogs=catalog or settings.catalogs), shards)
    said = []
    if done.finished is not None:
        said.append(f"what had begun is finished, {_shards(done.finished)}")
    if done.before != shards:
        said.append(f"{done.events:,} events moved from {_shards(done.before)} to {_shards(shards)}")
    elif done.finished is None:
        said.append(f"it has {_shards(shards)} already, nothing was changed")
    out.print(f"{path}: {'; '.join(said)}", markup=False, highlight=False, soft_wrap=True)


def _shards(count: int) -> str:
    return f"{count} shard{'s' if count > 1 else ''}"
