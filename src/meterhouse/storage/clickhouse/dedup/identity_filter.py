"""Which identities may be known: a Bloom filter that grows. It never says no to one that was added."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .identity_hash import Hashes

BITS_PER_IDENTITY = 16
"""Of a full shard, which says "maybe" to about 1 in 700 unknown identities; one that has just grown has 19, and says it
to 1 in 1,600. That is 2 to 2.4 MB per million."""
_GROWTH_PERCENT = 120
_SHARDS_LOG2 = 6
SHARDS = 1 << _SHARDS_LOG2
_FIRST_CAPACITY = 32_768
"""At first, which is 4 MB for all shards: two million identities come before the first has to grow."""
_ROOM_PERCENT = 25
"""Of the shards' memory, for those that grow. It takes none before it is written to."""
_RANGE_IDENTITIES = 4_000_000
"""About how many identities are held at once while the filter is filled."""
_ONE, _SIX_BITS, _HALF_BITS = np.uint64(1), np.uint64(63), np.uint64(32)
_HALF = np.uint64((1 << 32) - 1)
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Numbers = npt.NDArray[np.intp]
Probes = list[tuple[Hashes, Hashes]]
"""See `_probes`."""
StoredBetween = Callable[[int, int], Hashes]
"""The stored identities from the first to the second hash, both included."""


class Shard(NamedTuple):
    """The part of the filter for one range of the hashes."""

    size: int
    """How many identities it holds, about."""
    words: Hashes


class IdentityFilter:
    """A Bloom filter that looks at three bits in each of two words: what costs is reaching a word.

    Shards, each for an equal range of the hashes, stand in one array, so that one step reaches all of them. A full one
    is made anew from what is stored, a fifth larger, in room that the array has at its end: no memory waits for
    identities to come, and no more than a shard is built at once.
    """

    def __init__(self, stored_between: StoredBetween, identities: int = 0):
        """An empty filter with room for so many. `stored_between` is asked when a shard has to grow."""
        self._stored_between = stored_between
        words = _roomy(identities // SHARDS)
        self.restore([Shard(0, np.zeros(words, dtype="<u8")) for _ in range(SHARDS)])

    @classmethod
    def of_stored(cls, stored_between: StoredBetween, identities: int) -> IdentityFilter:
        """The filter of everything stored, which are about so many identities."""
        made = cls(stored_between, identities)
        ranges = 1
        while ranges < SHARDS and identities > ranges * _RANGE_IDENTITIES:
            ranges *= 2
        width = (1 << 64) // ranges
        for number in range(ranges if identities else 0):
            made.add(stored_between(number * width, (number + 1) * width - 1))
        return made

    def restore(self, shards: Sequence[Shard]) -> None:
        """Takes over shards, those of a snapshot for instance, and sets room aside behind them."""
        self._held = np.array([shard.size for shard in shards], dtype=np.int64)
        self._sizes = np.array([shard.words.size for shard in shards], dtype=np.uint64)
        ends = np.cumsum(self._sizes, dtype=np.uint64)
        self._begins = ends - self._sizes
        self._end = int(ends[-1])
        self._words = np.zeros(self._end * (100 + _ROOM_PERCENT) // 100, dtype="<u8")
        np.concatenate([shard.words for shard in shards], out=self._words[: self._end])

    def add(self, hashes: Hashes) -> None:
        """Remembers identities by their 64-bit hashes. Nothing that was added before may be on its way to the store."""
        shards = _shards_of(hashes)
        more = np.bincount(shards, minlength=SHARDS)
        full = (self._held + more) * BITS_PER_IDENTITY > self._sizes.astype(np.int64) * 64
        for number in np.flatnonzero(full).tolist():
            self._renew(number, int(more[number]))
        self._held += more
        self._set(hashes, shards)

    def _set(self, hashes: Hashes, shards: Numbers) -> None:
        for place, mask in _probes(hashes):
            word = self._words_at(place, shards)
            # Of several masks for one word, an assignment keeps the last: repeated until none is missing.
            while word.size:
                self._words[word] |= mask
                missing = (self._words[word] & mask) != mask
                word, mask = word[missing], mask[missing]  # noqa: PLW2901 - the rest

    def renewals(self) -> Iterator[Callable[[], object]]:
        """What makes every shard anew from what is stored, one after the other."""
        return (partial(self._renew, number) for number in range(SHARDS))

    def _renew(self, number: int, more: int = 0) -> None:
        width = (1 << 64) // SHARDS
        stored = self._stored_between(number * width, (number + 1) * width - 1)
        words = _roomy(stored.size + more)
        if self._end + words > self._words.size:
            self.restore(
                [*self.shards()[:number], Shard(0, np.zeros(words, dtype="<u8")), *self.shards()[number + 1 :]]
            )
        else:  # never where it was: a snapshot may be reading that
            self._begins[number], self._sizes[number] = self._end, words
            self._end += words
        self._held[number] = stored.size
        self._set(stored, np.full(stored.size, number))

    def may_contain(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash: False means that it was certainly never added, or is not stored."""
        shards = _shards_of(hashes)
        known = np.ones(hashes.size, dtype=np.bool_)
        for place, mask in _probes(hashes):
            known &= (self._words[self._words_at(place, shards)] & mask) == mask
        return known

    def _words_at(self, place: Hashes, shards: Numbers) -> Numbers:
        return (self._begins[shards] + (place * self._sizes[shards] >> _HALF_BITS)).astype(np.intp)

    @property
    def size(self) -> int:
        """About how many identities it holds."""
        return int(self._held.sum())

    @property
    def bytes(self) -> int:
        """Memory that its shards take, without the room set aside."""
        return int(self._sizes.sum()) * 8

    def shards(self) -> list[Shard]:
        """Its parts now, for a snapshot. What is added later may be in them or not."""
        spans = zip(self._held.tolist(), self._begins.tolist(), self._sizes.tolist(), strict=True)
        return [Shard(size, self._words[begin : begin + words]) for size, begin, words in spans]


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


def _shards_of(hashes: Hashes) -> Numbers:
    return (hashes >> np.uint64(64 - _SHARDS_LOG2)).astype(np.intp)
