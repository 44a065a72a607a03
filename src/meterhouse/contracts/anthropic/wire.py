"""What Anthropic's reports have in common: credentials, errors, parameters, pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from ...domain.errors import Invalid
from ...domain.period import format_instant
from ..contract import bearer
from ..namespace_contract import Call, Failure, Reply, parse_sent_instant
from ..usage_buckets import Buckets, Width, bad_parameter, buckets_between, floor, next_page, page_start, width_of

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


class Error(msgspec.Struct):
    """What is wrong."""

    type: str
    message: str


class ErrorBody(msgspec.Struct):
    """The body of a failure."""

    type: str
    error: Error
    request_id: str


def credential(headers: Mapping[str, str]) -> str | None:
    """What `x-api-key` says, or a bearer token, which the library sends."""
    return headers.get("x-api-key") or bearer(headers)


def refuse(failure: Failure) -> Reply:
    """A failure as Anthropic words it."""
    kind = _TYPES.get(failure.status, "api_error" if failure.status >= 500 else "invalid_request_error")
    return Reply(failure.status, ErrorBody("error", Error(kind, failure.message), failure.request_id))


def buckets_of(call: Call, widths: Mapping[str, Width]) -> Buckets:
    """The buckets that a request asks for, whole ones, as the reports have them. Raises `Refuse`."""
    length, count = width_of(call, widths)
    start, end = _instant(call, "starting_at"), _instant(call, "ending_at") or call.now
    if start is None:
        raise bad_parameter("starting_at", "must be given, like 2026-01-31T00:00:00Z")
    start = page_start(call) or start
    if start >= end:
        raise bad_parameter("ending_at", "must be after starting_at")
    whole = floor(end, length)
    return buckets_between(floor(start, length), whole if whole == end else whole + length, length, count)


def page_of(buckets: Buckets, results: list[list[Any]]) -> Reply:
    """A page of buckets, each with its results."""
    edges = buckets.edges
    data = [
        {"starting_at": format_instant(start), "ending_at": format_instant(end), "results": found}
        for start, end, found in zip(edges[:-1], edges[1:], results, strict=True)
    ]
    following = next_page(buckets)
    return Reply(200, {"data": data, "has_more": following is not None, "next_page": following})


def _instant(call: Call, name: str) -> datetime | None:
    text = call.one(name)
    if text is None:
        return None
    try:
        return parse_sent_instant(text)
    except Invalid as wrong:
        raise bad_parameter(name, str(wrong)) from None
