"""`GET /usage/activity`: what happened in the workspace, newest first, page by page."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from ...domain.errors import Invalid
from ...domain.event import Event
from ...domain.json_reading import Property, decode_data, read_text
from ...domain.organization import MAX_NAME, Caller
from ...domain.period import ALL_TIME
from ...ports.usage_reader import UsageReader
from ..contract import Answer, DateTime, Refusal, Refused, Request, timestamp
from .window import RANGES, Meta, check_workspace, meta, zone

EVENT_TYPE = "workspace.activity"
ACTIONS = (
    "workflow_run",
    "voice_generated",
    "template_applied",
    "member_invited",
    "api_key_created",
    "settings_changed",
)
DEFAULT_LIMIT, MAX_LIMIT = 20, 100


class User(msgspec.Struct):
    """Who did it."""

    id: str
    name: str


class Resource(msgspec.Struct):
    """What it was done to."""

    type: str
    id: str | None
    name: str | None


class Entry(msgspec.Struct):
    """One thing that happened; `user` is null for what nobody in particular did."""

    id: str
    timestamp: DateTime
    user: User | None
    action: str
    kind: str
    resource: Resource
    metadata: dict[str, Any] | None
    ip: str | None


class Pagination(msgspec.Struct):
    """Cursors of the pages beside this one; null where there is none. All pages show one state of the store."""

    next: str | None
    prev: str | None
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]


class ActivityBody(msgspec.Struct):
    """The 200 answer."""

    data: list[Entry]
    meta: Meta
    pagination: Pagination


def usage_activity(request: Request, caller: Caller, usage: UsageReader) -> Answer:
    """One page. A cursor belongs to the workspace and the filters it was given for, and carries the range itself."""
    check_workspace(request, usage)
    length = request.choice("range", tuple(RANGES)) or "30d"
    action = request.choice("type", ACTIONS)
    limit = _limit(request)
    where = zone(request, usage)
    filters: dict[str, tuple[str, ...]] = {"action": (action,) if action else ACTIONS}
    user_id = request.parameter("user_id")
    if user_id is not None:
        if not _is_member(user_id, caller, usage):
            raise Refused(Refusal.NOT_FOUND, message="User is not a member of this workspace")
        filters["user.id"] = (user_id,)
    cursor = request.parameter("cursor")
    try:
        page = usage.events(EVENT_TYPE, where.days(length).period, filters, limit, cursor)
    except Invalid as wrong:
        raise Refused(Refusal.INVALID, "cursor", str(wrong)) from None
    pagination = Pagination(page.older, page.newer, limit)
    return Answer(200, ActivityBody([_entry(event) for event in page.events], meta(request), pagination))


def _limit(request: Request) -> int:
    text = request.parameter("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_LIMIT):
        raise Refused(Refusal.INVALID, "limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _is_member(user_id: str, caller: Caller, usage: UsageReader) -> bool:
    """Whether a credential of the workspace stands for the user, or one of its events names them."""
    if not 1 <= len(user_id) <= MAX_NAME:
        return False
    return (
        user_id == caller.user_id
        or user_id in usage.key_users()
        or bool(usage.events(EVENT_TYPE, ALL_TIME, {"user.id": (user_id,)}, 1).events)
        or usage.total("lines", ALL_TIME, {"user_id": user_id}) > 0
        or usage.total("runs", ALL_TIME, {"user_id": user_id}) > 0
    )


def _entry(event: Event) -> Entry:
    """What the event says; texts that it does not say are empty where the contract has no null."""
    data = decode_data(event.data)
    assert isinstance(data, dict)
    user_id, metadata = read_text(data, "user.id"), data.get("metadata")
    return Entry(
        id=event.id,
        timestamp=timestamp(event.time),
        user=User(user_id, read_text(data, "user.name")) if user_id else None,
        action=read_text(data, "action"),
        kind=read_text(data, "kind"),
        resource=Resource(
            type=read_text(data, "resource.type"),
            id=_text_or_none(data, "resource.id"),
            name=_text_or_none(data, "resource.name"),
        ),
        metadata=metadata if isinstance(metadata, dict) else None,
        ip=_text_or_none(data, "ip"),
    )


def _text_or_none(data: Property, path: str) -> str | None:
    return read_text(data, path) or None
