"""Which commit changed an organization last."""

from __future__ import annotations

from collections.abc import Iterable

import xxhash

_BUCKETS = 1 << 16


class LastCommits:
    """The newest commit that may have events of an organization. Organizations share buckets, which only costs a look
    into the events."""

    def __init__(self, latest_commit: int):
        """Any of them may have been changed by the latest."""
        self._commits = [latest_commit] * _BUCKETS

    def record(self, organizations: Iterable[tuple[str, str]], commit: int) -> None:
        """To be told of the organizations, with their namespaces, that a commit has events of, before it is seen or
        held."""
        for namespace, organization in organizations:
            self._commits[_bucket(namespace, organization)] = commit

    def of(self, namespace: str, organization: str) -> int:
        """A commit, at or after the newest that has events of the organization."""
        return self._commits[_bucket(namespace, organization)]


def _bucket(namespace: str, organization: str) -> int:
    return xxhash.xxh3_64_intdigest(f"{namespace}\0{organization}".encode()) % _BUCKETS
