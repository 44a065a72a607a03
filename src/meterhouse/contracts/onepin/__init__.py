"""OnePin: a workspace's credits, lines, runs and activity in local days, weeks and months of any time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...domain.organization import KeyFormat
from ..contract import BASE62, Contract, Refusal, Refused, Route, TokenIdentity, bearer
from . import examples
from .activity import ACTIONS, DEFAULT_LIMIT, MAX_LIMIT, ActivityBody, usage_activity
from .by_language import ByLanguageBody, usage_by_language
from .refusals import Error, refuse
from .summary import SummaryBody, usage_summary
from .whoami import WhoamiBody, auth_whoami
from .window import RANGES, VIEWS, OnepinOptions

READ = "workspace:read"

_SCOPES = frozenset(
    {
        READ,
        "workflows:read",
        "workflows:run",
        "workflows:write",
        "voices:read",
        "voices:write",
        "dictionary:read",
        "dictionary:write",
        "uploads:write",
        "templates:read",
        "catalog:read",
    }
)
"""Those of the product's own keys, so that a key can be moved with the scopes it had."""


def identity(claims: Mapping[str, Any]) -> TokenIdentity:
    """A Clerk session token: the user is `sub`, the workspace `org_id`, or `o.id` in tokens of version 2.

    Without a `scope` (texts separated by spaces) the token may read the workspace; without a workspace it may not.
    """
    active = claims.get("o")
    workspace = claims.get("org_id") or (active.get("id") if isinstance(active, dict) else None)
    if not isinstance(workspace, str):
        raise Refused(Refusal.FORBIDDEN)
    scope = claims.get("scope", READ)
    return TokenIdentity(workspace, str(claims["sub"]), frozenset(scope.split() if isinstance(scope, str) else ()))


def _query(name: str, description: str, schema: dict[str, object]) -> dict[str, object]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _choice(values: Sequence[str], default: str | None = None) -> dict[str, object]:
    return {"type": "string", "enum": list(values), **({"default": default} if default else {})}


_RANGE = _query("range", "Rolling range of local calendar days, today included.", _choice(tuple(RANGES), "30d"))
_TIMEZONE = _query(
    "timezone", "IANA time zone of the local days.", {"type": "string", "default": "UTC", "maxLength": 64}
)
_WORKSPACE = {
    "name": "X-Workspace-Id",
    "in": "header",
    "required": False,
    "description": "The workspace; must be the credential's own.",
    "schema": {"type": "string"},
}

CONTRACT = Contract(
    name="onepin",
    title="OnePin workspace usage",
    source="OnePin API reference, /api/v1/usage and /api/v1/auth, and its client on PyPI, onepin 0.16",
    key_format=KeyFormat("op_live_", BASE62, 32),
    default_scopes=frozenset({READ}),
    scopes=_SCOPES | {"events:write"},
    security={"bearer": {"type": "http", "scheme": "bearer", "description": "An API key, or a JSON Web Token."}},
    credential=bearer,
    refuse=refuse,
    error=Error,
    options=OnepinOptions(),
    identity=identity,
    routes=(
        Route(
            paths=("/api/v1/usage/summary",),
            handle=usage_summary,
            scope=READ,
            operation_id="usage_summary_api_v1_usage_summary_get",
            summary="Usage of the workspace",
            response=SummaryBody,
            example=examples.SUMMARY,
            parameters=(
                _RANGE,
                _query("activity_view", "What `activity` is made of.", _choice(VIEWS, "daily")),
                _TIMEZONE,
                _WORKSPACE,
            ),
            refusals=(Refusal.INVALID,),
        ),
        Route(
            paths=("/api/v1/usage/by-language",),
            handle=usage_by_language,
            scope=READ,
            operation_id="usage_by_language_api_v1_usage_by_language_get",
            summary="Usage of the workspace by language",
            response=ByLanguageBody,
            example=examples.BY_LANGUAGE,
            parameters=(
                _RANGE,
                _query("activity_view", "Takes the window of this view instead of `range`.", _choice(VIEWS)),
                _TIMEZONE,
                _WORKSPACE,
            ),
            refusals=(Refusal.INVALID,),
        ),
        Route(
            paths=("/api/v1/usage/activity",),
            handle=usage_activity,
            scope=READ,
            operation_id="usage_activity_api_v1_usage_activity_get",
            summary="What happened in the workspace, newest first",
            response=ActivityBody,
            example=examples.ACTIVITY,
            parameters=(
                _RANGE,
                _query("type", "Only this action.", _choice(ACTIONS)),
                _query("user_id", "Only what this member did.", {"type": "string"}),
                _query(
                    "limit",
                    "Entries on a page.",
                    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                ),
                _query("cursor", "`next` or `prev` of another page.", {"type": "string"}),
                _TIMEZONE,
                _WORKSPACE,
            ),
            refusals=(Refusal.INVALID, Refusal.NOT_FOUND),
        ),
        Route(
            paths=("/api/v1/auth/whoami",),
            handle=auth_whoami,
            scope=None,
            operation_id="auth_whoami_api_v1_auth_whoami_get",
            summary="Who the credential speaks for",
            response=WhoamiBody,
            example=examples.WHOAMI,
            parameters=(_WORKSPACE,),
        ),
    ),
)
