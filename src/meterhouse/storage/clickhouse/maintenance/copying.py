"""Copying events out of a store that is served meanwhile."""

from __future__ import annotations

import tempfile

from ....domain.migration import CommitRange, CopiedContent
from ....domain.shards import ShardMap
from ....ports.chunks import Chunks
from ..engine import native
from ..engine.engine import Engine, Parameters
from . import copying_queries


class StoredCommits:
    """See `ports.Copying`. `rows` is for an embedded engine alone."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def fitting(self, wanted: CommitRange, most_bytes: int) -> CommitRange:
        """See `ports.Copying`."""
        found = wanted
        while (span := found.upto - found.after) > 1:
            [[size]] = self._engine.rows(copying_queries.SIZE, _of(found))
            if size <= most_bytes:
                break
            found = CommitRange(found.after, found.after + max(1, min(span // 2, span * most_bytes // size)))
        return found

    def rows(self, commits: CommitRange, shards: ShardMap, shard: int) -> Chunks:
        """See `ports.Copying`."""
        # The engine does not know the hash by which organizations are spread: it is told who is of the shard.
        found = self._engine.rows(copying_queries.ORGANIZATIONS_OF_COMMITS, _of(commits))
        living = [(namespace, each) for namespace, each in found if shards.shard_of(namespace, each) == shard]
        columns = [
            ("namespace", "String", native.encode_strings([namespace.encode() for namespace, _ in living])),
            ("organization", "String", native.encode_strings([each.encode() for _, each in living])),
        ]
        with tempfile.TemporaryFile() as homes:
            homes.write(native.encode_block(len(living), columns))
            homes.flush()
            named = {"homes": f"/dev/fd/{homes.fileno()}"}
            yield from self._engine.stream(copying_queries.ROWS, {**_of(commits), **named}, "Native")

    def content(self, commits: CommitRange) -> CopiedContent:
        """See `ports.Copying`."""
        [row] = self._engine.rows(copying_queries.CONTENT_OF_COMMITS, _of(commits))
        return CopiedContent(*row)


def _of(commits: CommitRange) -> Parameters:
    return {"after": commits.after, "upto": commits.upto}
