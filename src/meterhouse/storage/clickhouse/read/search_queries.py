"""Statements that search the events of a whole namespace."""

from __future__ import annotations

from ....domain.event_search import AllOf, AnyOf, Comparison, EventSearch, EventTest, MomentTest, Not, OneOf
from ..engine.statement import NOT_SYSTEM, STORED_EVENT, Statement

_OPERATORS = {Comparison.LIKE: "LIKE", Comparison.LIKE_IN_ANY_CASE: "ILIKE"}


class SearchEventsQuery(Statement):
    """Selects one `EventSearch`. Its rows are stored events, or how many there are."""

    def __init__(self, search: EventSearch, *, counted: bool = False):
        super().__init__()
        conditions = [f"namespace = {self._parameter('String', search.namespace)}", NOT_SYSTEM, self._test(search.test)]
        if search.below is not None:
            time, *texts = search.below
            below = ", ".join([self._instant(time), *(self._parameter("String", text) for text in texts)])
            conditions.append(f"(time, organization, source, id) < ({below})")
        if counted:
            self.sql = f"SELECT count() FROM events WHERE {' AND '.join(conditions)}"
            return
        order = "ASC" if search.oldest_first else "DESC"
        self.sql = (
            f"SELECT {STORED_EVENT} FROM events WHERE {' AND '.join(conditions)}"
            f" ORDER BY time {order}, organization {order}, source {order}, id {order}"
            f" LIMIT {self._parameter('UInt64', search.limit)}"
        )

    def _test(self, test: EventTest) -> str:
        if isinstance(test, AllOf):
            return f"({' AND '.join(map(self._test, test.tests))})" if test.tests else "true"
        if isinstance(test, AnyOf):
            return f"({' OR '.join(map(self._test, test.tests))})" if test.tests else "false"
        if isinstance(test, Not):
            return f"NOT {self._test(test.test)}"
        if isinstance(test, OneOf):
            return f"({test.attribute.value} IN {self._parameter('Array(String)', test.texts)})"
        if isinstance(test, MomentTest):
            return f"({test.moment.value} {test.comparison.value} {self._instant(test.instant)})"
        operator = _OPERATORS.get(test.comparison, test.comparison.value)
        return f"({test.attribute.value} {operator} {self._parameter('String', test.text)})"
