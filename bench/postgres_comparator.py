"""What a good engineer would write instead: FastAPI, asyncpg and PostgreSQL. A process of its own.

It keeps the promises that it can with the usual means. An event is counted once (a unique index on namespace,
organization, source and id), durable before the answer (one transaction, synchronous_commit on), and seen by the next
read (rollups are written in the same transaction). Requests that arrive together share a transaction, as in ours:
without that, every single event would wait for a flush to disk, and for the row of its organization's hour. It does
not compare the content of duplicates, has no filters, no time zones and no contracts; meters are code.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import asyncpg  # type: ignore[import-untyped]
import msgspec
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response

from .workload import NOW

POOL, WRITERS, MAX_TOGETHER = 12, 4, 5_000
KEY = "comparator-key-0123456789"

SCHEMA = """
CREATE TABLE events (
    namespace text NOT NULL, organization text NOT NULL, source text NOT NULL, id text NOT NULL, type text NOT NULL,
    time timestamptz NOT NULL, data jsonb NOT NULL, UNIQUE (namespace, organization, source, id)
);
CREATE TABLE rollups (
    namespace text, organization text, meter text, hour timestamptz, part text, value numeric NOT NULL,
    PRIMARY KEY (namespace, organization, hour, meter, part)
) WITH (fillfactor = 50);
CREATE TABLE entities (
    namespace text, organization text, meter text, entity text, state text NOT NULL, time timestamptz NOT NULL,
    PRIMARY KEY (namespace, organization, meter, entity)
) WITH (fillfactor = 70);
CREATE TABLE members (
    namespace text, organization text, meter text, month timestamptz, member text,
    PRIMARY KEY (namespace, organization, meter, month, member)
);
"""

_INSERT_EVENTS = """
INSERT INTO events SELECT * FROM
unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::jsonb[])
ON CONFLICT DO NOTHING RETURNING namespace, organization, source, id
"""
_ADD = """
INSERT INTO rollups AS r SELECT * FROM
unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::numeric[])
ON CONFLICT (namespace, organization, hour, meter, part) DO UPDATE SET value = r.value + excluded.value
"""
# Minima, maxima and last values: the same rows, other arithmetic.
_KEEP = _ADD.replace("r.value + excluded.value", "{}(r.value, excluded.value)")
_SET_STATES = """
INSERT INTO entities AS e SELECT * FROM
unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
ON CONFLICT (namespace, organization, meter, entity) DO UPDATE SET state = excluded.state, time = excluded.time
WHERE excluded.time >= e.time
"""
_ADD_MEMBERS = """
INSERT INTO members SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
ON CONFLICT DO NOTHING
"""
# Of one organization: every meter's total and days of the month, by group where it has groups; entities by state.
_SUMMARY = """
SELECT meter, part, to_char(hour AT TIME ZONE 'UTC', 'YYYY-MM-DD'), CASE
    WHEN meter = 'coldest' THEN min(value) WHEN meter IN ('hottest', 'storage') THEN max(value) ELSE sum(value) END
