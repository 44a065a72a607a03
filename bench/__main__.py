"""`make bench`: Meterhouse, the ceiling of its engine, PostgreSQL and the ceiling of HTTP, in one run."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path

from cyclopts import App

from .run import Phase, Run, Size
from .table import Results, show, to_json
from .targets import lines_of

MOST_SENT = 1_000_000

app = App(name="bench", result_action="return_value")


@app.default
def bench(
    *,
    events: int = 1_000_000,
    sent: int | None = None,
    reference_events: int | None = None,
    requests: int = 300,
    seconds: float = 5,
    history: Path | None = None,
    only: Phase | None = None,
    output: Path = Path("bench/results/latest.json"),
) -> None:
    """Measures a server with that many events in it.

    Parameters
    ----------
    events
        Events of the whole workload.
    sent
        How many of them go over HTTP, the newest; the others are made in the engine beforehand. All up to a million.
    reference_events
        How many there are where reads are measured to compare with; a million, or a tenth when there are fewer.
    requests
        Reads of each summary for its quantiles; for a rate a hundred times as many.
    seconds
        At most so long for each of them.
    history
        A data folder with the events that are not sent, made by `python -m bench.fill HISTORY …`. It is written
        to: for one run only.
    only
        The only phase to measure; all when absent.
    output
        Where to write the figures as JSON.
    """
    size = Size(
        events=events,
        sent=min(events, MOST_SENT if sent is None else sent),
        reference=reference_events or (1_000_000 if events > 1_000_000 else max(events // 10, 60)),
        requests=requests,
        seconds=seconds,
        history=history,
    )
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as folder:
        run = Run(Path(folder), size, tuple(Phase) if only is None else (only,)).measure()
    context: dict[str, str | int | float] = {
        "events": events,
        "of them made in the engine": events - size.sent,
        "sent": size.sent,
        "sent later, while reading": run.ours.sent_under_reads if run.ours else 0,
        "made a second": round(run.fill_rate),
        "load client, of a core at most": round(run.client_share, 2),
        "cores": os.cpu_count() or 0,
        "Python": platform.python_version(),
    }
    results = Results(context, lines_of(run))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(to_json(results))
    show(results)


if __name__ == "__main__":
    app()
