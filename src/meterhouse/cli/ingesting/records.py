"""What readers of files and sources give: an event each, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..terminal import Failed


class Hopeless(Failed):
    """A file of which nothing more can be read: another try with the same file ends the same."""


class NoEvent(Exception):
    """A row, line or message that cannot become an event; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row, line or message."""

    place: str
    """Where it stands, like `line 7`."""
    original: bytes
    """As it stood there; it ends as lines do."""
    event: bytes | None
    """The CloudEvent in JSON, on one line; None where it cannot be made."""
    wrong: str = ""
    """Why not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A file that is being read."""

    records: Iterator[Record]
    heading: bytes = b""
    """What a file of some of its records begins with."""
    notes: Callable[[], list[str]] = list
    """What there is to be told about it when it has been read."""
    by_content: bool = False
    """Whether its records are known by the content of the whole file."""
