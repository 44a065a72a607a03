"""How deep tests look: `quick` as `make test` has them, `default` as the checks of a change, `deep` by hand."""

from __future__ import annotations

import os

from hypothesis import settings

DEPTHS = ("quick", "default", "deep")
DEPTH = os.environ.get("TEST_DEPTH", "quick")
if DEPTH not in DEPTHS:
    raise ValueError(f"TEST_DEPTH is {DEPTH!r}; it must be one of {', '.join(DEPTHS)}")


def by_depth(quick: int, default: int, deep: int) -> int:
    """How many examples, rounds or seeds a test of its own weight has."""
    return (quick, default, deep)[DEPTHS.index(DEPTH)]


def register_profiles() -> None:
    """How many examples a test has that says nothing of them."""
    # One seed for all: a failure is found again by running the same command. The deep ones look elsewhere every time,
    # and print what to paste to have a failure again.
    settings.register_profile("quick", derandomize=True, print_blob=True, deadline=None, max_examples=60)
    settings.register_profile("default", derandomize=True, print_blob=True, deadline=None, max_examples=150)
    settings.register_profile("deep", print_blob=True, deadline=None, max_examples=1_500)
    settings.load_profile(DEPTH)
