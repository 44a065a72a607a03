"""Organizations with events that nobody has looked at yet."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from ....ports.commit_log import Changed


class UnseenChanges:
    """Remembers each organization, with its last commit, until it is taken; an organization is there once, however much
    it sends. Remembers nothing before somebody follows."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._followed = False
        self._organizations: dict[tuple[str, str], int] = {}
        self._corrections: list[int] = []
        """The commits with steps of corrections."""

    def follow(self) -> None:
        """Begins to remember."""
        self._followed = True

    def record(self, organizations: Iterable[tuple[str, str]], commit: int) -> None:
        """Records the organizations that a commit has events of. Call it before readers can see the commit."""
        if self._followed:
            with self._lock:
                self._organizations.update(dict.fromkeys(organizations, commit))

    def record_correction(self, commit: int) -> None:
        """Records that a commit has steps of a correction. Call it before `record`."""
        if self._followed:
            with self._lock:
                self._corrections.append(commit)

    def take(self, upto: int) -> Changed:
        """Forgets, and answers, what was recorded up to a commit. Whoever has events after it as well stays."""
        with self._lock:
            taken = frozenset(self._organizations)
            self._organizations = {each: commit for each, commit in self._organizations.items() if commit > upto}
            corrected = any(commit <= upto for commit in self._corrections)
            self._corrections = [commit for commit in self._corrections if commit > upto]
        return Changed(taken, corrected)
