"""`GET /auth/whoami`: who a credential speaks for. The product's command line logs in by it."""

from __future__ import annotations

from typing import Literal

import msgspec

from ...domain.organization import Caller
from ...ports.usage_reader import UsageReader
from ..contract import FOREVER, Answer, Request
from .window import Meta, check_workspace, lasting


class Whoami(msgspec.Struct):
    """The caller. `api_key_id` is null for a token; `user_id` is empty for a key that stands for nobody."""

    auth_kind: Literal["clerk", "api_key"]
    user_id: str
    workspace_id: str
    api_key_id: str | None
    scopes: list[str]


class WhoamiBody(msgspec.Struct):
    """The 200 answer."""

    data: Whoami
    meta: Meta


def auth_whoami(request: Request, caller: Caller, usage: UsageReader) -> Answer:
    """Any valid credential may ask."""
    check_workspace(request, usage)
    data = Whoami(
        auth_kind="clerk" if caller.key_id is None else "api_key",
        user_id=caller.user_id or "",
        workspace_id=usage.organization.id,
        api_key_id=caller.key_id,
        scopes=sorted(caller.scopes),
    )
    return lasting(data, FOREVER)
