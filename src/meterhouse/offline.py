"""What is done with a data folder that nobody serves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .catalog_files import load_catalogs
from .clocks import SystemClock
from .domain.errors import FolderError
from .settings import Settings
from .storage.clickhouse.engine.engine import EngineError
from .storage.folder import SHARDS, DataFolder
from .storage.opening import open_ledger
from .storage.reserved_space import ReservedSpace
from .storage.shard_folders import prepare_shards

if TYPE_CHECKING:
    from .storage.repair import Report
    from .storage.reshard import Resharded
    from .storage.restoring import Restored


def has_shards(path: Path) -> bool:
    """Whether a data folder has several shards."""
    return (path / SHARDS).exists()


@contextmanager
def shards_prepared(settings: Settings) -> Iterator[tuple[int, Callable[[str], None]]]:
    """Holds the data folder of several shards, and answers how many there are, and what is told the URL of its server;
    makes them where the folder is new. Raises `FolderError` where it has another number."""
    with closing(DataFolder(settings.data)) as folder:
        with closing(open_ledger(settings.ledger_url, folder, ReservedSpace(folder.journal / "spare"))) as ledger:
            count = prepare_shards(folder, ledger, settings.shards)
        yield count, folder.announce


def restore(source: BinaryIO, data: Path) -> Restored:
    """Makes a data folder from a backup. Raises `BackupError` and `FolderError`; nothing has changed then."""
    from .storage.restoring import restore as restore_backup  # noqa: PLC0415 - with it comes the engine

    return restore_backup(source, data)


def verify(path: Path, settings: Settings) -> list[str]:
    """Every problem of a data folder that nobody serves, or of a backup in a file; none when it is whole. Raises
    `FolderError` when a folder cannot be opened, and `BackupError` for a backup that is not whole."""
    from .storage.verification import verify as verify_folder  # noqa: PLC0415 - with it comes the engine

    if not path.is_dir():
        with tempfile.TemporaryDirectory(prefix="meterhouse-verify-") as folder, path.open("rb") as source:
            restore(source, Path(folder) / "data")
            return verify(Path(folder) / "data", replace(settings, ledger_url=None))
    with closing(DataFolder(path, repairing=True)) as data:
        meters = load_catalogs(settings.catalogs).meters()
        return list(verify_folder(data, settings.ledger_url, meters))


def reshard(path: Path, settings: Settings, count: int) -> Resharded:
    """Gives a data folder that nobody serves so many shards. Raises `FolderError`."""
    from .storage.reshard import reshard as reshard_folder  # noqa: PLC0415 - with it comes the engine

    if not path.is_dir():
        raise FolderError(f"{path} is no data folder")
    meters = load_catalogs(settings.catalogs).meters()
    return reshard_folder(path, count, settings.ledger_url, meters)


def repair(path: Path, settings: Settings, *, accept_loss: bool) -> Report:
    """Puts a data folder right; see `storage.folder_repair`. Raises `FolderError`."""
    from .storage.folder_repair import FolderRepair  # noqa: PLC0415 - with it comes the engine

    if not path.is_dir():
        raise FolderError(f"{path} is no data folder")
    meters = load_catalogs(settings.catalogs).meters()
    with closing(DataFolder(path, repairing=True)) as folder:
        try:
            return FolderRepair(folder, settings.ledger_url, meters, SystemClock().now()).run(accept_loss=accept_loss)
        except (EngineError, OSError) as failure:
            raise FolderError(f"{path} cannot be repaired: {failure}; restore a backup") from failure