FROM rollups WHERE namespace = $1 AND organization = $2 AND hour >= $3 AND hour < $4 GROUP BY 1, 2, 3
"""
_STATES = """
SELECT meter, state, count(*) FROM entities
WHERE namespace = $1 AND organization = $2 AND time >= $3 AND time < $4 GROUP BY 1, 2
"""
_MEMBERS = "SELECT meter, count(*) FROM members WHERE namespace = $1 AND organization = $2 AND month = $3 GROUP BY 1"

# By event type: (meter, property or None to count, group property). The same thirty meters as the catalogs'.
_SUMS: dict[tuple[str, str], list[tuple[str, tuple[str, ...], str | None]]] = {
    ("autoposting", "credit.used"): [("credits", ("amount",), None)],
    ("autoposting", "clip.uploaded"): [("clips_uploaded", (), None)],
    ("autoposting", "clip.rendered"): [("clips_rendered", (), None)],
    ("autoposting", "agent.run"): [("agent_runs", (), None), ("agent_posts_generated", ("posts_generated",), None)],
    ("autoposting", "ai.usage"): [
        ("ai_tokens", ("input_tokens", "output_tokens"), "model"),
        ("ai_input_tokens", ("input_tokens",), "model"),
        ("ai_output_tokens", ("output_tokens",), "model"),
        ("ai_requests", (), "model"),
        ("ai_cost", ("cost",), "model"),
    ],
    ("aitronos", "ai.request"): [
        ("requests", (), "model"),
        ("neurons", ("neurons",), "model"),
        ("synapses", ("synapses",), "model"),
        ("cost", ("cost",), "model"),
    ],
    ("unsiloed", "credit.used"): [("credits", ("amount",), "operation")],
    ("onepin", "line.generated"): [
        ("credits", ("credits",), "user_id"),
        ("lines", (), "locale"),
        ("characters", ("characters",), "locale"),
        ("corrected_words", ("corrected_words",), "locale"),
    ],
    ("onepin", "audio.delivered"): [("audio_ms", ("audio_ms",), None)],
    ("fleet", "device.reading"): [("average_sum", ("celsius",), None), ("average_count", (), None)],
}
_STATE_METERS = {
    ("autoposting", "post.state"): ("posts", "post_id", "state"),
    ("onepin", "run.state"): ("runs", "run_id", "state"),
    ("octolens", "keyword.state"): ("keywords", "keyword_id", "state"),
    ("fleet", "device.reading"): ("storage", "", "bytes_stored"),  # the last value is a state of the organization
}
_UNIQUE_METERS = {
    ("autoposting", "agent.run"): ("agents", "agent_id"),
    ("octolens", "mention.found"): ("mentions", "mention_id"),
    ("fleet", "device.reading"): ("devices", "device_id"),
}
_EXTREMES = {("fleet", "device.reading"): (("coldest", "LEAST", "celsius"), ("hottest", "GREATEST", "celsius"))}


class Event(msgspec.Struct):
    """A CloudEvent."""

    specversion: str
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    source: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    type: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    data: msgspec.Raw
    time: datetime | None = None


class Report(msgspec.Struct):
    """What became of the events of a request."""

    ingested: int = 0
    duplicates: int = 0
    errors: list[str] = []


Row = tuple[Any, ...]
_event = msgspec.json.Decoder(Event)
_data = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


@dataclass(slots=True)
class _Rollup:
    """What a transaction adds, rows in key order so that no two transactions wait for each other in a circle."""

    sums: dict[Row, Decimal] = field(default_factory=dict)
    extremes: dict[str, dict[Row, Decimal]] = field(default_factory=lambda: {"LEAST": {}, "GREATEST": {}})
    states: dict[Row, Row] = field(default_factory=dict)
    members: set[Row] = field(default_factory=set)

    def add(self, namespace: str, event: Event, at: datetime, data: dict[str, Any]) -> None:
        scope, kind = (namespace, event.subject), (namespace, event.type)
        hour = at.replace(minute=0, second=0, microsecond=0)
        for meter, names, group in _SUMS.get(kind, ()):
            key = (*scope, meter, hour, str(data[group]) if group else "")
            value = sum((Decimal(data.get(name) or 0) for name in names), Decimal(0)) if names else Decimal(1)
            self.sums[key] = self.sums.get(key, Decimal(0)) + value
        for meter, function, name in _EXTREMES.get(kind, ()):
            key, value, kept = (*scope, meter, hour, ""), Decimal(data[name]), self.extremes[function]
            kept[key] = value if key not in kept else (min if function == "LEAST" else max)(kept[key], value)
        if found := _STATE_METERS.get(kind):
            meter, entity, state = found
            owner = (*scope, meter, str(data[entity]) if entity else "")
            if owner not in self.states or self.states[owner][1] <= at:
                self.states[owner] = (str(data[state]), at)
        if unique := _UNIQUE_METERS.get(kind):
            self.members.add((*scope, unique[0], hour.replace(day=1, hour=0), str(data[unique[1]])))

    async def write(self, connection: Any) -> None:
        upserts = [
            (_ADD, sorted((*key, value) for key, value in self.sums.items())),
            *(
                (_KEEP.format(function), sorted((*key, value) for key, value in kept.items()))
                for function, kept in self.extremes.items()
            ),
            (_SET_STATES, sorted((*key, *value) for key, value in self.states.items())),
            (_ADD_MEMBERS, sorted(self.members)),
        ]
        for statement, rows in upserts:
            if rows:
                await connection.execute(statement, *zip(*rows, strict=True))


@dataclass(slots=True)
class _Submission:
    namespace: str
    events: list[tuple[Event, datetime, dict[str, Any]]]
    done: asyncio.Future[Report]


class Store:
    """Writes what waits in as few transactions as there are."""

    def __init__(self, pool: Any):
        self.pool = pool
        self.waiting: asyncio.Queue[_Submission] = asyncio.Queue(1_000)

    async def write(self) -> None:
        """One of the writers."""
        while True:
            together = [await self.waiting.get()]
            size = len(together[0].events)
            while size < MAX_TOGETHER and not self.waiting.empty():
                together.append(self.waiting.get_nowait())
                size += len(together[-1].events)
            try:
                reports = await self._commit(together)
            except Exception as failure:  # noqa: BLE001 - it belongs to those who wait
                for submission in together:
                    submission.done.set_exception(failure)
            else:
                for submission, report in zip(together, reports, strict=True):
                    submission.done.set_result(report)

    async def _commit(self, together: list[_Submission]) -> list[Report]:
        # Sorted, so that two transactions with the same duplicates do not wait for each other in a circle.
        rows = sorted(
            (each.namespace, event.subject, event.source, event.id, event.type, at, bytes(event.data).decode())
            for each in together
            for event, at, _ in each.events
        )
        reports = []
        async with self.pool.acquire() as connection, connection.transaction():
            stored = await connection.fetch(_INSERT_EVENTS, *zip(*rows, strict=True))
            fresh = {tuple(row) for row in stored}
            rollup = _Rollup()
            for submission in together:
                report = Report()
                for event, at, data in submission.events:
                    identity = (submission.namespace, event.subject, event.source, event.id)
                    if identity in fresh:
                        fresh.remove(identity)
                        rollup.add(submission.namespace, event, at, data)
                        report.ingested += 1
                    else:
                        report.duplicates += 1
                reports.append(report)
            await rollup.write(connection)
        return reports


def create_app(uri: str) -> FastAPI:
    """The application, on an empty database."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(uri, min_size=POOL, max_size=POOL) as pool:
            await pool.execute(SCHEMA)
            app.state.store = Store(pool)
            writers = [asyncio.create_task(app.state.store.write()) for _ in range(WRITERS)]
            yield
            for writer in writers:
                writer.cancel()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    def check(authorization: str | None) -> None:
        if authorization != f"Bearer {KEY}":
            raise HTTPException(401)

    @app.post("/v1/events")
    async def ingest(
        request: Request, namespace: str, authorization: Annotated[str | None, Header()] = None
    ) -> Response:
        check(authorization)
        body, now = await request.body(), datetime.now(UTC)
        try:
            decoded = [_event.decode(line) for line in body.split(b"\n") if line]
            events = [(event, event.time or now, _data.decode(event.data)) for event in decoded]
        except msgspec.DecodeError as wrong:
            raise HTTPException(400, str(wrong)) from None
        submission = _Submission(namespace, events, asyncio.get_running_loop().create_future())
        await request.app.state.store.waiting.put(submission)
        return Response(msgspec.json.encode(await submission.done), media_type="application/json")

    @app.get("/v1/usage/{namespace}/{organization}")
    async def usage(
        request: Request, namespace: str, organization: str, authorization: Annotated[str | None, Header()] = None
    ) -> Response:
        check(authorization)
        start = NOW.replace(day=1, hour=0)
        end = start.replace(month=start.month + 1)
        scope = (namespace, organization)
        # One after another on one connection: three queries on three connections are slower when many ask.
        async with request.app.state.store.pool.acquire() as connection:
            rows = await connection.fetch(_SUMMARY, *scope, start, end)
            states = await connection.fetch(_STATES, *scope, start, end)
            members = await connection.fetch(_MEMBERS, *scope, start)
        totals: dict[str, Decimal] = {}
        groups: dict[str, dict[str, Decimal]] = {}
        days: dict[str, dict[str, Decimal]] = {}
        for meter, part, day, value in rows:
            combine = min if meter == "coldest" else max if meter == "hottest" else Decimal.__add__
            for row, key in ((totals, meter), (groups.setdefault(meter, {}), part), (days.setdefault(meter, {}), day)):
                row[key] = combine(row[key], value) if key in row else value
        by_state: dict[str, dict[str, int]] = {}
        for meter, state, count in states:
            by_state.setdefault(meter, {})[state] = count
        body = {
            "totals": totals,
            "groups": groups,
            "days": days,
            "states": by_state,
            "unique": dict(map(tuple, members)),
        }
        return Response(msgspec.json.encode(body), media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(create_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", access_log=False)
