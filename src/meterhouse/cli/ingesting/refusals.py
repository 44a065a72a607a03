"""An account of what became of records, and the file of those that were refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..terminal import Failed, errors, out
from .records import Record

SOME_NOT_INGESTED = 3
"""The exit status when some records were refused."""
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that was not taken, and why."""

    record: Record
    why: str


class RefusedFile:
    """Keeps refused records as they were. It is made when there is one; nobody but its owner may read it."""

    def __init__(self, path: Path, heading: bytes = b"", *, goes_on: bool = False):
        """`heading` is what it begins with. One that `goes_on` may be there, and gets longer. Raises `Failed`."""
        if not goes_on and path.exists():
            raise Failed(f"{path} is there already: name another file for what is refused, or remove it")
        self.path = path
        self.written = False
        self._heading = heading
        self._flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if goes_on else os.O_EXCL)

    def add(self, refusals: Iterable[Refusal]) -> None:
        """Appends them; when it returns, they are on disk. Raises `Failed`."""
        content = b"".join(each.record.original for each in refusals)
        if not content:
            return
        try:
            with os.fdopen(os.open(self.path, self._flags, 0o600), "ab") as stream:
                stream.write(content if self.written else self._heading + content)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as wrong:
            raise Failed(f"{self.path} cannot be written: {wrong.strerror}") from None
        self.written = True
        self._flags &= ~os.O_EXCL


@dataclass(slots=True)
class Account:
    """How many records became what, and what was said of the first that were refused."""

    totals: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("ingested", "duplicates", "conflicts", "rejected", "unmatched"), 0)
    )
    _first: list[str] = field(default_factory=list)
    """What was said of the first that were refused and are not printed yet."""
    _printed: int = 0
    """Of how many refused ones something was printed."""

    @property
    def refused(self) -> int:
        """How many were not taken."""
        return self.totals["conflicts"] + self.totals["rejected"]

    def count(self, report: dict[str, Any]) -> None:
        """Adds what a server's report says."""
        for outcome in self.totals:
            self.totals[outcome] += report[outcome]

    def tell(self, refusals: Iterable[Refusal]) -> None:
        """Notes the first of them."""
        for each in refusals:
            if len(self._first) == _SHOWN:
                return
            self._first.append(f"{each.record.place}: {each.why}")

    def summary(self) -> str:
        """One line for people."""
        unmatched = self.totals["unmatched"]
        told = f"; no meter reads the type of {unmatched:,}" if unmatched else ""
        counts = (f"{count:,} {outcome}" for outcome, count in self.totals.items() if outcome != "unmatched")
        return f"{', '.join(counts)}{told}"

    def print_summary(self, before: str = "") -> None:
        """Prints it on standard output."""
        out.print(before + self.summary(), markup=False, highlight=False, soft_wrap=True)

    def print_refusals(self, file: RefusedFile | None, *, by_content: bool = False) -> None:
        """Prints on standard error what was refused since it was printed last, and where it is kept. `by_content` says
        whether rows are known by the file that they are in."""
        for each in self._first:
            note(each)
        if more := self.refused - self._printed - len(self._first):
            note(f"… and {more:,} more")
        self._first, self._printed = [], self.refused
        if file is not None and file.written:
            which = ", or the whole file again, but not both: without --csv.id their rows are other events"
            note(f"what was refused is in {file.path}, as it was: mend it and ingest it{which if by_content else ''}")

    @property
    def status(self) -> int:
        """The exit status."""
        return SOME_NOT_INGESTED if self.refused else 0


def note(text: str) -> None:
    """A line on standard error, as it is."""
    errors.print(text, markup=False, highlight=False, soft_wrap=True)
