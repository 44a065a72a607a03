"""The lines of the table: every figure beside what bounds it, and what is wanted of it."""

from __future__ import annotations

from .queries import WANTED_MS
from .run import SIZES, Measurements
from .table import Line


def lines_of(run: Measurements) -> list[Line]:
    """All that was measured, in the order of the table."""
    return [*_ingest(run), *_summaries(run), *_queries(run), *_rates(run), *_http(run), *_resources(run)]


def _ingest(run: Measurements) -> list[Line]:
    if not run.engine or run.ours is None or run.postgres is None:
        return []
    ours, theirs = run.ours.ingest, run.postgres.ingest
    ceiling, alone = run.engine[10_000], "one by one"
    wanted = {"by the thousand": 3, "by the hundred": 3.5, alone: 3}
    return [
        Line("the engine's ceiling, 1,000 a time", run.engine[1_000], "events/s"),
        Line("the engine's ceiling, 10,000 a time", ceiling, "events/s"),
        _least(
            "ingest by the thousand, 16 connections", ours["by the thousand"].rate, "events/s", "engine", ceiling, 0.4
        ),
        *(
            _least(
                f"ingest {name}, {connections} connections",
                ours[name].rate,
                "events/s",
                "PostgreSQL",
                theirs[name].rate,
                wanted[name],
            )
            for name, (_, connections, _) in SIZES.items()
        ),
        Line("ingest one by one, 64 connections, p99", ours[alone].latency.p99, "ms", target=15),
        Line("  the same, PostgreSQL", theirs[alone].latency.p99, "ms"),
    ]


def _summaries(run: Measurements) -> list[Line]:
    lines = []
    for name, idle in run.ours.idle.items() if run.ours else ():
        busy, fewer = run.ours.busy[name], run.reference[name]
        median, longest = run.ours.anew[name]
        lines += [
            Line(f"summary {name}, just after a rollup, p50", median, "ms"),
            Line(f"summary {name}, just after a rollup, longest of 20", longest, "ms", target=25),
            Line(f"summary {name}, idle, p50", idle.p50, "ms"),
            Line(f"summary {name}, idle, p99", idle.p99, "ms", target=25),
            Line(f"summary {name}, under half of full ingest, p50", busy.p50, "ms"),
            Line(f"summary {name}, under half of full ingest, p99", busy.p99, "ms", target=25),
            Line(
                f"summary {name}, idle, p99 against fewer events",
                idle.p99,
                "ms",
                fewer.p99,
                1.5,
                compared_with=f"at {run.size.reference:,}",
            ),
        ]
    return lines


def _queries(run: Measurements) -> list[Line]:
    lines = []
    for kind, measured in run.ours.queries.items() if run.ours else ():
        assert run.postgres
        median, slowest = run.postgres.queries[kind]
        lines += [
            Line(f"query: {kind}, p50", measured.p50, "ms", median, compared_with="PostgreSQL"),
            Line(f"query: {kind}, p99", measured.p99, "ms", target=WANTED_MS[kind]),
            Line("  the same", measured.p99, "ms", slowest, compared_with="PostgreSQL"),
        ]
    return lines


def _rates(run: Measurements) -> list[Line]:
    if run.ours is None or run.ours.reads is None or run.cached is None:
        return []
    assert run.postgres is not None
    assert run.postgres.reads is not None  # of the same phase
    theirs, http = run.postgres.reads.per_s, run.constant[True].per_s
    return [
        _least("summaries a second, uncached", run.ours.reads.per_s, "/s", "PostgreSQL", theirs, 1),
        _least("summaries a second, cached", run.cached.per_s, "/s", "PostgreSQL", theirs, 20),
        _least("  the same", run.cached.per_s, "/s", "HTTP", http, 0.6),
    ]


def _http(run: Measurements) -> list[Line]:
    if not run.constant:
        return []
    observed, bare = run.constant[True].per_s, run.constant[False].per_s
    return [
        Line("a constant over HTTP, bare", bare, "/s"),
        _least("a constant over HTTP, with request ids and metrics", observed, "/s", "bare HTTP", bare, 0.8),
    ]


def _resources(run: Measurements) -> list[Line]:
    if run.ours is None:
        return []
    stored = run.bytes_an_event
    beside = (
        [
            Line("  the same", stored, "", run.postgres.bytes_an_event, 0.25, compared_with="PostgreSQL"),
        ]
        if run.postgres
        else []
    )
    return [
        Line("on disk, bytes an event", stored, "", target=90),
        *beside,
        Line("restart to ready", run.restart_seconds, "s", target=5),
        Line("until rollups had caught up with the ingest", run.ours.folding_seconds, "s"),
        Line("resident memory, idle", run.ours.idle_mib, "MiB", target=200),
        Line("resident memory, the most there was", run.ours.most_mib, "MiB", target=1_500),
    ]


def _least(name: str, figure: float, unit: str, beside: str, other: float, target: float) -> Line:  # noqa: PLR0917
    return Line(name, figure, unit, other, target, "at least", beside)
