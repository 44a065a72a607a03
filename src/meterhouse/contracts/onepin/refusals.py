"""OnePin's errors: an error object beside the meta object, with details of a validation only."""

from __future__ import annotations

import msgspec

from ..contract import Answer, Refusal, Refused, Request
from .window import Meta, meta


class FieldProblem(msgspec.Struct):
    """A parameter at fault."""

    field: str
    message: str


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong."""

    code: str
    message: str
    details: list[FieldProblem] | None = None


class Error(msgspec.Struct):
    """Every error."""

    error: ErrorDetail
    meta: Meta


_REFUSALS = {
    Refusal.NO_CREDENTIAL: (401, "UNAUTHORIZED", "Missing credentials"),
    Refusal.BAD_CREDENTIAL: (401, "UNAUTHORIZED", "Invalid credentials"),
    Refusal.ORGANIZATION_GONE: (404, "NOT_FOUND", "Workspace not found"),
    Refusal.FORBIDDEN: (403, "FORBIDDEN", "Access to this workspace is denied"),
    Refusal.INVALID: (422, "VALIDATION_ERROR", "Request validation failed"),
    Refusal.NOT_FOUND: (404, "NOT_FOUND", "Not found"),
    Refusal.METHOD_NOT_ALLOWED: (405, "METHOD_NOT_ALLOWED", "Use GET"),
    Refusal.RATE_LIMITED: (429, "RATE_LIMITED", "Too many requests"),
    Refusal.INTERNAL: (500, "INTERNAL_ERROR", "Internal error"),
}


def refuse(request: Request, refused: Refused) -> Answer:
    """See the module."""
    status, code, message = _REFUSALS[refused.refusal]
    if refused.refusal is Refusal.INVALID:
        details = [FieldProblem(refused.field, refused.message)]
        return Answer(status, Error(ErrorDetail(code, message, details), meta(request)))
    return Answer(status, Error(ErrorDetail(code, refused.message or message), meta(request)))
