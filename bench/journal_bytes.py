"""What is written to the journal for an event, in bytes: `python -m bench.journal_bytes EVENTS SIZE`, sent by SIZE.

A process of its own: it can have one engine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from meterhouse.cli.client import client_of
from meterhouse.cli.logs import configure_logging
from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.journal.segment import Record, Segment
from meterhouse.wiring import open_meterhouse

from .servers import ADMIN_KEY
from .workload import CATALOGS, NOW, PRODUCTS, batches


def bytes_an_event(folder: Path, events: int, size: int) -> float:
    """One batch after another, each a commit of its own."""
    written: list[tuple[int, int]] = []
    append = Segment.append

    def append_and_note(segment: Segment, record: Record) -> None:
        before = segment.size
        append(segment, record)
        written.append((record.events, segment.size - before))

    Segment.append = append_and_note  # type: ignore[method-assign]
    settings = Settings(data=folder, admin_key=ADMIN_KEY, catalogs=tuple(CATALOGS), now=NOW)
    with open_meterhouse(settings) as meterhouse, client_of(meterhouse) as client:
        for product in PRODUCTS:
            for body in batches(product, events // len(PRODUCTS), size):
                path = f"/v1/events?namespace={product.namespace}"
                client.call("POST", path, body, media_type="application/x-ndjson")
    return sum(size for _, size in written) / sum(events for events, _ in written)


if __name__ == "__main__":
    configure_logging("warning")
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as data:
        print(round(bytes_an_event(Path(data) / "data", int(sys.argv[1]), int(sys.argv[2])), 1))
