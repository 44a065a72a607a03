"""Taking a shard's events on a server over from whoever had them.

Each owner has a database of its own, named by its epoch. It copies the rollups of the one before by links, moves the
table of events into it, and drops what is left. Statements of an earlier owner that arrive after that find no table: a
server knows nothing of leases, and needs not. What was running inside the server when the table moved still ends in it,
which is why inserts have tokens besides.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from ....domain.errors import FolderError
from ...manifest import Manifest
from ..engine.engine import Engine, EngineError, EngineUnavailable
from ..rollups import table_queries
from ..rollups.coverage import RollupCoverage
from . import takeover_queries

_ATTEMPTS = 5

Connect: TypeAlias = Callable[[str], Engine]
"""An engine whose statements are about a database."""


class Superseded(EngineError):
    """A later owner has the events."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """One owner's way to a shard's events."""

    connect: Connect
    prefix: str
    """What the names of the shard's databases begin with: letters, digits and _, as the settings have it."""
    epoch: int
    owner: str
    """Whose databases these are, as they say of themselves: a text without quotes."""
    manifest: Manifest

    def run(self) -> Engine:
        """An engine over the database of this epoch, which has the events now; its other tables are still to be made.

        Raises `FolderError` for databases of another owner, `Superseded`, and `EngineError`; nothing is lost then, and
        a later epoch goes on.
        """
        with closing(self.connect("default")) as server:
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    self._move(server)
                    break
                except (
                    Superseded,
                    EngineUnavailable,
                ):  # what was not answered may still be done
                    raise
                except EngineError:  # an owner before this one may have moved them meanwhile
                    if attempt == _ATTEMPTS:
                        raise
        return self.connect(self._name(self.epoch))

    def begin_anew(self) -> Engine:
        """An engine over an empty database of this epoch, the only one that the shard has then. Raises the same."""
        with closing(self.connect("default")) as server:
            found = self._earlier(server)
            for epoch in found:
                server.execute(takeover_queries.DROP_DATABASE.format(name=self._name(epoch), **_everywhere(server)))
            self._create(server)
        return self.connect(self._name(self.epoch))

    def _name(self, epoch: int) -> str:
        return f"{self._name_prefix}{epoch}"

    @property
    def _name_prefix(self) -> str:
        return f"{self.prefix}_e"

    def _move(self, server: Engine) -> None:
        found = self._earlier(server)
        self._create(server)
        name, on_cluster = self._name(self.epoch), server.table_form.on_cluster
        newest = max((epoch for epoch, has_events in found.items() if has_events), default=self.epoch)
        if newest != self.epoch:
            old = self._name(newest)
            self._copy_rollups(old)
            server.execute(takeover_queries.MOVE_EVENTS.format(old=old, new=name, on_cluster=on_cluster))
        for epoch in found:
            if epoch < self.epoch:
                server.execute(takeover_queries.DROP_DATABASE.format(name=self._name(epoch), on_cluster=on_cluster))

    def _create(self, server: Engine) -> None:
        create = takeover_queries.CREATE_DATABASE
        server.execute(create.format(name=self._name(self.epoch), comment=self.owner, **_everywhere(server)))

    def _earlier(self, server: Engine) -> dict[int, bool]:
        """What `_databases` answers. Raises `Superseded` when a later owner has one."""
        found = self._databases(server)
        if any(epoch > self.epoch for epoch in found):
            raise Superseded(f"the events of {self.prefix} are in the hands of a later owner")
        return found

    def _databases(self, server: Engine) -> dict[int, bool]:
        """By epoch, whether each of the shard's databases has the events."""
        prefix = self._name_prefix
        found: dict[int, bool] = {}
        for database, comment, has_events in server.rows(takeover_queries.DATABASES, {"prefix": prefix}):
            if not (epoch := database.removeprefix(prefix)).isdecimal():
                continue
            if comment != self.owner:
                raise FolderError(
                    f"METERHOUSE_CLICKHOUSE_URLS: the database {database} says of itself {comment[:100]!r}, and this "
                    f"is {self.owner!r}: name another database, or the server that this one belongs to"
                )
            found[int(epoch)] = bool(has_events)
        return found

    def _copy_rollups(self, old: str) -> None:
        """Copies them where they are whole; otherwise they are made anew."""
        if self.manifest.state.rollups is None:
            return
        with closing(self.connect(old)) as before:
            if not RollupCoverage(before, self.manifest).is_whole():
                return
        with closing(self.connect(self._name(self.epoch))) as engine:
            engine.execute(table_queries.replace_rollups(engine.table_form))
            engine.execute(takeover_queries.COPY_ROLLUPS.format(old=old))
            RollupCoverage(engine, self.manifest).record()


def _everywhere(server: Engine) -> dict[str, str]:
    return {"on_cluster": server.table_form.on_cluster}
