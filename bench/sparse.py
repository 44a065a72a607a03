"""What many small organizations take on disk: `python -m bench.sparse EVENTS EACH`, the workload with EACH events by
organization, in bytes an event. With few events in a slot, rollups take more."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .servers import ADMIN, meterhouse, settle
from .workload import PRODUCTS, batches

_SUBJECT = re.compile(rb'"subject":"[^"]*"')
_BATCH = 1_000


def fill(data: Path, events: int, each: int) -> int:
    """Sends them, and waits for rollups and merges; how many there are."""
    sent = 0
    with meterhouse(data, cached=False) as server:
        for product in PRODUCTS:
            for body in batches(product, events // len(PRODUCTS), _BATCH):
                lines = []
                for line in body.split(b"\n"):
                    lines.append(_SUBJECT.sub(b'"subject":"small-%d"' % (sent // each), line))
                    sent += 1
                headers = {**ADMIN, "content-type": "application/x-ndjson"}
                path = f"/v1/events?namespace={product.namespace}"
                server.http.post(path, content=b"\n".join(lines), headers=headers).raise_for_status()
        settle(server)
    return sent


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as folder:
        sent = fill(Path(folder) / "data", int(sys.argv[1]), int(sys.argv[2]))
        command = [sys.executable, "-m", "bench.on_disk", str(Path(folder) / "data" / "events")]
        print(round(float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) / sent, 1))
