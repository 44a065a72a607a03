"""The server that `meterhouse migrate` moves, over its API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

import msgspec

from ..domain.loss import Loss
from ..domain.migration import CommitRange, CopiedContent, MigrationState
from ..ports.chunks import Chunks
from .client import Client
from .terminal import Failed

_PATH = "/v1/migration"
_TELLS_EVERY_S = 5

Connected = Callable[[], AbstractContextManager[Client]]


class RunningServer:
    """See `migrating.Source`. Methods raise `Failed`."""

    def __init__(self, client: Client, connected: Connected):
        """`connected` gives another client of the same server, for the thread that tells that this process is there."""
        self._client = client
        self._connected = connected
        self._id = ""
        self._state = MigrationState.COPYING
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_telling, name="meterhouse-migrating", daemon=True)

    def state(self) -> tuple[MigrationState, str]:
        """See `Source`."""
        told = self._client.call("GET", _PATH)
        return MigrationState(told["state"]), told["id"]

    def begin(self) -> str:
        """See `Source`."""
        self._id = self._client.call("POST", _PATH)["id"]
        self._thread.start()
        return self._id

    def pause(self) -> bool:
        """See `Source`."""
        try:
            state = self._tell(self._client, MigrationState.PAUSED)["state"]
        except Failed:
            self._tell(self._client, MigrationState.COPYING)  # which raises when it is not only for a moment
            return False
        if state == MigrationState.PAUSED:
            self._state = MigrationState.PAUSED
            return True
        return False

    def moved(self) -> None:
        """See `Source`."""
        self._tell(self._client, MigrationState.MOVED)
        self._over.set()

    def cancel(self) -> None:
        """See `Source`."""
        self._over.set()
        with suppress(Failed):
            self._client.call("DELETE", _PATH, query={"id": self._id})

    def latest_commit(self) -> int:
        """See `Source`."""
        told = self._tell(self._client, self._state)
        if told["state"] != self._state:
            raise Failed("the server has not paused any more")
        return int(told["latest_commit"])

    def losses(self) -> list[Loss]:
        """See `Source`."""
        return msgspec.convert(self._client.call("GET", _PATH)["losses"], list[Loss])

    def fitting(self, wanted: CommitRange) -> CommitRange:
        """See `Source`."""
        return CommitRange(wanted.after, self._client.call("GET", f"{_PATH}/range", query=_of(wanted))["upto"])

    def rows(self, commits: CommitRange, shards: int, shard: int) -> bytes:
        """See `Source`."""
        query = {**_of(commits), "shards": str(shards), "shard": str(shard)}
        return b"".join(self._client.download(f"{_PATH}/events", query))

    def content(self, commits: CommitRange) -> CopiedContent:
        """See `Source`."""
        return CopiedContent(**self._client.call("GET", f"{_PATH}/content", query=_of(commits)))

    def ledger(self) -> Chunks:
        """See `Source`."""
        return self._client.download(f"{_PATH}/ledger")

    def _tell(self, client: Client, state: MigrationState) -> Any:
        return client.call("PUT", _PATH, {"id": self._id, "state": state.value})

    def _keep_telling(self) -> None:
        """An earlier state than the present one changes nothing, so that it does not matter who is first."""
        with self._connected() as client:
            while not self._over.wait(_TELLS_EVERY_S):
                with suppress(Failed):  # the main thread finds out
                    self._tell(client, MigrationState.COPYING)


def _of(commits: CommitRange) -> dict[str, str]:
    return {"after": str(commits.after), "upto": str(commits.upto)}
