"""What OpenAI's usage and costs have in common: errors, parameters, pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from ...domain.errors import Invalid
from ..namespace_contract import Call, Failure, Reply
from ..unix_seconds import parse_seconds, seconds
from ..usage_buckets import Buckets, Width, bad_parameter, buckets_between, next_page, page_start, width_of

_TYPES = {401: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 403: "insufficient_permissions"}


class Error(msgspec.Struct):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(msgspec.Struct):
    """The body of a failure."""

    error: Error


def refuse(failure: Failure) -> Reply:
    """A failure as OpenAI words it."""
    kind = _TYPES.get(failure.status, "server_error" if failure.status >= 500 else "invalid_request_error")
    param = failure.details.get("param")
    error = Error(failure.message, kind, param if isinstance(param, str) else None, _CODES.get(failure.status))
    return Reply(failure.status, ErrorBody(error))


def buckets_of(call: Call, widths: Mapping[str, Width]) -> Buckets:
    """The buckets that a request asks for. Raises `Refuse`."""
    length, count = width_of(call, widths)
    start, end = _instant(call, "start_time"), _instant(call, "end_time") or call.now
    if start is None:
        raise bad_parameter("start_time", "must be given, in Unix seconds")
    start = page_start(call) or start
    if start >= end:
        raise bad_parameter("end_time", "must be after start_time")
    return buckets_between(start, end, length, count)


def page_of(buckets: Buckets, results: list[list[Any]]) -> Reply:
    """A page of buckets, each with its results."""
    edges = buckets.edges
    data = [
        {"object": "bucket", "start_time": seconds(start), "end_time": seconds(end), "results": found}
        for start, end, found in zip(edges[:-1], edges[1:], results, strict=True)
    ]
    following = next_page(buckets)
    return Reply(200, {"object": "page", "data": data, "has_more": following is not None, "next_page": following})


def _instant(call: Call, name: str) -> datetime | None:
    text = call.one(name)
    if text is None:
        return None
    try:
        return parse_seconds(text)
    except Invalid as wrong:
        raise bad_parameter(name, str(wrong)) from None
