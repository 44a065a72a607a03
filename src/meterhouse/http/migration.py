"""Moving this server into a cluster, for the operator alone: `meterhouse migrate` asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec
from litestar import Router, delete, get, post, put
from litestar.enums import ScopeType
from litestar.params import JSONBody, Parameter, QueryParameter
from litestar.response import Stream
from litestar.types import ASGIApp, Receive, Scope, Send

from ..domain.errors import Unavailable
from ..domain.loss import Loss
from ..domain.migration import CommitRange, CopiedContent, MigrationState
from ..domain.operator_key import Role
from ..domain.shards import VIRTUAL_SHARDS, ShardMap
from ..services.migration import Migration, MigrationStatus
from .authentication import Authentication
from .forwarding import refuse
from .openapi import described
from .streams import stream_response

_PATH = "/v1/migration"
_ABOUT_THE_PROCESS = frozenset({"/healthz", "/readyz", "/metrics", _PATH})
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_BLOCKS = "application/octet-stream"
_LINES = "application/x-ndjson"
_MOST_BYTES = 32 * 1024 * 1024
"""Of the events of one range."""

After: TypeAlias = Annotated[int, Parameter(ge=0, description="Commits after this one.")]
Upto: TypeAlias = Annotated[int, Parameter(ge=1, description="Commits up to this one, and with it.")]
Shards: TypeAlias = Annotated[int, Parameter(ge=1, le=VIRTUAL_SHARDS, description="How many shards the cluster has.")]
Shard: TypeAlias = Annotated[int, Parameter(ge=0, lt=VIRTUAL_SHARDS, description="The events that will live in this.")]


class WhileServing:
    """Refuses what must not be done while the server is moved, and everything when it has moved."""

    def __init__(self, app: ASGIApp, migration: Migration):
        self._app = app
        self._migration = migration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP or scope["path"] in _ABOUT_THE_PROCESS:
            await self._app(scope, receive, send)
            return
        changes = scope["method"] not in _READS
        try:
            self._migration.enter(changes=changes)
        except Unavailable as failure:
            await refuse(failure, scope, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._migration.leave(changes=changes)


class MigrationBody(msgspec.Struct):
    """A migration: `id` is empty while there is none, `latest_commit` is the newest, and `losses` are those that were
    accepted in repairs."""

    id: str
    state: MigrationState
    latest_commit: int
    losses: list[Loss]


class MigrationChange(msgspec.Struct, forbid_unknown_fields=True):
    """Tells that whoever moves the server is there, and what is to be. A state never goes back."""

    id: str
    state: MigrationState


class RangeBody(msgspec.Struct):
    """The last commit of a range that is not too much for one answer."""

    upto: int


class ContentBody(msgspec.Struct):
    """How many events there are in some commits, and a sum of what they say; and of records of retention."""

    events: int
    said: int
    records: int
    recorded: int


def migration_router(migration: Migration, authentication: Authentication) -> Router:
    """All routes."""

    async def told(ask: Callable[..., MigrationStatus], *arguments: Any) -> MigrationBody:
        status = await asyncio.to_thread(ask, *arguments)
        return MigrationBody(status.id, status.state, status.latest_commit, status.losses)

    @get(_PATH, operation_id="getMigration", tags=["Moving"])
    async def get_migration() -> MigrationBody:
        """How far the move into a cluster is, if there is one."""
        return await told(migration.status)

    @post(_PATH, status_code=201, operation_id="beginMigration", tags=["Moving"], opt=described(problems=(409,)))
    async def begin() -> MigrationBody:
        """Begins to move the server into a cluster: from now on stored events stay as they are, so that they can be
        copied; erasures are refused, and purges and retention rest. It lapses when nothing was heard for 30 s."""
        return await told(migration.begin)

    @put(_PATH, operation_id="goOnWithMigration", tags=["Moving"], opt=described(problems=(404,)))
    async def go_on(data: JSONBody[MigrationChange]) -> MigrationBody:
        """Tells that whoever moves the server is there. While it is `paused`, every request that changes something is
        refused, for 30 s after this was said last. When it has `moved`, everything is refused, and the data folder is
        not served again."""
        return await told(migration.go_on, data.id, data.state)

    @delete(_PATH, status_code=204, operation_id="cancelMigration", tags=["Moving"], opt=described(problems=(404,)))
    async def cancel(migration_id: Annotated[str, QueryParameter(name="id", description="Of the migration.")]) -> None:
        """Gives a migration up: everything goes on."""
        await asyncio.to_thread(migration.cancel, migration_id)

    @get("/v1/migration/range", operation_id="getRangeToCopy", tags=["Moving"])
    async def get_range(after: After, upto: Upto) -> RangeBody:
        """How many of these commits one answer can have."""
        found = await asyncio.to_thread(migration.commits.fitting, CommitRange(after, upto), _MOST_BYTES)
        return RangeBody(found.upto)

    @get(
        "/v1/migration/events",
        operation_id="copyEvents",
        tags=["Moving"],
        media_type=_BLOCKS,
        opt=described(media={_BLOCKS: "Rows of the table of events, in ClickHouse's format Native."}),
    )
    async def copy_events(after: After, upto: Upto, shards: Shards, shard: Shard) -> Stream:
        """The events of some commits that will live in one of so many shards, as they are stored."""
        chunks = migration.commits.rows(CommitRange(after, upto), ShardMap.even(shards), shard)
        return await stream_response(chunks, _BLOCKS)

    @get("/v1/migration/content", operation_id="getContentToCompare", tags=["Moving"])
    async def get_content(after: After, upto: Upto) -> ContentBody:
        """What is in some commits, to be compared with what arrived."""
        found: CopiedContent = await asyncio.to_thread(migration.commits.content, CommitRange(after, upto))
        return ContentBody(found.events, found.said, found.records, found.recorded)

    @get(
        "/v1/migration/ledger",
        operation_id="copyLedger",
        tags=["Moving"],
        media_type=_LINES,
        opt=described(media={_LINES: "A table's name and a row of it on each line, secrets too."}),
    )
    async def copy_ledger() -> Stream:
        """Organizations, keys and everything else that is not an event, while the server is `paused`."""
        return await stream_response(await asyncio.to_thread(migration.ledger), _LINES)

    handlers = [get_migration, begin, go_on, cancel, get_range, copy_events, get_content, copy_ledger]
    return Router("/", route_handlers=handlers, guards=[authentication.operator_guard(Role.ADMIN)])
