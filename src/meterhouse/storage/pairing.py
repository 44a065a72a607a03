"""Whether the events and the ledger of a folder belong together: both have the number of the same turn."""

from __future__ import annotations

from ..domain.errors import FolderError
from .ledger.sql_ledger import SqlLedger
from .manifest import Manifest


class NotAPair(FolderError):
    """Events and ledger are of different times or folders."""


def hold_to_each_other(manifest: Manifest, ledger: SqlLedger, shard: int = 0) -> None:
    """Raises `NotAPair` when one of the two is of another time, or of another folder."""
    state, turn = manifest.state, ledger.turn(shard)
    if state.turn is None or (turn or 0) in (state.turn, state.next_turn):
        return
    if turn is None:
        told = f"the ledger is new, and the events have been used with another one, {state.turn} starts and stops long"
    elif not state.turn:
        told = f"the events are new, and the ledger has been used with others, {turn} starts and stops long"
    else:
        older, newer = ("ledger", "table of events") if turn < state.turn else ("table of events", "ledger")
        told = f"the {older} is older than the {newer} (turn {turn} in the ledger, {state.turn} beside the events)"
    raise NotAPair(f"ledger and events do not belong together: {told}")


def begin_turn(manifest: Manifest, ledger: SqlLedger, shard: int = 0) -> None:
    """Writes the next turn in both, so that a copy of either from before is told from what it is from now on. A crash
    between leaves a pair. Raises `OSError` and what the ledger raises."""
    turn = max(manifest.state.turn or 0, ledger.turn(shard) or 0) + 1
    manifest.update(next_turn=turn)
    ledger.set_turn(turn, shard)
    manifest.update(turn=turn, next_turn=None)
