"""Taking events in: read, validate, and commit together with whatever else is waiting."""

from .limits import GroupCommitLimits
from .reports import Failure, Report
from .service import Ingest
from .submission import Body, Done

__all__ = ["Body", "Done", "Failure", "GroupCommitLimits", "Ingest", "Report"]
