"""Which identities may be known: a Bloom filter that grows. It never says no to one that was added."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import xxhash

from ..durable import sync_folder

Hashes = npt.NDArray[np.uint64]

BITS_PER_IDENTITY = 16
"""Of a full shard, which says "maybe" to about 1 in 700 unknown identities; one that has just grown has 19, and says it
to 1 in 1,600. That is 2 to 2.4 MB per million."""
_GROWTH_PERCENT = 120
_SHARDS_LOG2 = 6
_SHARDS = 1 << _SHARDS_LOG2
_FIRST_CAPACITY = 32_768
"""At first, which is 4 MB for all shards: two million identities come before the first has to grow."""
_RANGE_IDENTITIES = 4_000_000
"""About how many identities are held at once while the filter is filled."""
_VERSION = 3
"""Of the hashes, the probes and the file. A file of another version is not read."""

_ONE, _SIX_BITS, _HALF_BITS = np.uint64(1), np.uint64(63), np.uint64(32)
_HALF = np.uint64((1 << 32) - 1)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Probes = list[tuple[Hashes, Hashes]]
"""See `_probes`."""
StoredBetween = Callable[[int, int], Hashes]
"""The stored identities from the first to the second hash, both included."""


class IdentityFilter:
    """Shards, each for an equal range of the hashes. A full one is made anew, a fifth larger, from what is stored: so
    no memory waits for identities to come, and no more than a shard is ever built at once."""

    def __init__(self, stored_between: StoredBetween, identities: int = 0):
        """An empty filter with room for so many. `stored_between` is asked when a shard has to grow."""
        self._stored_between = stored_between
        self._shards = [_Shard(_roomy(identities // _SHARDS)) for _ in range(_SHARDS)]

    @classmethod
    def of_stored(cls, stored_between: StoredBetween, identities: int) -> IdentityFilter:
        """The filter of everything stored, which are about so many identities."""
        made = cls(stored_between, identities)
        ranges = 1
        while ranges < _SHARDS and identities > ranges * _RANGE_IDENTITIES:
            ranges *= 2
        width = (1 << 64) // ranges
        for number in range(ranges if identities else 0):
            made.add(stored_between(number * width, (number + 1) * width - 1))
        return made

    def add(self, hashes: Hashes) -> None:
        """Remembers identities by their 64-bit hashes. Nothing that was added before may be on its way to the store."""
        for number, place, probes in _by_shard(hashes):
            shard = self._shards[number]
            if shard.size + place.size > shard.capacity:
                shard = self._renew(number, place.size)
            shard.add(probes)

    def renewals(self) -> Iterator[Callable[[], object]]:
        """What makes every shard anew from what is stored, one after the other."""
        return (partial(self._renew, number) for number in range(_SHARDS))

    def _renew(self, number: int, more: int = 0) -> _Shard:
        width = (1 << 64) // _SHARDS
        stored = self._stored_between(number * width, (number + 1) * width - 1)
        shard = _Shard(_roomy(stored.size + more))
        shard.add(_probes(stored))
        self._shards[number] = shard
        return shard

    def may_contain(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash: False means that it was certainly never added, or is not stored."""
        known = np.zeros(hashes.size, dtype=np.bool_)
        for number, place, probes in _by_shard(hashes):
            known[place] = self._shards[number].may_contain(probes)
        return known

    @property
    def size(self) -> int:
        """About how many identities it holds."""
        return sum(shard.size for shard in self._shards)

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(shard.words.nbytes for shard in self._shards)

    def shards(self) -> list[_Shard]:
        """Its parts now, for `Snapshot`. What is added later may be in them or not."""
        return list(self._shards)

    def restore(self, shards: list[_Shard]) -> None:
        """Takes over the parts that a snapshot has."""
        self._shards = shards


class _Shard:
    """A Bloom filter that looks at three bits in each of two words: what costs is reaching a word."""

    def __init__(self, words: int):
        self.words = np.zeros(words, dtype="<u8")
        self.size = 0

    @property
    def capacity(self) -> int:
        return self.words.size * 64 // BITS_PER_IDENTITY

    def add(self, probes: Probes) -> None:
        self.size += probes[0][0].size
        for place, mask in probes:
            word = self._words_at(place)
            # Of several masks for one word, an assignment keeps the last: repeated until none is missing.
            while word.size:
                self.words[word] |= mask
                missing = (self.words[word] & mask) != mask
                word, mask = word[missing], mask[missing]  # noqa: PLW2901 - the rest

    def may_contain(self, probes: Probes) -> npt.NDArray[np.bool_]:
        known = np.ones(probes[0][0].size, dtype=np.bool_)
        for place, mask in probes:
            known &= (self.words[self._words_at(place)] & mask) == mask
        return known

    def _words_at(self, place: Hashes) -> Hashes:
        return place * np.uint64(self.words.size) >> _HALF_BITS


