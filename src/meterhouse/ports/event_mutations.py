"""Changing stored events: for erasure, purges and retention alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..domain.event import Event
from ..domain.listing import PropertyMatch
from ..domain.retention import Redaction


class EventMutations(Protocol):
    """Changes or removes stored events."""

    def check_rewritable(self) -> None:
        """Raises `Invalid` where events cannot be rewritten, which `rewrite` does as well."""
        ...

    def rewrite(self, match: PropertyMatch, rewritten: Callable[[Event], Event]) -> int:
        """Rewrites the data of every event, and of every conflict, whose property has this text; answers how many.
        `rewritten` is called with each event and answers it without the text. When the method returns, no answer has
        the text any more, and the disk loses it within minutes. Rollups are rebuilt; meanwhile groups may show both
        texts. It can be repeated after a crash."""
        ...

    def remove(self, namespace: str, organization: str) -> int:
        """Removes every event of the organization except those of type REMOVAL, and everything derived from them;
        answers how many. The organization's newest event must be of that type, so that commit numbers go on over
        restarts. It can be repeated after a crash."""
        ...

    def redactable(self, redaction: Redaction) -> int:
        """How many events `redact` would change."""
        ...

    def redact(self, redaction: Redaction) -> None:
        """Reduces the data of a namespace's events before an instant, and of their conflicts, to the retained fields.
        No answer about these fields changes, not even while it runs. It can be repeated after a crash, which may leave
        some events reduced and others whole."""
        ...
