"""The last commit of each organization."""

from __future__ import annotations

from collections.abc import Iterable

import xxhash

_BUCKETS = 1 << 16


class LastCommits:
    """Knows an upper bound on each organization's last commit. Organizations share a fixed number of buckets: a bound
    that is too high costs a second look, and never a wrong answer."""

    def __init__(self, latest_commit: int):
        """Any organization may have events in `latest_commit`."""
        self._commits = [latest_commit] * _BUCKETS

    def record(self, organizations: Iterable[tuple[str, str]], commit: int) -> None:
        """Records the organizations that a commit has events of. Call it before readers can see the commit."""
        for namespace, organization in organizations:
            self._commits[_bucket(namespace, organization)] = commit

    def of(self, namespace: str, organization: str) -> int:
        """An upper bound on the organization's last commit; a result at or after it is current."""
        return self._commits[_bucket(namespace, organization)]


def _bucket(namespace: str, organization: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{namespace}\0{organization}".encode()) % _BUCKETS
