"""Shards: which of a server's processes an organization lives in.

An organization belongs to one of 64 virtual shards for ever, by a hash of its namespace and its id; a map says which
shard has each virtual one. Another number of shards is another map: no organization needs another hash.
"""

from __future__ import annotations

from dataclasses import dataclass

import xxhash

VIRTUAL_SHARDS = 64


def virtual_shard(namespace: str, organization: str) -> int:
    """The virtual shard of an organization, 0 to 63: the low six bits of XXH3-64, with seed 0, of the UTF-8 text
    `namespace NUL organization`."""
    text = f"{namespace}\0{organization}".encode("utf-8", "surrogatepass")
    return xxhash.xxh3_64_intdigest(text) % VIRTUAL_SHARDS


@dataclass(frozen=True, slots=True)
class ShardMap:
    """Which shard has each virtual shard."""

    shards: tuple[int, ...]
    """By virtual shard. Shards are numbered from 0, without gaps."""

    @classmethod
    def even(cls, count: int) -> ShardMap:
        """Virtual shards spread evenly over 1 to 64 shards."""
        return cls(tuple(virtual % count for virtual in range(VIRTUAL_SHARDS)))

    @property
    def count(self) -> int:
        """How many shards there are."""
        return max(self.shards) + 1

    def shard_of(self, namespace: str, organization: str) -> int:
        """The shard that an organization lives in."""
        return self.shards[virtual_shard(namespace, organization)]


class Elsewhere(Exception):
    """What was asked for lives in another shard: the request has to go there. Nothing has been changed."""

    def __init__(self, shard: int):
        super().__init__(f"this lives in shard {shard}")
        self.shard = shard


@dataclass(frozen=True, slots=True)
class Seat:
    """The shard that this process has."""

    number: int = 0
    shard_map: ShardMap | None = None
    """None where there is one shard."""

    @property
    def count(self) -> int:
        """How many shards there are."""
        return 1 if self.shard_map is None else self.shard_map.count

    @property
    def virtuals(self) -> list[int] | None:
        """The virtual shards of this process; None for all."""
        if self.shard_map is None:
            return None
        return [virtual for virtual, shard in enumerate(self.shard_map.shards) if shard == self.number]

    def shard_of(self, namespace: str, organization: str) -> int:
        """The shard that the organization lives in."""
        return self.number if self.shard_map is None else self.shard_map.shard_of(namespace, organization)

    def has(self, namespace: str, organization: str) -> bool:
        """Whether the organization lives here."""
        return self.shard_of(namespace, organization) == self.number

    def check(self, namespace: str, organization: str) -> None:
        """Raises `Elsewhere` unless the organization lives here."""
        if (shard := self.shard_of(namespace, organization)) != self.number:
            raise Elsewhere(shard)
