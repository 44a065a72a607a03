"""The manifest of a shard, in PostgreSQL: only who has the lease can change it."""

from __future__ import annotations

from ..manifest import Manifest, State, decode_state, encode_state
from . import cluster_queries
from .lease import Lease
from .session import Session


def manifest_of(session: Session, lease: Lease) -> Manifest:
    """The manifest of the lease's shard; a new one where there is none. Raises `DatabaseUnavailable`."""

    def write(state: State) -> None:
        lease.change(session, cluster_queries.WRITE_MANIFEST, state=encode_state(state))

    found = session.rows(cluster_queries.MANIFEST, {"shard": lease.shard})
    return Manifest(decode_state(found[0][0]) if found else State(), write)
