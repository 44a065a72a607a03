"""`make bench`: Meterhouse, the ceiling of its engine, PostgreSQL and the ceiling of HTTP, in one run."""

from __future__ import annotations

import os
import platform
import tempfile
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from .run import Phase, Run, Size
from .shards import ShardRun, lines_of_shards
from .table import Line, Results, show, to_json
from .targets import lines_of

MOST_SENT = 1_000_000

Context = dict[str, str | int | float]
"""What the title of a table says."""

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
    shards: Annotated[int | None, Parameter(validator=validators.Number(gte=2, lte=64))] = None,
    turns: int = 2,
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
    shards
        Measures a server with so many shards beside one with a single shard, and nothing else.
    turns
        How often each of the two is measured, in turn.
    output
        Where to write the figures as JSON.
    """
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as folder:
        if shards is not None:
            several = ShardRun(Path(folder), shards, events, requests, seconds)
            lines = lines_of_shards(several.measure(turns))
            context: Context = {"events": events, "shards": shards, "turns": turns}
            _report(context, several.client_share, lines, output)
            return
        size = Size(
            events=events,
            sent=min(events, MOST_SENT if sent is None else sent),
            reference=reference_events or (1_000_000 if events > 1_000_000 else max(events // 10, 60)),
            requests=requests,
            seconds=seconds,
            history=history,
        )
        run = Run(Path(folder), size, tuple(Phase) if only is None else (only,)).measure()
    context = {
        "events": events,
        "of them made in the engine": events - size.sent,
        "sent": size.sent,
        "sent later, while reading": run.ours.sent_under_reads if run.ours else 0,
        "made a second": round(run.fill_rate),
    }
    _report(context, run.client_share, lines_of(run), output)


def _report(context: Context, client_share: float, lines: list[Line], output: Path) -> None:
    whole: Context = {
        **context,
        "load client, of a core at most": round(client_share, 2),
        "cores": os.cpu_count() or 0,
        "Python": platform.python_version(),
    }
    results = Results(whole, lines)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(to_json(results))
    show(results)


if __name__ == "__main__":
    app()
