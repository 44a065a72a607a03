"""The index of identities in the table of events."""

from __future__ import annotations

import structlog

from ..engine.engine import NO_PARAMETERS, DamagedStorage, Engine
from . import identity_queries

_log = structlog.get_logger(__name__)


def index_identities(engine: Engine) -> None:
    """Has the index of identities made, in the background, where it is missing or damaged."""
    try:
        engine.rows(identity_queries.EVENTS_BY_IDENTITY, {"identities": [0]})  # reads the index of each part
    except DamagedStorage as failure:
        _log.warning("the index of identities is damaged, and made anew; no event is lost", exc_info=failure)
        engine.execute(identity_queries.CLEAR_IDENTITIES)
        engine.execute(identity_queries.INDEX_IDENTITIES)
    if parts := engine.rows(identity_queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS)[0][0]:
        _log.warning("some parts of the index of identities are made anew; no event is lost", parts=parts)
        engine.execute(identity_queries.INDEX_IDENTITIES)