def _probes(hashes: Hashes) -> Probes:
    """For each hash a place among the words, of 2 ** 32, and a mask; twice."""
    return [_probe(hashes, mix) for mix in _MIX]


def _probe(hashes: Hashes, mix: np.uint64) -> tuple[Hashes, Hashes]:
    mixed = hashes * mix
    mixed = (mixed ^ (mixed >> _HALF_BITS)) * mix
    bits = (mixed & _HALF) * mix >> np.uint64(46)  # three times six
    mask = _ONE << (bits & _SIX_BITS)
    for shift in (6, 12):
        mask |= _ONE << (bits >> np.uint64(shift) & _SIX_BITS)
    return mixed >> _HALF_BITS, mask


def _roomy(identities: int) -> int:
    """Words for so many identities and some more."""
    return max(_FIRST_CAPACITY, identities * _GROWTH_PERCENT // 100) * BITS_PER_IDENTITY // 64 + 1


def _by_shard(hashes: Hashes) -> Iterator[tuple[int, npt.NDArray[np.intp], Probes]]:
    """Shards, the places of their hashes, and the probes of these."""
    shards = (hashes >> np.uint64(64 - _SHARDS_LOG2)).astype(np.uint8)
    order = np.argsort(shards, kind="stable")
    probes = _probes(hashes[order])
    ends = np.cumsum(np.bincount(shards, minlength=_SHARDS))
    begin = 0
    for number, end in enumerate(ends.tolist()):
        if end > begin:
            yield number, order[begin:end], [(place[begin:end], mask[begin:end]) for place, mask in probes]
        begin = end


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """A commit, and what tells it from one of the same number in another history: how many events it has, and the sums
    of their identities and of when they were stored."""

    commit: int
    events: int
    identities: int
    stored_at: int


Mask = tuple[str, str, list[int]]
"""A namespace, an organization, and slots of it: see `masks.Masks`."""


class Saved(NamedTuple):
    """What a snapshot says of the events up to a commit: their identities, and where some were corrected."""

    shards: list[_Shard]
    mark: Mark
    masks: list[Mask]


class _Header(msgspec.Struct, frozen=True):
    version: int
    mark: Mark
    shards: list[tuple[int, int]]
    """Of each its size and how many words it has."""
    masks: list[Mask]


class Snapshot:
    """A file with what a start would have to read all events for. It is worth nothing else: whatever is wrong with it,
    it is as if there were none."""

    def __init__(self, path: Path):
        self._path = path

    def save(self, saved: Saved) -> None:
        """Replaces the file, at once or not at all. Raises `OSError`."""
        unfinished = self._path.with_suffix(".new")
        sizes = [(shard.size, shard.words.size) for shard in saved.shards]
        header = _Header(_VERSION, saved.mark, sizes, saved.masks)
        line = msgspec.json.encode(header) + b"\n"
        digest = xxhash.xxh3_128(line)
        with unfinished.open("wb") as file:
            file.write(line)
            for shard in saved.shards:
                # A copy: bits may be set meanwhile, which does no harm except to a checksum.
                packed = shard.words.tobytes()
                digest.update(packed)
                file.write(packed)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        sync_folder(self._path.parent)

    def load(self) -> Saved | None:
        """What was saved last; None when there is nothing whole."""
        try:
            return self._read()
        except (OSError, ValueError, msgspec.MsgspecError, MemoryError):
            return None

    def drop(self) -> None:
        """Removes the file. Raises `OSError`."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> Saved | None:
        digest = xxhash.xxh3_128()
        with self._path.open("rb") as file:
            line = file.readline(1 << 28)
            digest.update(line)
            header = msgspec.json.decode(line, type=_Header)
            length = len(line) + sum(8 * words for _, words in header.shards) + digest.digest_size
            if header.version != _VERSION or len(header.shards) != _SHARDS or length != self._path.stat().st_size:
                return None
            shards = []
            for size, words in header.shards:
                shard = _Shard(words)
                shard.size = size
                file.readinto(shard.words.data)
                digest.update(shard.words.data)
                shards.append(shard)
            return Saved(shards, header.mark, header.masks) if file.read() == digest.digest() else None
