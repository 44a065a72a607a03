"""The filter may say "maybe" to a stranger, but never "no" to one it knows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.storage.clickhouse.identity_filter import IdentityFilter

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=200).map(lambda numbers: np.array(numbers, dtype=np.uint64))


@given(st.lists(hashes, max_size=5))
def test_knows_all_that_was_added(batches: list[np.ndarray]) -> None:
    known = IdentityFilter()
    for batch in batches:
        known.add(batch)
    for batch in batches:
        assert known.may_contain(batch).all()


def test_knows_all_while_it_grows_and_few_strangers() -> None:
    rng = np.random.default_rng(1)
    added = rng.integers(0, 2**64, size=1_000_000, dtype=np.uint64)
    known = IdentityFilter()
    for begin in range(0, len(added), 70_000):
        known.add(added[begin : begin + 70_000])
    assert known.may_contain(added).all()
    strangers = rng.integers(0, 2**64, size=100_000, dtype=np.uint64)
    assert known.may_contain(strangers).mean() < 0.005
    assert known.bytes / 1_000_000 < 4.5  # at most twice 2 MB a million, right after a new layer was begun


def test_an_empty_filter_knows_nobody() -> None:
    assert not IdentityFilter().may_contain(np.arange(10, dtype=np.uint64)).any()
