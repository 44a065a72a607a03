"""Errors of Meterhouse's own API: RFC 9457 problem details."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
import structlog
from litestar import Response
from litestar.exceptions import HTTPException, InternalServerException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge

from ..domain.errors import (
    AlreadyExists,
    InsufficientStorage,
    MeterhouseError,
    NotFound,
    NotRecorded,
    NotYet,
    Overloaded,
    StorageDamaged,
    Unavailable,
)
from ..services.enforcement import QuotaExceeded, ReservationClosed, ReservationMismatch
from .request import HttpRequest

_log = structlog.get_logger(__name__)

BODY_NOT_COMPLETE = "the body is not complete: the client broke off while sending it"
BODY_TOO_LARGE = "the body is larger than this server takes (METERHOUSE_MAX_BODY_BYTES); send fewer events at a time"
_BROKEN_OFF = "client disconnected prematurely"
"""What the framework says when it wanted to read more of a body."""
PROBLEM_JSON = "application/problem+json"

_STATUS: dict[type[MeterhouseError], int] = {
    QuotaExceeded: 402,
    ReservationClosed: 409,
    ReservationMismatch: 409,
    NotFound: 404,
    AlreadyExists: 409,
    NotRecorded: 409,
    NotYet: 503,
    Overloaded: 429,
    Unavailable: 503,
    InsufficientStorage: 507,
    StorageDamaged: 500,
}
_OURS: dict[type[MeterhouseError], str] = {
    InsufficientStorage: "the disk is full",
    StorageDamaged: "stored data cannot be read",
}
"""What is for the operator to see to. The log has more; a message of the engine's may hold data."""


class Problem(msgspec.Struct, omit_defaults=True):
    """A problem: `code` is stable, `detail` says what was wrong, where, and what to do."""

    title: str
    status: int
    detail: str
    code: str
    request_id: str
    type: str = "about:blank"


class Unauthorized(HTTPException):
    """No credential, or one that is not valid here."""

    status_code = 401


class TooManyFailures(HTTPException):
    """Too many wrong keys came from where this request comes from."""

    status_code = 429


class Forbidden(HTTPException):
    """A valid credential that may not do this."""

    status_code = 403


class TooLarge(HTTPException):
    """The body is larger than the server takes."""

    status_code = 413


class UnsupportedEncoding(HTTPException):
    """A content encoding or media type that is not spoken here."""

    status_code = 415


def problem(
    request: HttpRequest, status: int, code: str, detail: str, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """A problem as a response."""
    content = encode_problem(status, code, detail, request.state.request_id)
    return Response(content, status_code=status, media_type=PROBLEM_JSON, headers=headers)


def encode_problem(status: int, code: str, detail: str, request_id: str) -> bytes:
    """The body of a problem."""
    body = Problem(HTTPStatus(status).phrase, status, detail, code, request_id)
    return msgspec.json.encode({"type": body.type, **msgspec.to_builtins(body)})


def meterhouse_error(request: HttpRequest, error: MeterhouseError) -> Response[bytes]:
    """What a user got wrong."""
    status, detail, headers = described_error(error)
    return problem(request, status, error.code, detail, headers)


def described_error(error: MeterhouseError) -> tuple[int, str, dict[str, str]]:
    """The status of an error, what is said of it, and headers."""
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 400)
    detail = str(error)
    if (told := next((told for kind, told in _OURS.items() if isinstance(error, kind)), None)) is not None:
        _log.error(told, reason=detail)
        detail = f"{told}: the operator has to see to it; the log has more under this request_id"
    after = error.retry_after_s if isinstance(error, Overloaded | InsufficientStorage | NotYet | Unavailable) else None
    return status, detail, {"Retry-After": str(after)} if after else {}


def http_error(request: HttpRequest, error: HTTPException) -> Response[bytes]:
    """What the framework refuses: unknown paths, other methods, bodies of the wrong shape or size."""
    detail, extra, status = error.detail, error.extra, error.status_code
    if isinstance(error, InternalServerException) and detail == _BROKEN_OFF:
        status, detail = 400, BODY_NOT_COMPLETE
    if isinstance(error, ValidationException) and isinstance(extra, list):
        listed = [f"{item.get('key', 'body')}: {item.get('message', '')}" for item in extra if isinstance(item, dict)]
        detail = "; ".join(listed) or detail
    if isinstance(error, RequestEntityTooLarge):
        detail = BODY_TOO_LARGE
    headers = dict(error.headers or {})
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="meterhouse"'
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    return problem(request, status, code, detail, headers)


def unexpected_error(request: HttpRequest, error: Exception) -> Response[bytes]:
    """What we got wrong: the log has it, under the request id; the client learns nothing of the inside."""
    _log.error("unexpected error", exc_info=error)
    return problem(request, 500, "internal_error", "something went wrong; the log has more under this request_id")
