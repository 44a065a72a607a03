"""How much may wait for a commit, and share one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupCommitLimits:
    """How much may wait and share a commit: latency against throughput, and memory against refusals."""

    commit_delay_ms: int = 0
    """How long a commit waits, at most, for as many requests as were under way at the end of the last one. A client
    that is alone never waits."""
    commit_events: int = 50_000
    """How many events share a commit; a request is never divided, so that a larger one has a commit of its own."""
    waiting_requests: int = 1_024
    waiting_events: int = 100_000
    """How many may wait for their commit; what comes then is refused whole."""
    waiting_bytes: int = 256 * 1024 * 1024
    """The same for the events' text. A request that finds nobody waiting is taken, however large."""
