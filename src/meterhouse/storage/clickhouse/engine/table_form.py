"""How the tables of events and rollups are made: in this process, on a server, or on every replica of a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKENS_REMEMBERED = 10_000
"""How many inserts the table of events on a server remembers by their tokens."""
REMEMBERED_S = 7 * 24 * 3600
"""How long a replicated table remembers one; others have no such limit."""

_NAME = re.compile(r"[\w.-]+")


@dataclass(frozen=True, slots=True)
class TableForm:
    """What depends on where a table is. Raises `ValueError`."""

    on_server: bool = False
    """Whether inserts come over a network: some are repeated because nobody knows whether they were done."""
    cluster: str | None = None
    """The cluster, as the server's configuration names it, whose replicas all have the tables."""

    def __post_init__(self) -> None:
        """Refuses what cannot be the name of a cluster: it stands in statements."""
        if self.cluster is not None and not (self.on_server and _NAME.fullmatch(self.cluster)):
            raise ValueError(f"{self.cluster!r} cannot be the name of a cluster: letters, digits, _, - and . can")

    @property
    def on_cluster(self) -> str:
        """What follows the name of a table where it is made, altered or dropped."""
        return "" if self.cluster is None else f" ON CLUSTER '{self.cluster}'"

    def table_engine(self, kind: str) -> str:
        """A kind of table, which each replica has all of. The server knows its shard and its name among replicas."""
        if self.cluster is None:
            return kind
        return f"Replicated{kind}('/clickhouse/tables/{{uuid}}/{{shard}}', '{{replica}}')"

    @property
    def remembered_tokens(self) -> dict[str, int]:
        """The setting of a table that takes an insert with a token once. The embedded engine needs none: its inserts
        are done, or not, when they return."""
        if not self.on_server:
            return {}
        if self.cluster is None:
            return {"non_replicated_deduplication_window": TOKENS_REMEMBERED}
        return {
            "replicated_deduplication_window": TOKENS_REMEMBERED,
            "replicated_deduplication_window_seconds": REMEMBERED_S,
        }


EMBEDDED = TableForm()
