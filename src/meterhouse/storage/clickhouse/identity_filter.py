"""Which identities may be known: a Bloom filter that grows. It never says no to one that was added."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

BITS_PER_IDENTITY = 16
PROBES = 8
"""With 16 bits an identity, 8 probes answer "maybe" to about 6 in 10,000 unknown identities; 2 MB per million."""
_FIRST_CAPACITY_LOG2 = 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class IdentityFilter:
    """Layers of doubling size; a new one is begun when the last is full, so that nothing is ever rehashed."""

    def __init__(self) -> None:
        self._layers = [_Layer(_FIRST_CAPACITY_LOG2)]

    def add(self, hashes: Hashes) -> None:
        """Remembers identities by their 64-bit hashes."""
        while hashes.size:
            layer = self._layers[-1]
            room = layer.capacity - layer.size
            layer.add(hashes[:room])
            hashes = hashes[room:]
            if layer.size == layer.capacity:
                self._layers.append(_Layer(layer.capacity_log2 + 1))

    def may_contain(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """For each hash: False means that it was certainly never added."""
        known = np.zeros(hashes.size, dtype=np.bool_)
        for layer in self._layers:
            known |= layer.may_contain(hashes)
        return known

    @property
    def bytes(self) -> int:
        """Memory held."""
        return sum(layer.words.nbytes for layer in self._layers)


class _Layer:
    def __init__(self, capacity_log2: int):
        self.capacity_log2 = capacity_log2
        self.capacity = 1 << capacity_log2
        self.size = 0
        self.words = np.zeros(self.capacity * BITS_PER_IDENTITY // 64, dtype=np.uint64)
        self._shift = np.uint64(64 - capacity_log2 - (BITS_PER_IDENTITY.bit_length() - 1))

    def _probes(self, hashes: Hashes) -> tuple[Hashes, Hashes]:
        step = (hashes * _GOLDEN) | np.uint64(1)
        bits = (hashes[:, None] + step[:, None] * np.arange(PROBES, dtype=np.uint64)[None, :]) * _GOLDEN >> self._shift
        return bits >> np.uint64(6), np.uint64(1) << (bits & np.uint64(63))

    def add(self, hashes: Hashes) -> None:
        words, masks = self._probes(hashes)
        np.bitwise_or.at(self.words, words.ravel(), masks.ravel())
        self.size += hashes.size

    def may_contain(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        words, masks = self._probes(hashes)
        return np.asarray((self.words[words] & masks == masks).all(axis=1))
