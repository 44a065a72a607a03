"""What stands for an identity in the table and in the filter: 64 bits.

The upper half is a hash of namespace, source and id, the lower half one of the whole identity. So the events of one
source and id lie side by side in the index, whichever organizations have them, and can be found without naming one.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xxhash

from ....domain.event import Identity

Hashes = npt.NDArray[np.uint64]

_LOWER = (1 << 32) - 1
_hash = xxhash.xxh3_64_intdigest


def identity_hash(namespace: str, organization: str, source: str, event_id: str) -> int:
    """The hash of one identity. Different identities may share it: whoever finds one compares the texts."""
    # No text may contain NUL, so that the joined texts stand for one identity only.
    whole = _hash(f"{namespace}\0{organization}\0{source}\0{event_id}".encode())
    return _upper(namespace, source, event_id) | whole & _LOWER


def identity_hashes(identities: Iterable[Identity]) -> Hashes:
    """The hashes of some identities."""
    return np.array([identity_hash(*identity) for identity in identities], dtype=np.uint64)


def hashes_of_name(namespace: str, source: str, event_id: str) -> tuple[int, int]:
    """The first and the last hash that an identity of this source and id may have, in whatever organization."""
    upper = _upper(namespace, source, event_id)
    return upper, upper | _LOWER


def _upper(namespace: str, source: str, event_id: str) -> int:
    return _hash(f"{namespace}\0{source}\0{event_id}".encode()) & ~_LOWER
