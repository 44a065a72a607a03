"""The SQL of what a cluster's nodes share. All instants are by the database's clock: nodes' own may be wrong."""

from __future__ import annotations

_LOCK_CLUSTER = 0x6D657465726870

# Whoever joins holds this lock until the end of the transaction: nodes join one after the other.
LOCK_CLUSTER = f"SELECT pg_advisory_xact_lock({_LOCK_CLUSTER})"

HAS_TABLES = "SELECT to_regclass('cluster') IS NOT NULL"
CREATE_TABLES = (
    """
CREATE TABLE cluster (
    number  integer PRIMARY KEY CHECK (number = 1),
    id      text NOT NULL,
    agreed  text NOT NULL,  -- what all nodes run with, as JSON
    arrival text            -- how far the move of a server into the cluster is, as JSON; NULL when there was none
)
""",
    """
CREATE TABLE nodes (
    id       text PRIMARY KEY,
    ahead_ms bigint NOT NULL,  -- how far the node's clock was ahead of the database's when it joined
    seen_at  timestamptz NOT NULL
)
""",
    """
CREATE TABLE leases (
    shard      integer PRIMARY KEY,
    epoch      bigint NOT NULL,  -- grows whenever somebody takes the lease: who has an older one cannot write
    node       text NOT NULL,
    address    text NOT NULL,    -- of the process that has the shard, for other processes
    expires_at timestamptz NOT NULL
)
""",
    """
CREATE TABLE journal (
    shard  integer NOT NULL,
    commit bigint NOT NULL,
    events integer NOT NULL,
    block  bytea NOT NULL,  -- compressed already
    PRIMARY KEY (shard, commit)
)
""",
    "ALTER TABLE journal ALTER COLUMN block SET STORAGE EXTERNAL",
    """
CREATE TABLE manifests (
    shard integer PRIMARY KEY,
    state bytea NOT NULL
)
""",
)

# A commit that was answered must outlast the database's machine.
DURABILITY = "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes')"

CLUSTER = "SELECT id, agreed FROM cluster"
FOUND_CLUSTER = "INSERT INTO cluster (number, id, agreed) VALUES (1, %(id)s, %(agreed)s)"
AGREE = "UPDATE cluster SET agreed = %(agreed)s"

ARRIVAL = "SELECT arrival FROM cluster"
LOCK_ARRIVAL = "SELECT arrival FROM cluster FOR UPDATE"
CHANGE_ARRIVAL = """
UPDATE cluster SET arrival = %(arrival)s WHERE arrival IS NOT DISTINCT FROM %(before)s RETURNING number
"""
JOURNALED = "SELECT shard FROM journal LIMIT 1"
MANIFESTS = "SELECT shard, state FROM manifests"

SEEN = """
INSERT INTO nodes (id, ahead_ms, seen_at) VALUES (%(node)s, %(ahead_ms)s, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), ahead_ms = EXCLUDED.ahead_ms
"""
LEAVE = "DELETE FROM nodes WHERE id = %(node)s"
NODES = """
SELECT id, ahead_ms FROM nodes WHERE seen_at > clock_timestamp() - make_interval(secs => %(seconds)s) ORDER BY id
"""
FORGET_NODES = "DELETE FROM nodes WHERE seen_at < clock_timestamp() - make_interval(days => 1)"
CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"

NEWEST_CHANGE = "SELECT change FROM changes"

LEASES = "SELECT shard, epoch, node, address, expires_at > clock_timestamp() FROM leases ORDER BY shard"
TAKE_LEASE = """
INSERT INTO leases (shard, epoch, node, address, expires_at)
VALUES (%(shard)s, 1, %(node)s, %(address)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (shard) DO UPDATE SET
    epoch = leases.epoch + 1, node = EXCLUDED.node, address = EXCLUDED.address, expires_at = EXCLUDED.expires_at
WHERE leases.expires_at <= clock_timestamp()
RETURNING epoch
"""
RENEW_LEASE = """
UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE shard = %(shard)s AND epoch = %(epoch)s RETURNING epoch
"""
RAISE_EPOCH = "UPDATE leases SET epoch = epoch + 1 WHERE shard = %(shard)s AND epoch = %(epoch)s RETURNING epoch"
RELEASE_LEASE = """
UPDATE leases SET expires_at = clock_timestamp() WHERE shard = %(shard)s AND epoch = %(epoch)s
"""
RELEASE_OF_NODE = """
UPDATE leases SET expires_at = clock_timestamp() WHERE shard = %(shard)s AND node = %(node)s
"""

# The lease is looked at, and kept as it is until the statement is done: whoever takes it waits so long, and whoever
# lost it changes nothing.
_HELD = "SELECT shard FROM leases WHERE shard = %(shard)s AND epoch = %(epoch)s FOR SHARE"
APPEND = f"""
INSERT INTO journal (shard, commit, events, block)
SELECT shard, %(commit)s, %(events)s, %(block)s FROM ({_HELD}) AS held RETURNING shard
"""
REMOVE_UPTO = f"""
WITH held AS ({_HELD}), removed AS (
    DELETE FROM journal USING held WHERE journal.shard = held.shard AND commit <= %(commit)s
)
SELECT shard FROM held
"""
REMOVE_FROM = REMOVE_UPTO.replace("<=", ">=")
WRITE_MANIFEST = f"""
INSERT INTO manifests (shard, state) SELECT shard, %(state)s FROM ({_HELD}) AS held
ON CONFLICT (shard) DO UPDATE SET state = EXCLUDED.state RETURNING shard
"""
JOURNAL_AFTER = """
SELECT commit, events, block FROM journal WHERE shard = %(shard)s AND commit > %(commit)s ORDER BY commit
"""
MANIFEST = "SELECT state FROM manifests WHERE shard = %(shard)s"
"""Read after the lease was taken: nobody else can write it any more."""
