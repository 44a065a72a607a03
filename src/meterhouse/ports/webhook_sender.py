"""Sending a message to a webhook endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..domain.delivery import AttemptOutcome


class WebhookSender(Protocol):
    """Used on one event loop."""

    async def open(self) -> None:
        """Begins, on the loop that everything is sent from."""
        ...

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        """Makes one attempt; raises nothing. It takes no longer, and reads no more, than it may."""
        ...

    async def close(self) -> None:
        """Ends all connections."""
        ...
