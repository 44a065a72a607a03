"""Sessions that were ended before their time."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, select

from .database import Database
from .tables import ended_sessions


class SqlEndedSessions(Database):
    """See `ports.EndedSessions`."""

    def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """See `Ledger.end_session`."""
        new = self._insert(ended_sessions).values(id=session_id, until=until)
        with self._engine.begin() as connection:
            connection.execute(delete(ended_sessions).where(ended_sessions.c.until <= now))
            connection.execute(new.on_conflict_do_nothing())

    def session_ended(self, session_id: str) -> bool:
        """See `Ledger.session_ended`."""
        with self._engine.connect() as connection:
            found = connection.scalar(select(ended_sessions.c.id).where(ended_sessions.c.id == session_id))
        return found is not None
