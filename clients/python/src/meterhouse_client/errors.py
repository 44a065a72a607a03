"""What can go wrong, in words for whoever calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MeterhouseClientError(Exception):
    """Base of all errors of this package."""


class BufferFull(MeterhouseClientError):
    """As many events wait as may: the server has not taken any for a while."""


class Closed(MeterhouseClientError):
    """The meter was closed: it takes no more events."""


class InvalidEvent(MeterhouseClientError, ValueError):
    """An event that no server would take: it was not recorded."""


class SpoolError(MeterhouseClientError):
    """A spool that cannot be used: another process has it, or another version of this package wrote it."""


class Refused(MeterhouseClientError):
    """The server refuses: `detail` says what was wrong and what to do, `body` is its whole answer."""

    def __init__(self, status: int, code: str, detail: str, body: Mapping[str, Any] | None = None):
        """As the server told it."""
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.body = body or {}


class QuotaExceeded(Refused):
    """There is no room for what was asked."""


class Unreachable(MeterhouseClientError):
    """The server did not answer, or could not now; repeating is safe."""
