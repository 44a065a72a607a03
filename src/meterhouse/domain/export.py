"""Taking events out again: which ones, and in what form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ExportForm(StrEnum):
    """How exported events are written."""

    NDJSON = "ndjson"
    """A CloudEvent in JSON on each line, its namespace as an extension attribute: can be sent again as it is."""
    PARQUET = "parquet"
    """A column for each attribute, `data` as the text that was received."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The events of a namespace and of an organization; None stands for all."""

    namespace: str | None = None
    organization: str | None = None
