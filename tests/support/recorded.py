"""A meter that keeps what it is told, for those who look at what was recorded."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from meterhouse_client import Meter


class Recorded(Meter):
    """Keeps what it is told, and sends nothing."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "key")
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.identities: list[tuple[str | None, datetime | None]] = []
        """The id and the time of each, where they were given."""
        self.fails: Exception | None = None
        """What `record` raises from now on."""

    def record(
        self,
        event_type: str,
        organization: str,
        data: Any = None,
        *,
        at: datetime | None = None,
        id: str | None = None,
    ) -> str:
        if self.fails is not None:
            raise self.fails
        self.events.append((event_type, organization, dict(data or {})))
        self.identities.append((id, at))
        return id or "id"
