"""Taking events in: read, validate, and commit together with whatever else is waiting."""

from .acceptance import MAX_AHEAD
from .limits import GroupCommitLimits
from .reports import MAX_ERRORS, Failure, Report
from .service import Ingest
from .splitting import split_events
from .submission import Body, Done

__all__ = [
    "MAX_AHEAD",
    "MAX_ERRORS",
    "Body",
    "Done",
    "Failure",
    "GroupCommitLimits",
    "Ingest",
    "Report",
    "split_events",
]
