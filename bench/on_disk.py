"""What an events folder holds: bytes of all tables' active parts. A process of its own, while no server runs on it."""

from __future__ import annotations

import sys
from pathlib import Path

from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine

_ACTIVE = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()"


def bytes_on_disk(folder: Path) -> int:
    """Without the parts that merges have replaced and that are soon removed."""
    engine = ChdbEngine(folder)
    [[found]] = engine.rows(_ACTIVE, {})
    engine.close()
    return int(found)


if __name__ == "__main__":
    print(bytes_on_disk(Path(sys.argv[1])))
