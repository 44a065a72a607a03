"""The request as every handler sees it."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request
from litestar.datastructures import State

HttpRequest: TypeAlias = Request[Any, Any, State]
