"""Which events were corrected, and by what."""

from __future__ import annotations

from ....domain.correction import ADD, CONFLICT, RESTORE, VOID
from ..engine.statement import STORED_EVENT, Statement

# An event that corrects another has among its numbers where that one stands and its time, as the store found them.
CORRECTED_TIMES = f"""
SELECT namespace, organization, groupUniqArray(toInt64(toString(numbers['time']))) FROM events
WHERE commit > {{commit:UInt64}} AND type IN ('{VOID}', '{RESTORE}') GROUP BY namespace, organization
"""

CORRECTIONS_OF = f"""
SELECT {STORED_EVENT}
FROM events WHERE namespace = {{namespace:String}} AND organization = {{organization:String}}
    AND type IN ('{VOID}', '{RESTORE}', '{ADD}', '{CONFLICT}')
    AND JSONExtractString(data, 'source') = {{source:String}} AND JSONExtractString(data, 'id') = {{id:String}}
ORDER BY commit, position
"""

VOIDED = f"""
SELECT toUInt64(toString(numbers['commit'])) AS of_commit, toUInt32(toString(numbers['position'])) AS at_position
FROM events WHERE namespace = {{namespace:String}} AND type IN ('{VOID}', '{RESTORE}')
    AND (of_commit, at_position) IN {{places:Array(Tuple(UInt64, UInt32))}}
GROUP BY of_commit, at_position HAVING argMax(type, (commit, position)) = '{VOID}'
"""


class CorrectedStatement(Statement):
    """A statement that may leave voided events out."""

    def _not_voided(self, table: str, namespace: str, organization: str | None, as_of_commit: int) -> str:
        """Leaves out what the latest word on it says does not count; of all organizations where it is None."""
        of_one = f" AND organization = {self._parameter('String', organization)}" if organization is not None else ""
        return (
            "(commit, position) NOT IN ("
            "SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))"
            f" FROM {table} WHERE namespace = {self._parameter('String', namespace)}"
            f"{of_one} AND type IN ('{VOID}', '{RESTORE}')"
            f" AND commit <= {self._parameter('UInt64', as_of_commit)}"
            f" GROUP BY 1, 2 HAVING argMax(type, (commit, position)) = '{VOID}')"
        )
